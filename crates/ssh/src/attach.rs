//! A person's terminal, or a pipe, at a command or shell in a machine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use machine_core::Result;

use crate::connect::Session;
use crate::exec::{ExitStatus, Stream};
use crate::pump::{CHUNK, Fed, Feed, Stop};

/// Pieces of input read ahead of what the machine takes.
const READ_AHEAD: usize = 8;

/// The terminal asked for on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tty {
    /// Its kind, as in `TERM`.
    pub term: String,
    /// Characters per line.
    pub columns: u32,
    /// Lines.
    pub rows: u32,
}

/// What is joined to a command or shell in a machine.
pub struct Attach<'a> {
    /// The command; the user's login shell without one.
    pub command: Option<String>,
    /// A terminal there; without one all three streams are binary-clean and kept apart.
    pub tty: Option<Tty>,
    /// Read on a thread of its own, which may stay in its last read when the command has ended: fit for the input of a
    /// process that is about to exit.
    pub stdin: Box<dyn Read + Send>,
    /// Where the command's output goes, flushed piece by piece.
    pub stdout: &'a mut dyn Write,
    /// Where the command's error output goes (with a terminal there is none).
    pub stderr: &'a mut dyn Write,
    /// Tells the present size of the local terminal, columns and rows; asked five times a second.
    pub size: Option<&'a dyn Fn() -> Option<(u32, u32)>>,
}

/// A command line from arguments, joined by spaces as ssh and docker-machine do; `None` for no arguments.
pub fn command_line<S: AsRef<str>>(arguments: &[S]) -> Option<String> {
    let words: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

impl Session {
    /// Joins the local streams to a command or shell until it ends.
    ///
    /// The local terminal should be in raw mode ([`crate::terminal::RawMode`]), so that Ctrl-C travels as a byte. When the
    /// reader of `stdout` or `stderr` has gone, the command ends as by `SIGPIPE`.
    ///
    /// # Errors
    /// When the connection is lost, or silent for two minutes, or a local stream fails.
    pub fn attach(&mut self, attach: Attach<'_>) -> Result<ExitStatus> {
        let Attach { command, tty, stdin, stdout, stderr, size } = attach;
        let shown = command.clone().unwrap_or_else(|| "the shell".to_owned());
        let mut inbox = match Inbox::new(stdin) {
            Ok(inbox) => inbox,
            Err(error) => return Err(self.lost(&shown, Stop::Input(error))),
        };
        let mut sink = |stream: Stream, bytes: &[u8]| {
            let local: &mut dyn Write = match stream {
                Stream::Stdout => &mut *stdout,
                Stream::Stderr => &mut *stderr,
            };
            local.write_all(bytes)?;
            local.flush()
        };
        let size = size.filter(|_| tty.is_some());
        match self.run(command.as_deref(), tty.as_ref(), &mut inbox, &mut sink, size, None) {
            Ok(status) => Ok(status),
            Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(ExitStatus::Signal("PIPE".to_owned()))
            }
            Err(stop) => Err(self.lost(&shown, stop)),
        }
    }
}

/// Input read by a thread of its own, which calls the pump by a datagram to itself: no other way to wait for a socket and
/// a console together works on all three systems.
struct Inbox {
    pieces: Receiver<io::Result<Vec<u8>>>,
    waker: UdpSocket,
}

impl Inbox {
    fn new(stdin: Box<dyn Read + Send>) -> io::Result<Self> {
        let waker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        // Connected to itself, it hears nobody else.
        waker.connect(waker.local_addr()?)?;
        waker.set_nonblocking(true)?;
        let caller = waker.try_clone()?;
        let (sender, pieces) = sync_channel(READ_AHEAD);
        std::thread::Builder::new().name("ssh-stdin".into()).spawn(move || read_all(stdin, &sender, &caller))?;
        Ok(Self { pieces, waker })
    }
}

fn read_all(mut stdin: Box<dyn Read + Send>, sender: &SyncSender<io::Result<Vec<u8>>>, waker: &UdpSocket) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let piece = match stdin.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map(|count| buffer[..count].to_vec()),
        };
        let last = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
        let gone = sender.send(piece).is_err();
        // A full socket buffer holds enough calls already.
        let _ = waker.send(&[0]);
        if last || gone {
            return;
        }
    }
}

impl Feed for Inbox {
    fn next(&mut self) -> io::Result<Fed> {
        while self.waker.recv(&mut [0]).is_ok() {}
        match self.pieces.try_recv() {
            Ok(piece) => piece.map(|bytes| if bytes.is_empty() { Fed::End } else { Fed::Bytes(bytes) }),
            Err(TryRecvError::Empty) => Ok(Fed::NotYet),
            Err(TryRecvError::Disconnected) => Ok(Fed::End),
        }
    }

    fn waker(&self) -> Option<&UdpSocket> {
        Some(&self.waker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_joined_by_spaces_and_none_means_a_shell() {
        assert_eq!(command_line::<&str>(&[]), None);
        assert_eq!(command_line(&["echo", "a  b", "$HOME"]).as_deref(), Some("echo a  b $HOME"));
    }
}
