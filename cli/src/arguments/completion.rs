//! The words of completions.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// The shells that know how to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    Bash,
    Elvish,
    Fish,
    #[value(alias = "nu")]
    Nushell,
    #[value(alias = "pwsh")]
    Powershell,
    Zsh,
}

#[derive(Debug, Args)]
pub struct Complete {
    /// The shell that asks
    pub shell: CompletionShell,
    /// Which of the words is being typed
    pub index: usize,
    /// The command line
    #[arg(last = true)]
    pub words: Vec<OsString>,
}
