//! `env` and `ls` without the tree of all other commands.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use super::machines::{Env, Ls, ShellInit};
use super::{Arguments, Command, Global};

/// The commands that shells and prompts run all the time, parsed without the tree of all others: building that takes as
/// long as everything else that `machine env` does. Whatever is not plainly one of them goes to [`Arguments`].
#[derive(Parser)]
#[command(name = "machine")]
pub(super) struct Often {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: OftenCommand,
}

#[derive(Subcommand)]
enum OftenCommand {
    Env(Env),
    Ls(Ls),
    ShellInit(ShellInit),
}

impl Often {
    /// The command line, if it is plainly one of them.
    pub(super) fn read(words: &[OsString]) -> Option<Arguments> {
        words.iter().skip(1).find(|word| *word == "env" || *word == "ls" || *word == "shell-init")?;
        let often = Self::try_parse_from(words).ok()?;
        let command = match often.command {
            OftenCommand::Env(env) => Command::Env(env),
            OftenCommand::Ls(ls) => Command::Ls(ls),
            OftenCommand::ShellInit(init) => Command::ShellInit(init),
        };
        Some(Arguments { global: often.global, version: None, command })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_are_run_often_mean_the_same_without_the_tree_of_all_others() {
        for line in [
            "machine env",
            "machine env dev",
            "machine --storage-path /x env dev --shell fish",
            "machine env -u",
            "machine -D env --no-proxy --progress json",
            "machine ls",
            "machine shell-init fish",
            "machine -q ls",
            "machine ls -f json -t 3 -s /x",
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let often = Often::read(&words).unwrap_or_else(|| panic!("{line}: not read"));
            assert_eq!(format!("{often:?}"), format!("{:?}", Arguments::try_parse_from(words).unwrap()), "{line}");
        }
        for line in ["machine ssh env ls", "machine rm ls", "machine env --help", "machine ls --wrong", "machine start"]
        {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert!(Often::read(&words).is_none(), "{line}");
        }
    }
}
