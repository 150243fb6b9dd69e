//! The words of `workshop` and `extend`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::create::Create;
use crate::outcome::Format;
use crate::sizes;

#[derive(Debug, Subcommand)]
pub enum Workshop {
    /// Make a workshop: so many hosts, each with an account for its person
    ///
    /// Where there is room for some hosts only, those are made, and `workshop retry` makes the rest.
    #[command(mut_arg("name", |arg| arg.help("The workshop's name; its hosts are NAME-01, NAME-02, ...").default_value(None).required(true)))]
    Create(Box<WorkshopCreate>),
    /// Run a command on all hosts, side by side
    Exec(WorkshopExec),
    /// Put off the end of all hosts
    Extend(WorkshopExtend),
    /// Write a page for each person, and a list of all hosts
    Handout(WorkshopHandout),
    /// List workshops
    Ls {
        /// Form of the output
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Make what is missing, and ready what is not
    Retry(WorkshopRetry),
    /// Remove workshops, with all hosts and everything in them
    Rm {
        /// The workshops
        #[arg(required = true)]
        names: Vec<String>,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
    /// Look at all hosts: who is reachable, what runs, how long is left, what it has cost
    Status(WorkshopStatus),
}

/// How people log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Login {
    /// By a key of their own, a file of the handout
    Key,
    /// By a password, which is made by the handout and stands on its page alone
    Password,
}

#[derive(Debug, Args)]
pub struct WorkshopCreate {
    #[command(flatten)]
    pub hosts: Create,
    /// How many hosts [default: as many as the roster has people]
    #[arg(long, short = 'n', value_name = "N", help_heading = "Workshop")]
    pub count: Option<usize>,
    /// Who takes part: a CSV file, one person a line, NAME,E-MAIL
    #[arg(long, value_name = "FILE", help_heading = "Workshop")]
    pub roster: Option<PathBuf>,
    /// How people log in
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Login::Key, help_heading = "Workshop")]
    pub login: Login,
    /// An image to pull on each host (repeat)
    #[arg(long = "pull", value_name = "IMAGE", help_heading = "Workshop")]
    pub pulls: Vec<String>,
    /// A file, a folder or a git repository (its URL) to put into each account's home (repeat)
    #[arg(long = "put", value_name = "PATH|URL", help_heading = "Workshop")]
    pub puts: Vec<String>,
    /// A port to open to everybody, for exercises: 80, 8000-8080 (repeat) [qemu: ports that are published appear here anyway]
    #[arg(id = "exercise_ports", long = "open-port", value_name = "PORT", help_heading = "Workshop")]
    pub open_ports: Vec<String>,
    /// How many hosts are prepared at once [default: 8; qemu: 1]
    #[arg(long, value_name = "N", help_heading = "Workshop")]
    pub jobs: Option<usize>,
}

#[derive(Debug, Args)]
pub struct WorkshopExec {
    /// The workshop
    pub name: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub words: Vec<String>,
    /// On how many hosts at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub jobs: usize,
}

#[derive(Debug, Args)]
pub struct WorkshopExtend {
    /// The workshop
    pub name: String,
    /// By how much: 2h, 90m, 1d
    #[arg(long, value_name = "TIME", value_parser = sizes::minutes)]
    pub by: u64,
}

#[derive(Debug, Args)]
pub struct WorkshopHandout {
    /// The workshop
    pub name: String,
    /// Where the pages go [default: NAME-handout]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Make new passwords for those who have one; the old ones are good for nothing then
    #[arg(long)]
    pub new_passwords: bool,
}

#[derive(Debug, Args)]
pub struct WorkshopRetry {
    /// The workshop
    pub name: String,
    /// How many hosts are prepared at once [default: 8; qemu: 1]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
}

#[derive(Debug, Args)]
pub struct WorkshopStatus {
    /// The workshop
    pub name: String,
    /// How long each host may take to answer, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// The words of `extend`.
#[derive(Debug, Args)]
pub struct Extend {
    /// The machines [default: "default", where it exists]
    pub names: Vec<String>,
    /// By how much: 2h, 90m, 1d
    #[arg(long, value_name = "TIME", value_parser = sizes::minutes)]
    pub by: u64,
}
