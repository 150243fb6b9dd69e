//! Nushell, which tests speak to: from npm, in our cache, because distributions do not have it.

use std::path::PathBuf;

use crate::command::{Output, Program};
use crate::{Result, places};

/// The version that was tried.
const VERSION: &str = "0.115.1";

/// The program, installed at first use.
pub fn install(output: &mut Output) -> Result<PathBuf> {
    let folder = places::cache()?.join(format!("nushell-{VERSION}"));
    let package = if cfg!(target_arch = "aarch64") { "linux-arm64" } else { "linux-x64" };
    let program = folder.join("node_modules/@nushell").join(package).join("bin/nu");
    // npm writes a package elsewhere and renames it: what is there is whole.
    if program.is_file() {
        return Ok(program);
    }
    let npm =
        Program::new("npm").args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save", "--prefix"]);
    npm.arg(&folder).arg(format!("@nushell/{package}@{VERSION}")).limit_minutes(10).run(output)?;
    Ok(program)
}
