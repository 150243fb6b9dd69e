//! Wine, in a folder of our own.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::toolchain::{Toolchain, WINDOWS, variable};
use crate::command::{Output, Program};
use crate::{Result, places};

const SHIM_SOURCE: &str = include_str!("bcryptprimitives.c");
const SHIM: &str = "bcryptprimitives.dll";

/// Makes Wine's folder if it is not there; returns the variables with which cargo runs Windows programs in it.
pub fn prepare(toolchain: &Toolchain, output: &mut Output) -> Result<Vec<(OsString, OsString)>> {
    let prefix = toolchain.folder().join("wine");
    let variables: Vec<(OsString, OsString)> = [
        ("WINEPREFIX", prefix.as_os_str()),
        ("WINEARCH", "win64".as_ref()),
        ("WINEDEBUG", "-all".as_ref()),
        // No offers to download .NET and a browser.
        ("WINEDLLOVERRIDES", "mscoree=;mshtml=".as_ref()),
        (&format!("CARGO_TARGET_{}_RUNNER", variable(WINDOWS)), "wine".as_ref()),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into();
    let shim = prefix.join("drive_c").join("windows").join("system32").join(SHIM);
    if !shim.is_file() {
        places::remove_folder(&prefix)?;
        places::make_folder(&prefix)?;
        Program::line("wineboot --init").envs(&variables).without("DISPLAY").limit_minutes(5).run(output)?;
        if !shim.is_file() {
            build_shim(toolchain.folder(), &shim, output)?;
        }
    }
    Ok(variables)
}

fn build_shim(work: &Path, shim: &Path, output: &mut Output) -> Result<()> {
    let source = work.join("bcryptprimitives.c");
    fs::write(&source, SHIM_SOURCE).map_err(|error| format!("cannot write {}: {error}", source.display()))?;
    Program::line("x86_64-w64-mingw32-gcc -shared -s -o").arg(shim).arg(source).arg("-ladvapi32").run(output)
}
