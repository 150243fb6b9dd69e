//! The words of commands about machines that are there.

use clap::Args;

use crate::outcome::Format;

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

#[derive(Debug, Args)]
pub struct Inspect {
    /// The machine [default: "default", where it exists]
    pub name: Option<String>,
    /// A Go template over it, such as '{{.Driver.IPAddress}}' [default: all, as JSON]
    #[arg(long, short, value_name = "TEMPLATE")]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct SomeMachines {
    /// The machines [default: "default", where it exists]
    pub names: Vec<String>,
}

/// What is printed of one machine.
#[derive(Debug, Args)]
pub struct Listing {
    /// The machine [default: "default", where it exists]
    pub machine: Option<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Config {
    /// The machine [default: "default", where it exists]
    pub name: Option<String>,
    /// Also see whether its engine answers
    #[arg(long)]
    pub check: bool,
    /// docker-machine's: no machine is a master of the Swarm that it meant.
    #[arg(long, hide = true)]
    pub swarm: bool,
}

#[derive(Debug, Args)]
pub struct Env {
    /// The machine [default: "default", where it exists]
    pub name: Option<String>,
    /// The shell: bash, zsh, sh, fish, powershell, cmd, tcsh, emacs, nushell [default: the one that runs this]
    #[arg(long)]
    pub shell: Option<String>,
    /// Print the lines that undo it
    #[arg(long, short)]
    pub unset: bool,
    /// Also see whether its engine answers
    #[arg(long, conflicts_with = "unset")]
    pub check: bool,
    /// docker-machine's: no machine is a master of the Swarm that it meant.
    #[arg(long, hide = true)]
    pub swarm: bool,
    /// Also except the machine from the proxy (NO_PROXY)
    #[arg(long)]
    pub no_proxy: bool,
    /// Point at the machine's socket, which needs no certificates, in place of its TLS port
    #[arg(long, conflicts_with = "unset")]
    pub socket: bool,
}

#[derive(Debug, Args)]
pub struct ShellInit {
    /// The shell: bash, zsh, sh, fish, powershell, tcsh, emacs, nushell [default: the one that runs this]
    pub shell: Option<String>,
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
    /// Form of the output: text, json, or a Go template; `table ...` puts titles above
    ///
    /// Fields: .Name .Active .ActiveHost .DriverName .State .URL .DockerVersion .Error .EngineOptions.Labels .ResponseTime .Swarm
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    pub format: String,
    /// Only machines with driver=, state=, label=KEY=VALUE, or name=REGULAR-EXPRESSION (repeat; of one kind, any)
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
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
    /// docker-machine's: the client's certificate is renewed when it is due anyway.
    #[arg(long, hide = true)]
    pub client_certs: bool,
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
