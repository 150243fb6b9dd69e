//! The words of the command line.

mod completion;
mod create;
mod docker;
mod docker_machine;
mod ec2;
mod engine;
mod image;
mod machines;
mod moving;
mod often;
mod scp;
mod share;
mod sync;
mod upkeep;
mod workshop;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use completion::{Complete, CompletionShell};
pub use create::{Create, ShareBy};
pub use docker::{Docker, Mount, Rename};
pub use ec2::{Ec2, Orphans};
pub use engine::{EngineSettings, EngineSource, Provision, Set, User};
pub use image::Image;
pub use machines::{
    Config, Doctor, Env, Inspect, Listing, Logs, Ls, OneMachine, Ports, Power, RegenerateCerts, Rm, ShellInit,
    SomeMachines, Ssh, Stop, Use, Version,
};
pub use moving::{Export, Import, ImportDockerMachine};
pub use scp::{Scp, SshConfig};
pub use share::Share;
pub use sync::Sync;
pub use upkeep::{Df, Reclaim, SupportBundle};
pub use workshop::{
    Extend, Login, Workshop, WorkshopCreate, WorkshopExec, WorkshopExtend, WorkshopHandout, WorkshopRetry,
    WorkshopStatus,
};

use docker_machine::Foreign;
use often::Often;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 this computer cannot carry the machine (nothing was made), \
130 interrupted; `machine ssh` returns the remote command's.

A machine's name may be left out where a machine called \"default\" exists. `machine help topics` lists what else is explained.";

/// Docker hosts on this computer: create one, point Docker at it, throw it away.
#[derive(Debug, Parser)]
#[command(name = "machine", version, disable_version_flag = true, disable_help_subcommand = true, after_help = AFTER_HELP, max_term_width = 110)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    /// Print the version
    #[arg(long, short = 'v', action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// Parses what this program was started with.
    ///
    /// # Errors
    /// Wrong words, and the words that ask for help or the version.
    pub fn read() -> Result<Self, clap::Error> {
        let words: Vec<OsString> = std::env::args_os().collect();
        Often::read(&words).map_or_else(|| Self::try_parse_from(words), Ok)
    }
}

/// What goes with every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Where machines are kept [env: MACHINE_STORAGE_PATH]
    #[arg(long, short = 's', global = true, value_name = "DIR")]
    pub storage_path: Option<PathBuf>,
    /// Log what is done, on standard error
    #[arg(long, short = 'D', global = true)]
    pub debug: bool,
    /// Say only what fails (in `ls`: print names alone)
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,
    /// Also show what tools and the booting guest print
    #[arg(long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// How progress is shown, on standard error
    #[arg(long, global = true, value_enum, default_value_t = Progress::Auto, value_name = "HOW")]
    pub progress: Progress,
    #[command(flatten)]
    pub foreign: Foreign,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Live on a terminal, plain lines elsewhere.
    Auto,
    /// Plain lines.
    Plain,
    /// JSON lines: one event each.
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the machine that DOCKER_HOST points to
    Active {
        /// docker-machine asked all machines; nothing is asked here.
        #[arg(long, short, hide = true)]
        timeout: Option<u64>,
    },
    /// Print the flags that point a Docker client at a machine
    Config(Config),
    /// Create a machine
    Create(Box<Create>),
    /// Tell what machines, images and saved states take of the disk
    Df(Df),
    /// Run the Docker client of a machine itself: none is needed on this computer
    ///
    /// Its terminal, input and exit code are this command's. Paths are the machine's: `-v`, `cp`, `build` and `compose -f` do not see this
    /// computer's folders but for those that are shared (`machine share`).
    Docker(Docker),
    /// Check this computer, and the machines that run on it
    Doctor(Doctor),
    /// At Amazon EC2: find what was left behind, print the permissions needed
    Ec2 {
        #[command(subcommand)]
        command: Ec2,
    },
    /// Print the lines that point a shell's Docker client at a machine
    Env(Env),
    /// Pack a machine that is off into a file, for another computer
    ///
    /// Its keys go with it: whoever has the file can become root in the machine. Folders that it saw, arguments for QEMU and who reaches its
    /// ports stay behind.
    Export(Export),
    /// Put off the end of machines that end themselves (`create --expires`)
    Extend(Extend),
    /// Images that machines are made from
    Image {
        #[command(subcommand)]
        command: Image,
    },
    /// Make a machine of a file that `machine export` made
    Import(Import),
    /// Take over machines of docker-machine, whose store stays as it is
    ///
    /// Adopted hosts (`generic`) come with their key and certificates; nothing is made anew, and nothing changes on them.
    ImportDockerMachine(ImportDockerMachine),
    /// Print all that is known of a machine, as JSON or by a template
    Inspect(Inspect),
    /// Print the addresses of machines
    Ip(SomeMachines),
    /// End machines at once, as pulling the plug would
    Kill(SomeMachines),
    /// Print what a machine wrote: its supervisor's log, its serial console
    Logs(Logs),
    /// List machines
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Mount a folder of a machine on this computer, by sshfs
    Mount(Mount),
    /// Halt machines; their memory stays where it is
    Pause(SomeMachines),
    /// List the ports that containers publish, on this computer
    Ports(Ports),
    /// Make machines what was asked for: engine, settings, certificates
    ///
    /// What is so already is left alone: a second run changes and restarts nothing, and one after a failure carries on.
    Provision(Provision),
    /// Give space back that nothing needs; shows first what that is
    Reclaim(Reclaim),
    /// Make new TLS certificates for machines; containers go on
    RegenerateCerts(RegenerateCerts),
    /// Give a machine another name
    Rename(Rename),
    /// Restart machines
    Restart(Power),
    /// Let paused machines go on
    Resume(SomeMachines),
    /// Remove machines, with everything in them
    Rm(Rm),
    /// Copy files between this computer and machines, or two machines
    ///
    /// A path in a machine that does not begin with / is below the login user's home. A file that was there is replaced when the new one
    /// is whole. No OpenSSH is needed. From one machine to another, all goes through this computer.
    Scp(Scp),
    /// Change a machine: its size, who reaches its ports, its engine's settings
    ///
    /// Each flag of the engine replaces all that it set before; an empty value takes it back. The engine restarts once, if it
    /// must; containers go on.
    Set(Box<Set>),
    /// Folders of this computer that a machine sees
    Share {
        #[command(subcommand)]
        command: Share,
    },
    /// Print what gives new terminals the machine that `machine use` chose
    ShellInit(ShellInit),
    /// Log in to a machine, or run a command on it
    Ssh(Ssh),
    /// Print machines as hosts of OpenSSH, or let its configuration include them
    ///
    /// Each has its pinned key. For ssh, rsync, VS Code Remote, ansible, `docker -H ssh://NAME`. What is installed follows the machines when they start, change their
    /// address or are removed.
    SshConfig(SshConfig),
    /// Start machines
    Start(Power),
    /// Print the state of a machine
    Status(OneMachine),
    /// Shut machines down
    Stop(Stop),
    /// Pack what somebody else needs to help, without secrets
    SupportBundle(SupportBundle),
    /// Save machines' memory and turn them off; `start` goes on there
    Suspend(SomeMachines),
    /// Copy a folder to a machine, from it, or both ways
    ///
    /// One of the two is of this computer, the other NAME:PLACE in a machine, where a PLACE that does not begin with / is below the
    /// login user's home. What is the same already is not copied; a run that was broken off is carried on by the next.
    Sync(Sync),
    /// Bring the ports of a machine elsewhere here, through SSH
    Tunnel(OneMachine),
    /// Bring the engines of machines to their newest version
    ///
    /// Containers, images and volumes stay.
    Upgrade(SomeMachines),
    /// Print the address of a machine's engine
    Url(OneMachine),
    /// Make a machine the one that `docker` talks to, in every terminal
    Use(Use),
    /// Accounts on a machine, for more people than one
    User {
        #[command(subcommand)]
        command: User,
    },
    /// Print this program's version, or that of a machine's engine
    Version(Version),
    /// Docker hosts for many people, made, handed out and removed as one
    Workshop {
        #[command(subcommand)]
        command: Workshop,
    },
    /// Print the script that completes words in a shell
    #[command(alias = "completions")]
    Completion {
        /// The shell
        shell: CompletionShell,
    },
    /// Explain a command, or a topic: `machine help topics` lists those
    Help {
        /// The command, or the topic
        #[arg(value_name = "COMMAND|TOPIC")]
        words: Vec<String>,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Manual {
        /// The folder
        folder: PathBuf,
    },
    /// Print what fits at a place of a command line
    #[command(hide = true)]
    Complete(Complete),
    /// Be the supervisor of a running machine
    #[command(hide = true)]
    Supervise {
        /// The machine
        name: String,
        /// Start nothing: only look after what runs
        #[arg(long)]
        adopt: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn create_takes_flags_before_and_after_the_name() {
        for line in [["machine", "create", "--cpus", "2", "dev"], ["machine", "create", "dev", "--cpus", "2"]] {
            let Command::Create(create) = Arguments::try_parse_from(line).unwrap().command else { panic!() };
            assert_eq!((create.name.as_str(), create.cpus), ("dev", Some(2)));
        }
    }

    #[test]
    fn the_command_lines_that_the_window_shows_are_understood_here() {
        let actions = [
            r#"{"verb":"create","name":"dev","cpus":2,"memory_mib":1536,"disk_mib":20480}"#,
            r#"{"verb":"resize","name":"dev","cpus":2,"memory_mib":1536,"disk_mib":20480}"#,
            r#"{"verb":"start","name":"dev"}"#,
            r#"{"verb":"stop","name":"dev"}"#,
            r#"{"verb":"restart","name":"dev"}"#,
            r#"{"verb":"kill","name":"dev"}"#,
            r#"{"verb":"remove","name":"dev","force":true}"#,
            r#"{"verb":"remove","name":"dev","force":false}"#,
        ];
        for action in actions {
            let line = serde_json::from_str::<machine_app::Action>(action).unwrap().command_line();
            let arguments =
                Arguments::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
            let size = match arguments.command {
                Command::Create(create) => (create.cpus, create.memory, create.disk),
                Command::Set(set) => (set.cpus, set.memory, set.disk),
                _ => continue,
            };
            assert_eq!(size, (Some(2), Some(1536), Some(20480)));
        }
    }

    #[test]
    fn ssh_passes_everything_after_the_name_through() {
        let line = ["machine", "ssh", "dev", "ls", "-l", "--", "-x"];
        let Command::Ssh(ssh) = Arguments::try_parse_from(line).unwrap().command else { panic!() };
        assert_eq!(ssh.words, ["dev", "ls", "-l", "--", "-x"]);
    }
}
