//! The words of commands that look after the store.

use std::path::PathBuf;

use clap::Args;

use crate::outcome::Format;

#[derive(Debug, Args)]
pub struct SupportBundle {
    /// The machines whose records and logs go in [default: all]
    pub names: Vec<String>,
    /// The file to make [default: machine-support-DATE.tar.gz, here]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write ~ for the path of the home folder
    #[arg(long)]
    pub hide_home: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Df {
    /// The machines [default: all]
    pub names: Vec<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Reclaim {
    /// The machines whose disks are trimmed; they have to run [default: all that do]
    pub names: Vec<String>,
    /// Engines first remove stopped containers, unused networks, images without a name and build caches; volumes stay
    #[arg(long)]
    pub prune: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}
