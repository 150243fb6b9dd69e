//! The words of `create`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use machine_core::Publish;

use super::docker_machine::Swarm;
use super::ec2::Ec2Create;
use super::engine::{EngineSettings, EngineSource};
use crate::sizes;

/// Where published ports appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PublishTo {
    /// On this computer alone.
    Loopback,
    /// On all addresses of this computer.
    Lan,
}

impl From<PublishTo> for Publish {
    fn from(to: PublishTo) -> Self {
        match to {
            PublishTo::Loopback => Self::Loopback,
            PublishTo::Lan => Self::Lan,
        }
    }
}

/// What carries shared folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShareBy {
    /// What keeps every promise: SFTP
    Auto,
    /// Folders come and go at once; the machine can begin warm and be suspended
    Sftp,
    /// A device of the VM: folders come with a start; no warm start, no suspending
    #[value(name = "9p")]
    NineP,
    /// As 9p, by a process of its own (virtiofsd 1.13); Linux
    Virtiofs,
}

#[derive(Debug, Args)]
pub struct Create {
    /// The new machine's name: 1 to 63 letters, digits, '.' and '-'
    #[arg(default_value = "default", hide_default_value = true)]
    pub name: String,
    /// What provides it: qemu, ec2, generic, none [env: MACHINE_DRIVER] [default: qemu]
    #[arg(long, short)]
    pub driver: Option<String>,
    /// Virtual CPUs [default: up to 4 of this computer's]
    #[arg(long, value_name = "N", help_heading = "Size")]
    pub cpus: Option<u32>,
    /// Memory: MiB, or with a unit (512m, 4g) [default: 2 GiB, half of this computer's at most]
    #[arg(long, value_name = "SIZE", value_parser = sizes::memory, help_heading = "Size")]
    pub memory: Option<u64>,
    /// Disk for containers, images and volumes: GiB, or with a unit; grows as it fills [default: 20g]
    #[arg(long, value_name = "SIZE", value_parser = sizes::disk, help_heading = "Size")]
    pub disk: Option<u64>,
    /// The image: a name of `machine image ls`, or a path [default: machine]; ec2: ubuntu-24.04, debian-13, amazon-2023
    #[arg(long, value_name = "NAME|PATH")]
    pub image: Option<String>,
    /// Hardware acceleration: auto, kvm, hvf, whpx or tcg (none) [default: auto]
    #[arg(long, value_name = "HOW")]
    pub accelerator: Option<String>,
    /// One more argument for QEMU (repeat; `--qemu-arg=-device --qemu-arg=...`)
    #[arg(long = "qemu-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub qemu_arguments: Vec<String>,
    /// Boot, even where a saved state of a like machine could be gone on from (and leave none)
    #[arg(long)]
    pub no_warm: bool,
    /// Containers do not reach this computer: no host.docker.internal
    #[arg(long)]
    pub no_host_access: bool,
    /// A folder of this computer that it sees, under the same path or at PLACE; `:ro` to read only, `:events` to tell watchers
    /// inside of changes made here (repeat)
    #[arg(long = "share", value_name = "DIR[:PLACE][:OPTIONS]")]
    pub shares: Vec<String>,
    /// What carries its folders
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ShareBy::Auto)]
    pub share_type: ShareBy,
    /// The login name inside [default: docker; ec2: the image's]
    #[arg(long, value_name = "NAME")]
    pub ssh_user: Option<String>,
    /// The host to adopt: its address or name [env: GENERIC_IP_ADDRESS]
    #[arg(long, value_name = "ADDRESS", help_heading = "Driver generic")]
    pub generic_ip_address: Option<String>,
    /// Who logs in; root, or one with sudo and no password for it [env: GENERIC_SSH_USER] [default: root]
    #[arg(long, value_name = "NAME", help_heading = "Driver generic")]
    pub generic_ssh_user: Option<String>,
    /// The port of its sshd [env: GENERIC_SSH_PORT] [default: 22]
    #[arg(long, value_name = "PORT", help_heading = "Driver generic")]
    pub generic_ssh_port: Option<u16>,
    /// The private key that it lets in [env: GENERIC_SSH_KEY] [default: the first of ~/.ssh]
    #[arg(long, value_name = "FILE", help_heading = "Driver generic")]
    pub generic_ssh_key: Option<PathBuf>,
    /// The port that its engine gets [env: GENERIC_ENGINE_PORT] [default: 2376]
    #[arg(long, value_name = "PORT", help_heading = "Driver generic")]
    pub generic_engine_port: Option<u16>,
    /// Its host key, `ssh-ed25519 AAAA...` or a line of known_hosts [default: you are asked]
    #[arg(long, value_name = "KEY", help_heading = "Driver generic")]
    pub generic_host_key: Option<String>,
    /// The engine that is there: tcp://HOST:2376
    #[arg(long, value_name = "URL", help_heading = "Driver none")]
    pub url: Option<String>,
    /// The authority of its certificate [default: this store's own]
    #[arg(long, value_name = "FILE", help_heading = "Driver none", requires_all = ["tls_client_cert", "tls_client_key"])]
    pub tls_ca_cert: Option<PathBuf>,
    /// The certificate that it lets in
    #[arg(long, value_name = "FILE", help_heading = "Driver none", requires = "tls_ca_cert")]
    pub tls_client_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, value_name = "FILE", help_heading = "Driver none", requires = "tls_ca_cert")]
    pub tls_client_key: Option<PathBuf>,
    #[command(flatten)]
    pub ec2: Ec2Create,
    /// One more name or address for the server certificate (repeat)
    #[arg(long, value_name = "NAME", help_heading = "Engine")]
    pub tls_san: Vec<String>,
    #[command(flatten)]
    pub swarm: Swarm,
    #[command(flatten)]
    pub engine: EngineSettings,
    /// Where the engine comes from, in a machine without one: Docker's packages or the distribution's [default: docker,
    /// where it serves the release]
    #[arg(long, value_enum, value_name = "WHOSE", help_heading = "Engine", conflicts_with = "engine_install_url")]
    pub engine_source: Option<EngineSource>,
    /// The version to install [default: the newest]
    #[arg(long, value_name = "VERSION", help_heading = "Engine", conflicts_with = "engine_install_url")]
    pub engine_version: Option<String>,
    /// A script that installs the engine, in place of packages [env: MACHINE_DOCKER_INSTALL_URL]
    #[arg(long, value_name = "URL", help_heading = "Engine")]
    pub engine_install_url: Option<String>,
    /// Who reaches ports that containers publish on all addresses
    #[arg(long, value_enum, value_name = "TO", default_value_t = PublishTo::Loopback)]
    pub publish: PublishTo,
    /// Return as soon as it boots
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
    /// Return when its engine answers (this is what happens anyway)
    #[arg(long)]
    pub wait: bool,
    /// How long the engine may take, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
}
