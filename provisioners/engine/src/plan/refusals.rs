//! What makes a host unfit, and what makes it a worse one.

use machine_core::{Code, Error, Result};

use crate::distribution::Distribution;
use crate::facts::{CloudInit, Facts, Init};
use crate::privilege::Privilege;
use crate::request::Request;

/// What an engine and its plugins take where packages go, with the archives that they come in, KiB.
const ROOM_TO_INSTALL: u64 = 900 << 10;
/// What settings and certificates take, generously, KiB.
const ROOM_TO_CONFIGURE: u64 = 16 << 10;

/// Checks that anything can be done at all.
pub(super) fn check(facts: &Facts) -> Result<Distribution> {
    Privilege::of(facts)?;
    let distribution = facts.distribution()?;
    if let Some(place) = facts.read_only.first() {
        return Err(Error::other(format!("the file system {place} of the host is read-only"))
            .hint("after an error of its disk Linux mounts it so: `machine ssh`, then `dmesg`, tells; a restart checks it")
            .hint("a host whose system is meant to be read-only needs an image with Docker Engine inside"));
    }
    if facts.init == Init::Other {
        return Err(Error::other("neither systemd nor OpenRC runs on the host, so nothing can start the engine")
            .hint("a container is not a host; a machine or a virtual machine is"));
    }
    if !matches!(facts.arch.as_str(), "x86_64" | "aarch64" | "armv7l" | "ppc64le" | "s390x" | "riscv64") {
        return Err(Error::other(format!("Docker Engine is not made for {} processors", facts.arch)));
    }
    Ok(distribution)
}

/// Checks that there is room.
pub(super) fn check_room(facts: &Facts, request: &Request) -> Result<()> {
    let needed = if facts.dockerd.is_none() || request.upgrade { ROOM_TO_INSTALL } else { ROOM_TO_CONFIGURE };
    match facts.free_kib {
        Some(free) if free < needed => Err(Error::new(
            Code::Other,
            format!("the disk of the host is full: {} MiB are free, {} MiB are needed", free >> 10, needed >> 10),
        )
        .hint("make room there: `machine ssh`, then `df -h` and `sudo du -xh / | sort -h | tail`")),
        _ => Ok(()),
    }
}

/// What the user should know.
pub(super) fn warnings(facts: &Facts) -> Vec<String> {
    let mut warnings = Vec::new();
    if facts.cloud_init == CloudInit::Failed {
        warnings
            .push("cloud-init on the host ended with errors: `cloud-init status --long` there tells more".to_owned());
    }
    if facts.cgroup == 1 {
        warnings.push("the host has control groups of version 1, which Docker Engine is giving up".to_owned());
    }
    if facts.podman {
        warnings.push("the command `docker` of the host is podman's, and will be replaced".to_owned());
    }
    warnings
}
