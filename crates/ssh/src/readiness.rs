//! Waiting for sockets, with a limit, on all three systems (poll and WSAPoll by rustix).

use std::io;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a wait is for.
#[derive(Clone, Copy)]
pub(crate) struct Interest {
    /// Bytes to read.
    pub read: bool,
    /// Room to write.
    pub write: bool,
}

/// Waits until `socket` is ready or `waker` has been called, or until `limit` has passed. Returns whether the socket is
/// ready; errors and the end of a connection count as ready, as the next read tells them.
pub(crate) fn wait(
    socket: &TcpStream,
    interest: Interest,
    waker: Option<&UdpSocket>,
    limit: Duration,
) -> io::Result<bool> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.read);
    flags.set(PollFlags::OUT, interest.write);
    let mut sockets = vec![PollFd::new(socket, flags)];
    if let Some(waker) = waker {
        sockets.push(PollFd::new(waker, PollFlags::IN));
    }
    // Rounded up: a limit of less than the system's unit must not spin.
    let limit = limit.max(Duration::from_millis(1));
    let limit = Timespec::try_from(limit.min(Duration::from_secs(86_400))).map_err(io::Error::other)?;
    match poll(&mut sockets, Some(&limit)) {
        Ok(_) => Ok(!sockets[0].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
