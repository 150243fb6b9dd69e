//! `doctor`: what of this computer a machine needs, as data with stable ids.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use machine_core::{MachineName, Result};
use machine_images::Arch;
use machine_qemu::{Accelerator, HostFacts, QemuFacts, Remedy, Situation};
use serde::Serialize;

use crate::app::App;
use crate::image_use_cases::host_arch;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Machines work, less well than they could.
    Warning,
    /// Machines cannot work.
    Failed,
}

/// One check. Ids are a contract.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Its stable name, such as `qemu.found`.
    pub id: &'static str,
    /// What a person reads.
    pub title: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
    /// What to do.
    pub hints: Vec<String>,
    /// The running machine that it is about; none for this computer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

impl Check {
    pub(crate) fn new(id: &'static str, title: &'static str, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { id, title, outcome, detail: detail.into(), hints: Vec::new(), machine: None }
    }

    pub(crate) fn of(self, machine: &MachineName) -> Self {
        Self { machine: Some(machine.to_string()), ..self }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Room that a machine's first boot and a few containers take, bytes.
const COMFORTABLE_ROOM: u64 = 5 << 30;
/// Below this a machine does not come up, bytes.
const LEAST_ROOM: u64 = 1 << 30;

impl App {
    /// Checks this computer, and those machines on it that run.
    ///
    /// # Errors
    /// Nothing but an environment that cannot be read at all; what is wrong is in the checks.
    pub async fn doctor(&self) -> Result<Vec<Check>> {
        let host = machine_qemu::probe_host();
        let found = machine_qemu::probe_qemu(&self.qemu_search(), host_arch(), &host);
        let mut checks = Vec::new();
        match found {
            Ok(Some(qemu)) => {
                checks.push(Check::new("qemu.found", "QEMU", Outcome::Ok, qemu.program.display().to_string()));
                checks.push(version_check(&host, &qemu));
                checks.push(self.acceleration_check(&host, &qemu).await);
                checks.push(states_check(&host, &qemu));
            }
            Ok(None) => checks.push(
                Check::new("qemu.found", "QEMU", Outcome::Failed, "it was not found on this computer")
                    .hint(machine_qemu::install_hint(&host)),
            ),
            Err(error) => {
                let check = Check::new("qemu.found", "QEMU", Outcome::Failed, error.to_string());
                checks.push(error.hints().into_iter().fold(check, Check::hint));
            }
        }
        checks.push(room_check(&self.environment.store));
        checks.push(self.path_check());
        checks.push(port_check());
        checks.push(self.docker_check());
        checks.push(self.image_check());
        checks.extend(self.running_checks().await?);
        Ok(checks)
    }

    /// Whether hardware acceleration really works: what the last start saw, else a trial with the kernel of an image.
    async fn acceleration_check(&self, host: &HostFacts, qemu: &QemuFacts) -> Check {
        const ID: &str = "acceleration.works";
        const TITLE: &str = "Acceleration";
        let facts = HostFacts { qemu: Some(qemu.clone()), ..host.clone() };
        let image = self.image_store().and_then(|store| store.find(machine_images::OWN_IMAGE, host_arch())).ok();
        if let Err(error) = crate::files::runtime_folder(&self.environment.runtime) {
            let check = Check::new(ID, TITLE, Outcome::Failed, error.to_string());
            return error.hints().into_iter().fold(check, Check::hint);
        }
        let tried =
            machine_qemu::try_acceleration(&facts, image.as_ref(), &self.store.verdicts(), &self.environment.runtime)
                .await;
        match tried {
            Ok(Some((accelerator, verdict))) if verdict.works => {
                Check::new(ID, TITLE, Outcome::Ok, format!("{} works", accelerator.name()))
            }
            Ok(Some((accelerator, verdict))) => Check::new(
                ID,
                TITLE,
                Outcome::Warning,
                format!(
                    "{} does not work: {}; machines run in software emulation, 5 to 20 times slower",
                    accelerator.name(),
                    verdict.reason
                ),
            )
            .hint("it is tried again when QEMU or this computer's kernel changes"),
            Ok(None) => {
                let why = if image.is_none() {
                    "it cannot be tried before there is an image"
                } else {
                    "there is none on this computer"
                };
                Check::new(ID, TITLE, Outcome::Warning, format!("no hardware acceleration is known to work: {why}"))
            }
            Err(error) => Check::new(ID, TITLE, Outcome::Warning, format!("it could not be tried: {error}")),
        }
    }

    fn path_check(&self) -> Check {
        let longest = self.environment.runtime.as_os_str().len() + "/12345678/control.sock".len();
        // The shorter of the two systems' limits, less the terminating zero (macOS 104, Linux 108: sys/un.h).
        let limit = if cfg!(target_os = "macos") { 103 } else { 107 };
        let detail = format!("sockets lie in {}", self.environment.runtime.display());
        if longest <= limit {
            Check::new("paths.length", "Path lengths", Outcome::Ok, detail)
        } else {
            Check::new(
                "paths.length",
                "Path lengths",
                Outcome::Failed,
                format!("{detail}: too long by {} bytes", longest - limit),
            )
            .hint("set XDG_RUNTIME_DIR or TMPDIR to a folder with a shorter name")
        }
    }

    fn docker_check(&self) -> Check {
        let names: &[&str] = if cfg!(windows) { &["docker.exe"] } else { &["docker"] };
        let found = self.environment.path.as_deref().and_then(|path| {
            std::env::split_paths(path)
                .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
                .find(|file| file.is_file())
        });
        match found {
            Some(file) => Check::new("docker.cli", "Docker client", Outcome::Ok, file.display().to_string()),
            None => Check::new("docker.cli", "Docker client", Outcome::Warning, "`docker` is not on PATH; machines work, and `machine ssh NAME docker ...` too")
                .hint("install the client alone (package docker-cli or docker.io, `brew install docker`, `winget install Docker.DockerCLI`)"),
        }
    }

    fn image_check(&self) -> Check {
        match self.image_store().and_then(|store| store.find(machine_images::OWN_IMAGE, host_arch())) {
            Ok(image) => Check::new(
                "image.present",
                "Image",
                Outcome::Ok,
                format!(
                    "{}@{} (engine {})",
                    image.name,
                    &image.digest[..12],
                    image.engine_version.as_deref().unwrap_or("unknown")
                ),
            ),
            Err(_) if cfg!(target_os = "linux") => {
                Check::new("image.present", "Image", Outcome::Ok, "none yet: the first `machine create` builds it")
            }
            Err(error) => {
                let check = Check::new("image.present", "Image", Outcome::Failed, error.to_string());
                error.hints().into_iter().fold(check, Check::hint)
            }
        }
    }
}

fn version_check(host: &HostFacts, qemu: &QemuFacts) -> Check {
    let oldest = machine_qemu::oldest_supported(host.os, host.arch);
    let detail = format!("{} (oldest supported here: {oldest})", qemu.version);
    if qemu.version < oldest {
        return Check::new("qemu.version", "QEMU version", Outcome::Failed, detail)
            .hint(machine_qemu::install_hint(host));
    }
    let facts = HostFacts { qemu: Some(qemu.clone()), ..host.clone() };
    let known: Vec<_> = qemu
        .accelerators
        .iter()
        .flat_map(|accelerator: &Accelerator| {
            machine_qemu::known_bad(&Situation {
                facts: &facts,
                accelerator: *accelerator,
                guest: host.arch,
                guest_kernel: None,
            })
        })
        .filter(|bad| bad.advice.is_some())
        .collect();
    if known.is_empty() {
        return Check::new("qemu.version", "QEMU version", Outcome::Ok, detail);
    }
    known.iter().fold(Check::new("qemu.version", "QEMU version", Outcome::Warning, detail), |check, bad| {
        check.hint(format!("{}; {}", bad.what, bad.advice.unwrap_or_default()))
    })
}

/// Whether machines can begin from saved states, and be suspended, with what this QEMU offers.
fn states_check(host: &HostFacts, qemu: &QemuFacts) -> Check {
    const ID: &str = "states.saved";
    const TITLE: &str = "Saved states";
    let facts = HostFacts { qemu: Some(qemu.clone()), ..host.clone() };
    let obstacle = |accelerator: &Accelerator| {
        let situation = Situation { facts: &facts, accelerator: *accelerator, guest: host.arch, guest_kernel: None };
        machine_qemu::known_bad(&situation).into_iter().find(|bad| bad.remedy == Remedy::Boot)
    };
    let (mut can, mut cannot) = (Vec::new(), Vec::new());
    for accelerator in &qemu.accelerators {
        match obstacle(accelerator) {
            None => can.push(accelerator.name()),
            Some(bad) => cannot.push(format!("not with {}: {}", accelerator.name(), bad.what)),
        }
    }
    let mut said = Vec::new();
    if !can.is_empty() {
        said.push(format!("can be made with {}", can.join(" and ")));
    }
    said.extend(cannot);
    if host.arch == Arch::Arm64 {
        said.push("arm64 guests always boot when they are created".to_owned());
    }
    // Without them everything works, only not as fast: nothing to warn of.
    Check::new(ID, TITLE, Outcome::Ok, said.join("; "))
}

fn room_check(store: &Path) -> Check {
    const ID: &str = "disk.space";
    const TITLE: &str = "Disk space";
    match machine_qemu::free_space(store) {
        None => Check::new(ID, TITLE, Outcome::Warning, format!("unknown at {}", store.display())),
        Some(room) => {
            let outcome = match room {
                r if r < LEAST_ROOM => Outcome::Failed,
                r if r < COMFORTABLE_ROOM => Outcome::Warning,
                _ => Outcome::Ok,
            };
            let check = Check::new(ID, TITLE, outcome, format!("{} MiB free at {}", room >> 20, store.display()));
            if outcome == Outcome::Ok {
                check
            } else {
                check.hint("free some space there, or keep machines elsewhere with --storage-path")
            }
        }
    }
}

fn port_check() -> Check {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        Ok(_) => Check::new("ports.loopback", "Loopback ports", Outcome::Ok, "127.0.0.1 can be listened on"),
        Err(error) => Check::new(
            "ports.loopback",
            "Loopback ports",
            Outcome::Failed,
            format!("127.0.0.1 cannot be listened on: {error}"),
        )
        .hint("a firewall or security program forbids it; machines are reached through loopback ports"),
    }
}
