//! Where a channel of the session and a stream of this process meet.

use std::io::{Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use ssh2::{Channel, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::oneshot;

use super::handle::ProcessEnd;
use crate::connect::{Fault, Session};
use crate::exec::ExitStatus;
use crate::pump::{CHUNK, Stop};
use crate::settle::{Patience, settle, settle_io};

/// Pieces moved one way before others get their turn.
const TURN: usize = 8;

/// Of a command's error output, what is kept.
const STDERR: usize = 4096;

/// What a look at one channel came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Idle,
    Moved,
    Over,
}

/// One channel with its stream.
pub(super) struct Joint {
    channel: Channel,
    local: DuplexStream,
    /// From the machine, on its way to the stream.
    incoming: Vec<u8>,
    handed: usize,
    /// From the stream, on its way to the machine.
    outgoing: Vec<u8>,
    sent: usize,
    /// The stream has not ended its side.
    local_open: bool,
    /// The machine's side has not ended, or that was not handed on.
    remote_open: bool,
    /// Of commands: who is told of the end, and what was said on the way to it.
    end: Option<oneshot::Sender<ProcessEnd>>,
    stderr: Vec<u8>,
}

impl Joint {
    pub(super) fn new(channel: Channel, local: DuplexStream, end: Option<oneshot::Sender<ProcessEnd>>) -> Self {
        Self {
            channel,
            local,
            incoming: Vec::new(),
            handed: 0,
            outgoing: Vec::new(),
            sent: 0,
            local_open: true,
            remote_open: true,
            end,
            stderr: Vec::new(),
        }
    }

    /// Moves what can be moved. What ends this channel alone is no error.
    pub(super) fn step(
        &mut self,
        session: &Session,
        patience: Patience<'_>,
        context: &mut Context<'_>,
    ) -> Result<Step, Stop> {
        match self.try_step(session, patience, context) {
            Err(Stop::Fault(Fault::Ssh(error))) if is_of_one_channel(&error) => Ok(Step::Over),
            result => result,
        }
    }

    fn try_step(&mut self, session: &Session, patience: Patience<'_>, context: &mut Context<'_>) -> Result<Step, Stop> {
        let mut moved = false;
        for _ in 0..TURN {
            match self.receive(session, patience, context)? {
                Step::Idle => break,
                Step::Moved => moved = true,
                Step::Over => return self.close(session, patience),
            }
        }
        if self.end.is_some() {
            moved |= self.hear_stderr(session, patience)?;
        }
        if self.has_closed(session, patience)? {
            self.tell_end();
            return self.close(session, patience);
        }
        for _ in 0..TURN {
            match self.send(session, patience, context) {
                Ok(true) => moved = true,
                Ok(false) => break,
                // The machine has closed the channel, and somebody else's reading has taken that in: nobody there reads what
                // is left. What it said before is still to be handed on.
                Err(Stop::Fault(Fault::Ssh(error))) if is_of_one_channel(&error) => {
                    self.outgoing.clear();
                    self.sent = 0;
                    self.local_open = false;
                    moved = true;
                    break;
                }
                Err(stop) => return Err(stop),
            }
        }
        // (What we have shut down ourselves says nothing.)
        let asks = self.remote_open && !self.local_open;
        if asks && matches!(Pin::new(&mut self.local).poll_write(context, &[]), Poll::Ready(Err(_))) {
            // Not just shut down: nobody is there.
            return self.close(session, patience);
        }
        if !self.local_open && !self.remote_open && self.end.is_none() {
            // Both directions have ended. (A command's exit code comes after its last output.)
            return self.close(session, patience);
        }
        Ok(if moved { Step::Moved } else { Step::Idle })
    }

    fn receive(&mut self, session: &Session, patience: Patience<'_>, context: &mut Context<'_>) -> Result<Step, Stop> {
        if !self.remote_open {
            return Ok(Step::Idle);
        }
        if self.handed == self.incoming.len() {
            self.incoming.resize(CHUNK, 0);
            self.handed = 0;
            let mut stream = self.channel.stream(0);
            let read = settle_io(session, patience, || stream.read(&mut self.incoming));
            let count = match &read {
                Ok(Some(count)) => *count,
                _ => 0,
            };
            self.incoming.truncate(count);
            read?;
            if count == 0 {
                if !self.channel.eof() {
                    return Ok(Step::Idle);
                }
                return Ok(match Pin::new(&mut self.local).poll_shutdown(context) {
                    Poll::Ready(_) => {
                        self.remote_open = false;
                        Step::Moved
                    }
                    Poll::Pending => Step::Idle,
                });
            }
        }
        Ok(match Pin::new(&mut self.local).poll_write(context, &self.incoming[self.handed..]) {
            Poll::Ready(Ok(count)) => {
                self.handed += count;
                Step::Moved
            }
            Poll::Ready(Err(_)) => Step::Over,
            Poll::Pending => Step::Idle,
        })
    }

    fn hear_stderr(&mut self, session: &Session, patience: Patience<'_>) -> Result<bool, Stop> {
        let mut buffer = [0; 4096];
        let mut stream = self.channel.stream(1);
        let Some(count) = settle_io(session, patience, || stream.read(&mut buffer))?.filter(|count| *count > 0) else {
            return Ok(false);
        };
        self.stderr.extend_from_slice(&buffer[..count]);
        let excess = self.stderr.len().saturating_sub(STDERR);
        self.stderr.drain(..excess);
        Ok(true)
    }

    fn send(&mut self, session: &Session, patience: Patience<'_>, context: &mut Context<'_>) -> Result<bool, Stop> {
        if self.sent == self.outgoing.len() {
            if !self.local_open {
                return Ok(false);
            }
            self.sent = 0;
            self.outgoing.resize(CHUNK, 0);
            let mut buffer = ReadBuf::new(&mut self.outgoing);
            let read = Pin::new(&mut self.local).poll_read(context, &mut buffer);
            let count = buffer.filled().len();
            self.outgoing.truncate(count);
            if read.is_pending() {
                return Ok(false);
            }
            if count == 0 {
                let mut channel = self.channel.clone();
                self.local_open = settle(session, patience, || channel.send_eof())?.is_none();
                return Ok(!self.local_open);
            }
        }
        let mut stream = self.channel.stream(0);
        let wrote = settle_io(session, patience, || stream.write(&self.outgoing[self.sent..]))?;
        self.sent += wrote.unwrap_or(0);
        Ok(wrote.is_some())
    }

    /// The channel is closed by the machine, and all that it said is handed on.
    fn has_closed(&mut self, session: &Session, patience: Patience<'_>) -> Result<bool, Stop> {
        if self.remote_open || !self.channel.eof() {
            return Ok(false);
        }
        let mut channel = self.channel.clone();
        Ok(settle(session, patience, || channel.wait_close())?.is_some() && self.channel.read_window().available == 0)
    }

    fn tell_end(&mut self) {
        let signal = self.channel.exit_signal().ok().and_then(|signal| signal.exit_signal);
        let code = self.channel.exit_status();
        let status = match (signal, code) {
            (Some(name), _) => ExitStatus::Signal(name),
            (None, Ok(code)) => ExitStatus::Code(code),
            (None, Err(_)) => return,
        };
        if let Some(end) = self.end.take() {
            let stderr = String::from_utf8_lossy(&self.stderr).trim().to_owned();
            // Nobody may want to know.
            let _ = end.send(ProcessEnd { status, stderr });
        }
    }

    /// Ends the channel, as far as the socket takes it: what the machine says to that is nobody's news.
    fn close(&mut self, session: &Session, patience: Patience<'_>) -> Result<Step, Stop> {
        let mut channel = self.channel.clone();
        settle(session, patience, || channel.close())?;
        Ok(Step::Over)
    }
}

/// Whether an error says that a channel is of no use any more, and nothing of its session.
pub(super) fn is_of_one_channel(error: &ssh2::Error) -> bool {
    // LIBSSH2_ERROR_CHANNEL_OUTOFORDER to LIBSSH2_ERROR_CHANNEL_EOF_SENT (libssh2.h).
    matches!(error.code(), ErrorCode::Session(-27..=-20))
}
