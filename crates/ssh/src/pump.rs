//! Moves bytes between a running remote command and this computer, both ways at once, on one thread.

use std::io::{self, Read};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ssh2::Channel;

use crate::connect::{Fault, KEEPALIVE, Session};
use crate::exec::{ExitStatus, Stream};
use crate::readiness::{Interest, wait};
use crate::settle::{settle, settle_io};

/// How long a connection may be silent, although asked for a sign of life, before it counts as lost.
pub(crate) const SILENCE: Duration = Duration::from_secs(120);

/// How often a terminal's size is looked at.
const SIZE_INTERVAL: Duration = Duration::from_millis(200);

/// Bytes moved per call: libssh2 sends at most 32700 in one packet.
pub(crate) const CHUNK: usize = 32 * 1024;

/// What is next for the remote command's input.
pub(crate) enum Fed {
    Bytes(Vec<u8>),
    NotYet,
    End,
}

/// Where the remote command's input comes from.
pub(crate) trait Feed {
    fn next(&mut self) -> io::Result<Fed>;

    /// A socket that becomes readable when `next` would no longer answer [`Fed::NotYet`].
    fn waker(&self) -> Option<&UdpSocket> {
        None
    }
}

/// Input from a file or from memory, which never make wait for long.
pub(crate) struct FromReader<'a>(pub &'a mut dyn Read);

impl Feed for FromReader<'_> {
    fn next(&mut self) -> io::Result<Fed> {
        let mut bytes = vec![0; CHUNK];
        let count = self.0.read(&mut bytes)?;
        bytes.truncate(count);
        Ok(if count == 0 { Fed::End } else { Fed::Bytes(bytes) })
    }
}

/// Why a pump ended without an exit status.
pub(crate) enum Stop {
    /// Our side of the connection, or the connection itself.
    Fault(Fault),
    /// Nothing was heard for this long.
    Silent(Duration),
    /// The input cannot be read.
    Input(io::Error),
    /// The output cannot be written.
    Output(io::Error),
}

impl<E: Into<Fault>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// Where the remote command's output goes.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Stream, &[u8]) -> io::Result<()>;

/// Asks for the size of the local terminal: columns and rows.
pub(crate) type Size<'a> = &'a dyn Fn() -> Option<(u32, u32)>;

pub(crate) struct Pump<'a> {
    pub session: &'a Session,
    pub channel: Channel,
    pub feed: &'a mut dyn Feed,
    pub sink: Sink<'a>,
    pub size: Option<Size<'a>>,
    pub deadline: Option<Instant>,
}

impl Pump<'_> {
    /// Runs until the remote side has closed the channel and everything it said has been handed on.
    pub(crate) fn run(mut self) -> Result<ExitStatus, Stop> {
        let mut outgoing: Vec<u8> = Vec::new();
        let mut sent = 0;
        let mut input_open = true;
        let mut size = self.size.and_then(|size| size());
        let mut heard = Instant::now();
        let mut buffer = vec![0; CHUNK];
        loop {
            let mut moved = self.drain(Stream::Stdout, &mut buffer)?;
            moved |= self.drain(Stream::Stderr, &mut buffer)?;
            if self.has_closed()? {
                // It has said all; nobody there reads what may be left of the input.
                let mut channel = self.channel.clone();
                self.settle(|| channel.close())?;
                return self.exit_status();
            }
            if input_open {
                if sent == outgoing.len() {
                    sent = 0;
                    match self.feed.next().map_err(Stop::Input)? {
                        Fed::Bytes(bytes) => outgoing = bytes,
                        Fed::NotYet => outgoing.clear(),
                        Fed::End => {
                            outgoing.clear();
                            let mut channel = self.channel.clone();
                            input_open = self.settle(|| channel.send_eof())?.is_none();
                        }
                    }
                }
                if sent < outgoing.len() {
                    let mut stream = self.channel.stream(0);
                    let wrote = self.settle_io(|| io::Write::write(&mut stream, &outgoing[sent..]))?;
                    sent += wrote.unwrap_or(0);
                    moved |= wrote.is_some();
                }
            }
            self.follow_size(&mut size)?;
            if moved {
                heard = Instant::now();
                self.check_deadline()?;
                continue;
            }
            let mut patience = self.patience()?;
            if self.channel.read_window().available > 0 {
                // Looking at one stream has taken in bytes of another, which no wait would tell of.
                patience = patience.min(Duration::from_millis(1));
            }
            let waker = if input_open && outgoing.is_empty() { self.feed.waker() } else { None };
            if wait(&self.session.socket, Interest { read: true, write: false }, waker, patience)? {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE {
                return Err(Stop::Silent(SILENCE));
            } else if heard.elapsed() > KEEPALIVE {
                self.session.ssh.keepalive_send().map_err(Fault::Ssh)?;
            }
        }
    }

    /// Hands on what has arrived of one stream. Bounded, so that input and the other stream get their turn.
    fn drain(&mut self, which: Stream, buffer: &mut [u8]) -> Result<bool, Stop> {
        let mut stream = self.channel.stream(which.id());
        let mut moved = false;
        for _ in 0..8 {
            match self.settle_io(|| stream.read(buffer))? {
                Some(count) if count > 0 => {
                    (self.sink)(which, &buffer[..count]).map_err(Stop::Output)?;
                    moved = true;
                }
                _ => break,
            }
        }
        Ok(moved)
    }

    /// The channel, not just its output, is closed: a command may close its output and go on reading.
    fn has_closed(&mut self) -> Result<bool, Stop> {
        if !self.channel.eof() {
            return Ok(false);
        }
        let mut channel = self.channel.clone();
        Ok(self.settle(|| channel.wait_close())?.is_some() && self.channel.read_window().available == 0)
    }

    fn exit_status(&self) -> Result<ExitStatus, Stop> {
        let signal = self.channel.exit_signal().map_err(Fault::Ssh)?.exit_signal;
        Ok(match signal {
            Some(name) => ExitStatus::Signal(name),
            None => ExitStatus::Code(self.channel.exit_status().map_err(Fault::Ssh)?),
        })
    }

    fn follow_size(&mut self, known: &mut Option<(u32, u32)>) -> Result<(), Stop> {
        let now = self.size.and_then(|size| size());
        if let Some((columns, rows)) = now
            && now != *known
        {
            let mut channel = self.channel.clone();
            if self.settle(|| channel.request_pty_size(columns, rows, None, None))?.is_some() {
                *known = now;
            }
        }
        Ok(())
    }

    /// Does `operation`, or answers `None` when it needs something from the other side first.
    fn settle<T>(&self, operation: impl FnMut() -> Result<T, ssh2::Error>) -> Result<Option<T>, Stop> {
        settle(self.session, &|| self.patience(), operation)
    }

    /// As [`Self::settle`], for the operations that answer with the standard library's errors.
    fn settle_io<T>(&self, operation: impl FnMut() -> io::Result<T>) -> Result<Option<T>, Stop> {
        settle_io(self.session, &|| self.patience(), operation)
    }

    fn check_deadline(&self) -> Result<(), Stop> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Fault::TimedOut.into()),
            _ => Ok(()),
        }
    }

    /// How long one wait may last.
    fn patience(&self) -> Result<Duration, Stop> {
        self.check_deadline()?;
        let longest = if self.size.is_some() { SIZE_INTERVAL } else { KEEPALIVE };
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Ok(left.map_or(longest, |left| left.min(longest)))
    }
}
