//! Commands run in a machine.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use machine_core::{Code, Error, Result};
use ssh2::Channel;

use crate::attach::Tty;
use crate::connect::{Fault, Session};
use crate::pump::{Feed, FromReader, Pump, Sink, Size, Stop};

/// How long opening a channel and starting a command may take.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Which of a command's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

impl Stream {
    pub(crate) fn id(self) -> i32 {
        match self {
            Self::Stdout => 0,
            // SSH_EXTENDED_DATA_STDERR (RFC 4254, 5.2).
            Self::Stderr => 1,
        }
    }
}

/// How a remote command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it; the name is without `SIG` (RFC 4254, 6.10).
    Signal(String),
}

impl ExitStatus {
    /// Whether the code is 0.
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }

    /// The code to exit with in its place: 128 plus the signal's number, as shells do.
    pub fn code(&self) -> i32 {
        const SIGNALS: [(&str, i32); 13] = [
            ("HUP", 1),
            ("INT", 2),
            ("QUIT", 3),
            ("ILL", 4),
            ("ABRT", 6),
            ("FPE", 8),
            ("KILL", 9),
            ("USR1", 10),
            ("SEGV", 11),
            ("USR2", 12),
            ("PIPE", 13),
            ("ALRM", 14),
            ("TERM", 15),
        ];
        match self {
            Self::Code(code) => *code,
            Self::Signal(name) => {
                SIGNALS.iter().find(|(known, _)| known == name).map_or(255, |(_, number)| 128 + number)
            }
        }
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(name) => write!(f, "signal {name}"),
        }
    }
}

/// What a remote command said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The standard output as text, when the command succeeded.
    ///
    /// # Errors
    /// `doing` (such as "cannot read the clock"), how the command ended, and the last lines of its standard error.
    pub fn text(self, doing: &str) -> Result<String> {
        if self.status.success() {
            return Ok(String::from_utf8_lossy(&self.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&self.stderr);
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(3)..].join(" | ");
        let status = self.status;
        Err(Error::other(if last.is_empty() {
            format!("{doing}: {status}")
        } else {
            format!("{doing}: {status}: {last}")
        }))
    }
}

/// What is collected of a command's output, bytes.
const LONGEST: usize = 64 << 20;

impl Session {
    /// Runs `command` by the user's shell, with no input, and collects what it says.
    ///
    /// # Errors
    /// A limit that passed ([`Code::TimedOut`]) or a connection that was lost. A command that fails is no error.
    pub fn exec(&mut self, command: &str, limit: Duration) -> Result<Output> {
        self.exec_with_input(command, &mut io::empty(), limit)
    }

    /// Runs `command` with `input` and collects what it says: any bytes, 64 MiB at most.
    ///
    /// # Errors
    /// As [`Self::exec`], an input that cannot be read, and a command that says more.
    pub fn exec_with_input(&mut self, command: &str, input: &mut dyn Read, limit: Duration) -> Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = self.exec_streaming(command, input, limit, &mut |stream, bytes| {
            // The machine is not to fill this computer's memory.
            if stdout.len() + stderr.len() + bytes.len() > LONGEST {
                return Err(io::Error::other("it says more than 64 MiB"));
            }
            match stream {
                Stream::Stdout => stdout.extend_from_slice(bytes),
                Stream::Stderr => stderr.extend_from_slice(bytes),
            }
            Ok(())
        })?;
        Ok(Output { status, stdout, stderr })
    }

    /// Runs `command` with `input` and hands every piece of its output to `sink` as it comes.
    ///
    /// # Errors
    /// As [`Self::exec_with_input`], and an error of `sink`, which ends the command's connection.
    pub fn exec_streaming(
        &mut self,
        command: &str,
        input: &mut dyn Read,
        limit: Duration,
        sink: &mut dyn FnMut(Stream, &[u8]) -> io::Result<()>,
    ) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        self.run(Some(command), None, &mut FromReader(input), sink, None, Some(deadline)).map_err(|stop| match stop {
            Stop::Fault(Fault::TimedOut) => Error::new(
                Code::TimedOut,
                format!("`{command}` on {} did not end within {} s", self.peer, limit.as_secs_f32()),
            ),
            stop => self.lost(command, stop),
        })
    }

    /// Opens a channel, starts the command (or the login shell) in it, and pumps until it has ended.
    pub(crate) fn run(
        &mut self,
        command: Option<&str>,
        tty: Option<&Tty>,
        feed: &mut dyn Feed,
        sink: Sink<'_>,
        size: Option<Size<'_>>,
        deadline: Option<Instant>,
    ) -> Result<ExitStatus, Stop> {
        if self.spoilt {
            return Err(Fault::Socket(io::Error::new(
                io::ErrorKind::NotConnected,
                "an earlier command was broken off",
            ))
            .into());
        }
        // Until the end is reached in order, nobody knows what would arrive next.
        self.spoilt = true;
        let channel = self.start(command, tty, deadline)?;
        let status = Pump { session: self, channel, feed, sink, size, deadline }.run()?;
        self.spoilt = false;
        Ok(status)
    }

    fn start(&self, command: Option<&str>, tty: Option<&Tty>, deadline: Option<Instant>) -> Result<Channel, Fault> {
        let limit = Instant::now() + START_LIMIT;
        let limit = deadline.map_or(limit, |deadline| deadline.min(limit));
        let mut channel = self.retry(|_| limit, || self.ssh.channel_session())?;
        if let Some(tty) = tty {
            let size = Some((tty.columns, tty.rows, 0, 0));
            self.retry(|_| limit, || channel.request_pty(&tty.term, None, size))?;
        }
        self.retry(
            |_| limit,
            || match command {
                Some(command) => channel.exec(command),
                None => channel.shell(),
            },
        )?;
        Ok(channel)
    }

    /// What a person reads when a command was broken off.
    pub(crate) fn lost(&self, command: &str, stop: Stop) -> Error {
        let peer = &self.peer;
        match stop {
            Stop::Fault(Fault::TimedOut) => {
                Error::new(Code::TimedOut, format!("{peer} did not start `{command}` in time"))
            }
            Stop::Fault(Fault::Ssh(error)) if self.is_gone(&error) => {
                Error::other(format!("{peer} closed the connection while `{command}` ran"))
                    .hint("the machine may have been stopped; `machine status` tells")
            }
            Stop::Fault(Fault::Ssh(error)) => Error::other(format!("cannot run `{command}` on {peer}")).because(error),
            Stop::Fault(Fault::Socket(error)) => {
                Error::other(format!("the connection to {peer} was lost while `{command}` ran")).because(error)
            }
            Stop::Silent(silence) => {
                Error::new(Code::TimedOut, format!("{peer} has not answered for {} s", silence.as_secs()))
                    .hint("the machine may be stopped, paused or overloaded; `machine status` tells")
            }
            Stop::Input(error) => Error::other(format!("cannot read the input of `{command}`")).because(error),
            Stop::Output(error) => Error::other(format!("cannot write the output of `{command}`")).because(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_told_by_its_last_words() {
        let output = |status, stderr: &str| Output { status, stdout: b"out".to_vec(), stderr: stderr.into() };
        assert_eq!(output(ExitStatus::Code(0), "noise").text("x").unwrap(), "out");
        let failed = output(ExitStatus::Code(3), "a\n\nb\nc\nd\n").text("cannot do it").unwrap_err();
        assert_eq!(failed.to_string(), "cannot do it: exit code 3: b | c | d");
        let killed = output(ExitStatus::Signal("KILL".into()), "").text("cannot do it").unwrap_err();
        assert_eq!(killed.to_string(), "cannot do it: signal KILL");
    }

    #[test]
    fn a_signal_becomes_the_code_that_a_shell_would_give() {
        assert_eq!(ExitStatus::Signal("KILL".into()).code(), 137);
        assert_eq!(ExitStatus::Signal("SOMETHING@else".into()).code(), 255);
        assert_eq!(ExitStatus::Code(7).code(), 7);
    }
}
