//! A Docker command line without a daemon.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::apt;
use crate::Result;
use crate::command::{Output, Program};
use crate::places::{self, find_program};

/// The folder in our cache that holds the program, where no package brings it alone.
fn folder() -> Result<PathBuf> {
    Ok(places::cache()?.join("docker-cli"))
}

/// Whether there is one.
pub fn is_there() -> bool {
    find_program("docker").is_some() || folder().is_ok_and(|folder| folder.join("docker").is_file())
}

/// Installs one: the distribution's `docker-cli` where that exists (Debian 13), otherwise nothing but the program out of
/// the package `docker.io`, whose daemon stays away from this computer (Debian 12, Ubuntu).
pub fn install(output: &mut Output) -> Result<()> {
    if apt::candidate("docker-cli").is_some() {
        let names = ["docker-cli", "docker-buildx"].into_iter().filter(|name| apt::candidate(name).is_some());
        return apt::install(&names.collect::<Vec<_>>(), output);
    }
    let folder = folder()?;
    let unpacked = folder.join("unpacked");
    places::remove_folder(&folder)?;
    places::make_folder(&unpacked)?;
    Program::line("apt-get download docker.io").folder(&folder).run(output)?;
    let script = "set -e; dpkg-deb --fsys-tarfile docker.io_*.deb | tar -x -C unpacked ./usr/bin/docker; \
                  mv unpacked/usr/bin/docker docker; rm -r unpacked docker.io_*.deb";
    Program::new("sh").args(["-c", script]).folder(&folder).run(output)
}

/// What programs that use Docker need in their environment: our copy behind everything on `PATH`, and the classic builder
/// where the buildx plugin is missing (the command line would refuse to build otherwise when it is told to use BuildKit).
pub fn environment() -> Result<Vec<(OsString, OsString)>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([folder()?, "/usr/sbin".into(), "/sbin".into()]);
    let path = env::join_paths(folders).map_err(|error| format!("PATH cannot be extended: {error}"))?;
    let mut variables = vec![("PATH".into(), path.clone())];
    if Program::line("docker buildx version").env("PATH", path).read().is_err() {
        variables.push(("DOCKER_BUILDKIT".into(), "0".into()));
    }
    Ok(variables)
}
