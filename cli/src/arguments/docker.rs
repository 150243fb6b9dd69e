//! The words of `docker`, `mount` and `rename`.

use clap::Args;

#[derive(Debug, Args)]
pub struct Docker {
    /// The machine [default: "default", where it exists]
    pub name: Option<String>,
    /// What `docker` is told
    #[arg(last = true, value_name = "WORD")]
    pub words: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Mount {
    /// The folder in the machine; without NAME, in "default"
    #[arg(value_name = "NAME:PATH")]
    pub source: String,
    /// The folder of this computer, which must be there [default: the same path]
    #[arg(value_name = "DIR")]
    pub folder: Option<String>,
    /// Take it away again
    #[arg(long, short)]
    pub unmount: bool,
}

#[derive(Debug, Args)]
pub struct Rename {
    /// The machine; one of this computer must be off
    pub from: String,
    /// Its name from now on
    pub to: String,
}
