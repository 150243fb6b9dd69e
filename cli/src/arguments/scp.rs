//! The words of `scp` and `ssh-config`.

use clap::Args;

#[derive(Debug, Args)]
pub struct Scp {
    /// What is copied, then where to: `[[USER@]NAME:]PATH` each; without NAME, on this computer
    #[arg(value_name = "FROM TO")]
    pub paths: Vec<String>,
    /// Copy folders, with all that is in them
    #[arg(long, short)]
    pub recursive: bool,
    /// Send only the parts of files that differ: by rsync, which must be on both sides
    #[arg(long, short)]
    pub delta: bool,
}

#[derive(Debug, Args)]
pub struct SshConfig {
    /// The machines [default: all that run]
    pub names: Vec<String>,
    /// Let ~/.ssh/config include the machines, from now on
    #[arg(long, conflicts_with_all = ["names", "uninstall"])]
    pub install: bool,
    /// Take that back
    #[arg(long, conflicts_with = "names")]
    pub uninstall: bool,
}
