//! The words of the command line about engines and accounts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::create::PublishTo;
use super::machines::Listing;
use crate::sizes;

/// Whose packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineSource {
    /// Docker's own.
    Docker,
    /// The distribution's.
    Distro,
}

/// Settings of an engine, at its creation and later.
#[derive(Debug, Args)]
pub struct EngineSettings {
    /// An option of the engine (repeat)
    #[arg(long = "engine-opt", value_name = "KEY[=VALUE]", help_heading = "Engine")]
    pub engine_options: Vec<String>,
    /// A label of the engine (repeat)
    #[arg(long = "engine-label", value_name = "KEY=VALUE", help_heading = "Engine")]
    pub engine_labels: Vec<String>,
    /// A registry without verified TLS (repeat)
    #[arg(long = "engine-insecure-registry", value_name = "HOST", help_heading = "Engine")]
    pub engine_insecure_registries: Vec<String>,
    /// A mirror of Docker Hub (repeat) [env: ENGINE_REGISTRY_MIRROR]
    #[arg(long = "engine-registry-mirror", value_name = "URL", help_heading = "Engine")]
    pub engine_registry_mirrors: Vec<String>,
    /// The storage driver [default: the engine chooses]
    #[arg(long, value_name = "NAME", help_heading = "Engine")]
    pub engine_storage_driver: Option<String>,
    /// A variable of the engine's environment (repeat)
    #[arg(long = "engine-env", value_name = "KEY=VALUE", value_parser = key_value, help_heading = "Engine")]
    pub engine_environment: Vec<(String, String)>,
    /// Reach registries by this computer's proxies, as they are set now (environment, system settings)
    #[arg(long, help_heading = "Engine")]
    pub engine_proxy_from_host: bool,
    /// Networks that the engine takes its own from (repeat)
    #[arg(long = "engine-address-pool", value_name = "base=NETWORK,size=BITS", help_heading = "Engine")]
    pub engine_address_pools: Vec<String>,
    /// A certificate authority to trust, PEM (repeat)
    #[arg(long = "engine-ca", value_name = "FILE", help_heading = "Engine")]
    pub engine_authorities: Vec<PathBuf>,
    /// The certificate authority of a registry, PEM (repeat)
    #[arg(long = "engine-registry-ca", value_name = "HOST=FILE", value_parser = key_value, help_heading = "Engine")]
    pub engine_registry_authorities: Vec<(String, String)>,
    /// An account of the machine that may use the engine, besides the login user's (repeat)
    #[arg(long = "docker-user", value_name = "NAME", help_heading = "Engine")]
    pub docker_users: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Provision {
    /// The machines [default: "default", where it exists]
    pub names: Vec<String>,
    /// Only say what would be done (with --verbose: in full)
    #[arg(long)]
    pub plan: bool,
    /// How long the engine may take to answer here once all is done, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,
}

#[derive(Debug, Args)]
pub struct Set {
    /// The machine [default: "default", where it exists]
    pub name: Option<String>,
    /// Virtual CPUs, of a machine that is off
    #[arg(long, value_name = "N", help_heading = "Size")]
    pub cpus: Option<u32>,
    /// Memory, of a machine that is off: MiB, or with a unit (512m, 4g)
    #[arg(long, value_name = "SIZE", value_parser = sizes::memory, help_heading = "Size")]
    pub memory: Option<u64>,
    /// Disk, of a machine that is off: GiB, or with a unit; it grows and does not shrink
    #[arg(long, value_name = "SIZE", value_parser = sizes::disk, help_heading = "Size")]
    pub disk: Option<u64>,
    /// Who reaches ports that containers publish on all addresses; at once
    #[arg(long, value_enum, value_name = "TO")]
    pub publish: Option<PublishTo>,
    #[command(flatten)]
    pub engine: EngineSettings,
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Make an account with SSH keys of its own, or give one more keys
    Add {
        /// The machine
        machine: String,
        /// The account's login name
        user: String,
        /// A public key that lets it in (repeat) [default: one is made]
        #[arg(long = "ssh-key", value_name = "FILE")]
        ssh_keys: Vec<PathBuf>,
        /// Not in the group docker, whose members can become root
        #[arg(long)]
        no_docker: bool,
    },
    /// List the accounts of people
    Ls(Listing),
    /// Remove an account, with its home
    Rm {
        /// The machine
        machine: String,
        /// The account's login name
        user: String,
        /// Do not ask
        #[arg(short)]
        yes: bool,
    },
}

/// `KEY=VALUE`, or nothing, which takes back what was set.
fn key_value(text: &str) -> Result<(String, String), String> {
    if text.is_empty() {
        return Ok((String::new(), String::new()));
    }
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "it is not KEY=VALUE".to_owned())
}
