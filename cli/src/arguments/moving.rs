//! The words of commands that bring machines here from elsewhere, and take them there.

use std::path::PathBuf;

use clap::Args;

use crate::outcome::Format;

#[derive(Debug, Args)]
pub struct ImportDockerMachine {
    /// docker-machine's store [default: ~/.docker/machine]
    pub path: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// The host key of a machine, 'lab=ssh-ed25519 AAAA...' (repeat) [default: you are asked]
    #[arg(long = "host-key", value_name = "NAME=KEY")]
    pub host_keys: Vec<String>,
    /// Form of the plan
    #[arg(long, value_enum, default_value_t = Format::Text, requires = "dry_run")]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Export {
    /// The machine, which has to be off
    pub name: String,
    /// The file to make
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct Import {
    /// The file that `machine export` made
    pub file: PathBuf,
    /// The name that the machine gets [default: the one that it had]
    #[arg(value_name = "NEW")]
    pub name: Option<String>,
}
