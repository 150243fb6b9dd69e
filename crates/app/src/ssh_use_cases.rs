//! `ssh`: a shell or a command in a machine, at this terminal.

use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use machine_core::{Error, MachineName, MachineRecord, Result, SshTarget};
use machine_ssh::{Attach, ConnectFailure, Session, Tty, command_line, terminal};

use crate::app::App;

/// How long sshd may take: a machine that has just been started with `--no-wait` is still booting.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

/// What `ssh` was asked for.
pub struct SshRequest<'a> {
    /// The command and its arguments, joined by spaces; a login shell without any.
    pub words: Vec<String>,
    /// Whether the other side gets a terminal; when not said, a shell at a terminal gets one.
    pub tty: Option<bool>,
    /// The kind of the local terminal (`TERM`).
    pub term: Option<String>,
    /// Local standard output.
    pub stdout: &'a mut dyn Write,
    /// Local standard error.
    pub stderr: &'a mut dyn Write,
    /// Local standard input; read by a thread that may outlive the call.
    pub stdin: Box<dyn Read + Send>,
}

impl App {
    /// How to log in to a running machine.
    ///
    /// # Errors
    /// No such machine, or "Host is not running".
    pub fn ssh_target(&self, name: &MachineName) -> Result<SshTarget> {
        let record = self.store.load(name)?;
        self.check_login(&record)?;
        let endpoints = self.endpoints(&record)?;
        let dir = self.store.folder(name);
        let machine = machine_core::MachineRef { record: &record, dir: &dir };
        Ok(self.driver(&record.driver)?.ssh_target(machine, endpoints))
    }

    /// Refuses what is done by SSH where nobody can log in.
    pub(crate) fn check_login(&self, record: &MachineRecord) -> Result<()> {
        if self.driver(&record.driver)?.capabilities().login {
            return Ok(());
        }
        let name = record.name.as_str();
        Err(Error::other(format!(
            "machine {name:?} is known by its URL alone (driver {:?}): there is no way in",
            record.driver
        ))
        .hint("`machine create -d generic` adopts a host by SSH, with all that follows from it"))
    }

    /// Runs a shell or command in a machine and returns its exit code. Blocks.
    ///
    /// # Errors
    /// A machine that does not run, a host key that is not the pinned one, a connection that is lost.
    pub fn ssh(&self, name: &MachineName, request: SshRequest<'_>) -> Result<i32> {
        let target = self.ssh_target(name)?;
        let connected = Session::connect_when_up(&target, CONNECT_LIMIT, |_| ControlFlow::Continue(()));
        let mut session = connected.map_err(|error| match error.failure {
            ConnectFailure::TimedOut => {
                error.error.hint(format!("if it is paused, `machine resume {name}` lets it go on"))
            }
            _ => error.error,
        })?;
        let command = command_line(&request.words);
        let at_terminal = terminal::is_interactive();
        let wants_tty = request.tty.unwrap_or(command.is_none() && at_terminal);
        let tty = wants_tty.then(|| {
            let (columns, rows) = terminal::size().unwrap_or((80, 24));
            Tty { term: request.term.unwrap_or_else(|| "xterm".to_owned()), columns, rows }
        });
        let raw = if tty.is_some() && at_terminal { Some(terminal::RawMode::enter()?) } else { None };
        let status = session.attach(Attach {
            command,
            tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            size: Some(&terminal::size),
        });
        drop(raw);
        Ok(status?.code())
    }
}
