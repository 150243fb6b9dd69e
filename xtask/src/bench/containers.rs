//! Containers of a machine that is measured.

use std::fs;

use super::Bench;
use crate::command::Program;
use crate::{Result, places};

/// Brings an image of one program, `box`, into the machine's engine, without a registry.
pub fn import_busybox(bench: &Bench, name: &str) -> Result<()> {
    let folder = bench.store.join("box");
    let _the_last_one = fs::remove_dir_all(&folder);
    for inside in ["bin", "tmp"] {
        fs::create_dir_all(folder.join(inside))
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    let busybox = places::find_program("busybox").ok_or("busybox is not installed")?;
    fs::copy(busybox, folder.join("bin/busybox")).map_err(|error| format!("cannot copy busybox: {error}"))?;
    docker(bench, name, &format!("tar -C '{}' -c . | docker import - box >/dev/null", folder.display()))
}

/// Runs lines of a shell whose Docker client talks to the machine.
pub fn docker(bench: &Bench, name: &str, script: &str) -> Result<()> {
    in_environment(bench, name, script).read().map(drop)
}

/// Those lines, not run yet.
pub fn in_environment(bench: &Bench, name: &str, script: &str) -> Program {
    let line = format!("eval \"$('{}' env --shell bash {name})\" && {script}", bench.program.display());
    Program::new("bash").args(["-c", &line]).envs(&bench.environment)
}
