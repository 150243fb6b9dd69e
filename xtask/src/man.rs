//! `cargo xtask man`: the manual pages, for packages.

use std::path::PathBuf;

use crate::Result;
use crate::command::{Output, Program};

/// Writes all pages into `target/man`; returns the folder.
pub fn write(output: &mut Output) -> Result<PathBuf> {
    let folder = PathBuf::from("target/man");
    Program::line("cargo run --locked -q -p machine-cli -- manual").arg(&folder).run(output)?;
    Ok(folder)
}
