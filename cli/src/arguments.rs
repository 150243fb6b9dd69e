//! The words of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell as CompletionShell;

use crate::ec2_arguments::{Ec2, Ec2Create};
use crate::engine_arguments::{EngineSettings, EngineSource, Provision, Set, User};
use crate::outcome::Format;
use crate::sizes;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 this computer cannot carry the machine (nothing was made), \
130 interrupted; `machine ssh` returns the remote command's.

A machine's name may be left out where a machine called \"default\" exists.";

/// Docker hosts on this computer: create one, point Docker at it, throw it away.
#[derive(Debug, Parser)]
#[command(name = "machine", version, disable_version_flag = true, after_help = AFTER_HELP, max_term_width = 110)]
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

/// The commands that shells and prompts run all the time, parsed without the tree of all others: building that takes as
/// long as everything else that `machine env` does. Whatever is not plainly one of them goes to [`Arguments`].
#[derive(Parser)]
#[command(name = "machine")]
struct Often {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: OftenCommand,
}

#[derive(Subcommand)]
enum OftenCommand {
    Env(Env),
    Ls(Ls),
}

impl Often {
    fn read(words: &[OsString]) -> Option<Arguments> {
        words.iter().skip(1).find(|word| *word == "env" || *word == "ls")?;
        let often = Self::try_parse_from(words).ok()?;
        let command = match often.command {
            OftenCommand::Env(env) => Command::Env(env),
            OftenCommand::Ls(ls) => Command::Ls(ls),
        };
        Some(Arguments { global: often.global, version: None, command })
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
    Active,
    /// Print the flags that point a Docker client at a machine
    Config(OneMachine),
    /// Create a machine
    Create(Box<Create>),
    /// Check this computer, and the machines that run on it
    Doctor(Doctor),
    /// At Amazon EC2: find what was left behind, print the permissions needed
    Ec2 {
        #[command(subcommand)]
        command: Ec2,
    },
    /// Print the lines that point a shell's Docker client at a machine
    Env(Env),
    /// Images that machines are made from
    Image {
        #[command(subcommand)]
        command: Image,
    },
    /// Print all that is known of a machine, as JSON
    Inspect(OneMachine),
    /// Print the addresses of machines
    Ip(SomeMachines),
    /// End machines at once, as pulling the plug would
    Kill(SomeMachines),
    /// Print what a machine wrote: its supervisor's log, its serial console
    Logs(Logs),
    /// List machines
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Halt machines; their memory stays where it is
    Pause(SomeMachines),
    /// List the ports that containers publish, on this computer
    Ports(Ports),
    /// Make machines what was asked for: engine, settings, certificates
    ///
    /// What is so already is left alone: a second run changes and restarts nothing, and one after a failure carries on.
    Provision(Provision),
    /// Make new TLS certificates for machines; containers go on
    RegenerateCerts(RegenerateCerts),
    /// Restart machines
    Restart(Power),
    /// Let paused machines go on
    Resume(SomeMachines),
    /// Remove machines, with everything in them
    Rm(Rm),
    /// Change settings of a machine's engine
    ///
    /// Each flag replaces all that it set before; an empty value takes it back. The engine restarts once, if it must;
    /// containers go on.
    Set(Box<Set>),
    /// Folders of this computer that a machine sees
    Share {
        #[command(subcommand)]
        command: Share,
    },
    /// Log in to a machine, or run a command on it
    Ssh(Ssh),
    /// Start machines
    Start(Power),
    /// Print the state of a machine
    Status(OneMachine),
    /// Shut machines down
    Stop(Stop),
    /// Save machines' memory and turn them off; `start` goes on there
    Suspend(SomeMachines),
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
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: CompletionShell,
    },
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

#[derive(Debug, Args)]
pub struct OneMachine {
    /// The machine [default: "default", where it exists]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct Ports {
    /// The machines [default: "default", where it exists]
    pub names: Vec<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Where published ports appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PublishTo {
    /// On this computer alone.
    Loopback,
    /// On all addresses of this computer.
    Lan,
}

#[derive(Debug, Args)]
pub struct SomeMachines {
    /// The machines [default: "default", where it exists]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Create {
    /// The new machine's name: 1 to 63 letters, digits, '.' and '-'
    #[arg(default_value = "default", hide_default_value = true)]
    pub name: String,
    /// What provides it: qemu, ec2, generic [env: MACHINE_DRIVER] [default: qemu]
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
    /// A folder of this computer that it sees, under the same path or at PLACE; `:ro` to read only (repeat)
    #[arg(long = "share", value_name = "DIR[:PLACE][:ro]")]
    pub shares: Vec<String>,
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
    #[command(flatten)]
    pub ec2: Ec2Create,
    /// One more name or address for the server certificate (repeat)
    #[arg(long, value_name = "NAME", help_heading = "Engine")]
    pub tls_san: Vec<String>,
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

#[derive(Debug, Subcommand)]
pub enum Share {
    /// Let a machine see folders of this computer; a running one sees them at once
    Add {
        /// The machine
        machine: String,
        /// Each folder, under the same path or at PLACE; `:ro` to read only
        #[arg(required = true, value_name = "DIR[:PLACE][:ro]")]
        folders: Vec<String>,
    },
    /// List what a machine sees of this computer, and what containers miss
    Ls {
        /// The machine [default: "default", where it exists]
        machine: Option<String>,
        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Take folders away from a machine; nothing in them changes
    Rm {
        /// The machine
        machine: String,
        /// The folders, or their places in the machine
        #[arg(required = true, value_name = "DIR|PLACE")]
        folders: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Env {
    /// The machine [default: "default", where it exists]
    pub name: Option<String>,
    /// The shell: bash, zsh, sh, fish, powershell, cmd, tcsh, emacs [default: the one that runs this]
    #[arg(long)]
    pub shell: Option<String>,
    /// Print the lines that undo it
    #[arg(long, short)]
    pub unset: bool,
    /// Also except the machine from the proxy (NO_PROXY)
    #[arg(long)]
    pub no_proxy: bool,
    /// Point at the machine's socket, which needs no certificates, in place of its TLS port
    #[arg(long, conflicts_with = "unset")]
    pub socket: bool,
}

#[derive(Debug, Subcommand)]
pub enum Image {
    /// List images that are here, and those that can be had
    Ls {
        /// Form of the output
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Download an image of the catalog
    Pull {
        /// Its name in `machine image ls`
        name: String,
    },
    /// Take in a disk image, or a folder made by `image build`
    Import {
        /// A qcow2 or raw file, or a folder with disk.qcow2, vmlinuz, initrd.img and manifest.json
        path: PathBuf,
        /// The name it gets [default: the manifest's, or the file's]
        #[arg(long)]
        name: Option<String>,
    },
    /// Build our own image from distribution packages
    Build {
        /// Package source: URI of a Debian archive [default: the one that this computer uses]
        #[arg(long, value_name = "URI")]
        package_source: Option<String>,
        /// Build inside a temporary machine made from Debian's cloud image [default on macOS and Windows]
        #[arg(long)]
        in_machine: bool,
    },
    /// Remove all warm states (`image ls` shows them); the next machines boot, and leave others
    Prune,
    /// Remove an image that no machine uses
    Rm {
        /// Its name, or the beginning of its digest
        name: String,
    },
    /// Print all that is known of an image, as JSON
    Show {
        /// Its name, or the beginning of its digest
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct Logs {
    /// The machine [default: "default", where it exists]
    pub name: Option<String>,
    /// The guest's serial console
    #[arg(long, group = "kind")]
    pub serial: bool,
    /// The supervisor's log (this is what happens anyway, where there is a supervisor)
    #[arg(long, group = "kind")]
    pub supervisor: bool,
    /// QEMU's own messages
    #[arg(long, group = "kind")]
    pub qemu: bool,
    /// Events, as JSON lines
    #[arg(long, group = "kind")]
    pub events: bool,
    /// What was said on the machine when it was last provisioned
    #[arg(long, group = "kind")]
    pub provision: bool,
    /// Go on printing what comes
    #[arg(long, short)]
    pub follow: bool,
    /// How many of the last lines
    #[arg(long, short = 'n', default_value_t = 200, value_name = "N")]
    pub lines: usize,
}

#[derive(Debug, Args)]
pub struct Ls {
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How long each engine may take to answer, seconds
    #[arg(long, short, default_value_t = 10, value_name = "SECONDS")]
    pub timeout: u64,
}

#[derive(Debug, Args)]
pub struct Power {
    /// The machines [default: "default", where it exists]
    pub names: Vec<String>,
    /// Return as soon as it boots
    #[arg(long)]
    pub no_wait: bool,
    /// How long the engine may take, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
}

#[derive(Debug, Args)]
pub struct RegenerateCerts {
    /// The machines [default: "default", where it exists]
    pub names: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Rm {
    /// The machines
    #[arg(required = true)]
    pub names: Vec<String>,
    /// Also what cannot be read; does not ask
    #[arg(long, short)]
    pub force: bool,
    /// Do not ask
    #[arg(short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Ssh {
    /// The machine, then the command and its arguments [default: "default", and a login shell]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NAME [COMMAND]...")]
    pub words: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Stop {
    /// The machines [default: "default", where it exists]
    pub names: Vec<String>,
    /// How long the guest may take before it is ended by force, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 90)]
    pub timeout: u64,
}

#[derive(Debug, Args)]
pub struct Use {
    /// The machine [default: "default", where it exists]
    pub name: Option<String>,
    /// Also put the machine's socket where programs look for Docker's own, if nothing else is there
    #[arg(long, conflicts_with_all = ["no_default_socket", "unset"])]
    pub default_socket: bool,
    /// Give that place back, and change nothing else
    #[arg(long, conflicts_with_all = ["name", "unset"])]
    pub no_default_socket: bool,
    /// Go back to Docker's default context
    #[arg(long, short, conflicts_with = "name")]
    pub unset: bool,
}

#[derive(Debug, Args)]
pub struct Version {
    /// The machine whose engine is asked
    pub name: Option<String>,
    /// How long the engine may take, seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub timeout: u64,
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
    fn commands_that_are_run_often_mean_the_same_without_the_tree_of_all_others() {
        for line in [
            "machine env",
            "machine env dev",
            "machine --storage-path /x env dev --shell fish",
            "machine env -u",
            "machine -D env --no-proxy --progress json",
            "machine ls",
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
            if let Command::Create(create) = arguments.command {
                assert_eq!((create.cpus, create.memory, create.disk), (Some(2), Some(1536), Some(20480)));
            }
        }
    }

    #[test]
    fn ssh_passes_everything_after_the_name_through() {
        let line = ["machine", "ssh", "dev", "ls", "-l", "--", "-x"];
        let Command::Ssh(ssh) = Arguments::try_parse_from(line).unwrap().command else { panic!() };
        assert_eq!(ssh.words, ["dev", "ls", "-l", "--", "-x"]);
    }
}
