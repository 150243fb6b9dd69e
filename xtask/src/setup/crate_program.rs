//! Programs from crates.io that checks and tests run.

use std::path::PathBuf;

use crate::command::{Output, Program};
use crate::{Result, places};

/// The program `name` of the crate of that name; built into the cache once, without optimisation, which costs more time than it saves.
pub fn install(name: &str, version: &str, options: &[&str], output: &mut Output) -> Result<PathBuf> {
    let folder = places::cache()?.join("tools").join(format!("{name}-{version}"));
    let program = folder.join("bin").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if program.is_file() {
        return Ok(program);
    }
    let target = folder.join("target");
    Program::line("cargo install --locked")
        .args([name, "--version", version])
        .args(options)
        .arg("--root")
        .arg(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .run(output)?;
    places::remove_folder(&target)?;
    Ok(program)
}
