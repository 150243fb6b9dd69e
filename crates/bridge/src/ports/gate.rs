//! Connecting to a listener with a backlog of 1, as those of QEMU's user network are (slirp's `tcp_listen`).
//!
//! A full backlog drops a connection attempt, and systems repeat one only after a second. Here attempts go one at a time, and one
//! that is not taken at once is given up and made again.
//!
//! Nor are more new at a time than a server inside has room for. When its own backlog drops a connection whose client has said
//! something already, the guest asks again (SYN-ACK) a second later, at which libslirp forgets to send those words ever again: the
//! connection hangs for good (seen with QEMU 10.0.2, libslirp 4.7, in a capture of `filter-dump`). So a connection is new until it is
//! answered, for ten seconds at most; one on which nobody has said anything can lose nothing, and is new for a fifth of one.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

/// How long a listener on this computer's loopback with room for one more takes to answer, at most.
const AT_ONCE: Duration = Duration::from_millis(10);
/// Time between two attempts: QEMU takes what waits within a turn of its main loop.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest of them, for a QEMU that stands still.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long a QEMU may stand still until connections to it are given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many connections may be new at a time: most servers have a backlog of 128 or more.
const NEW: usize = 64;
/// How long a connection is new whose client waits for an answer.
const UNANSWERED: Duration = Duration::from_secs(10);
/// How long a connection is new on which nobody says anything.
const SILENT: Duration = Duration::from_millis(200);

/// The way through one listener.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    turn: Mutex<()>,
    new: Arc<Semaphore>,
}

/// A connection that is new, until it is answered.
#[derive(Debug)]
pub(crate) struct New {
    _place: Option<OwnedSemaphorePermit>,
}

impl New {
    /// Is over when the connection is not new any more. `asked` and `answered` end with the first words of each side, or with it.
    pub(crate) async fn until<A, B>(self, asked: impl Future<Output = A>, answered: impl Future<Output = B>) {
        let mut answered = std::pin::pin!(answered);
        tokio::select! {
            _ = &mut answered => {}
            () = sleep(SILENT) => {}
            _ = asked => drop(timeout(UNANSWERED, answered).await),
        }
    }
}

impl Gate {
    /// To the port of this computer's loopback.
    pub(crate) fn to(port: u16) -> Self {
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), turn: Mutex::new(()), new: Arc::new(Semaphore::new(NEW)) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects.
    ///
    /// # Errors
    /// Nobody listens any more, or whoever does has not taken anything for two minutes.
    pub(crate) async fn pass(&self) -> Result<(TcpStream, New)> {
        // It is never closed.
        let new = New { _place: Arc::clone(&self.new).acquire_owned().await.ok() };
        let _turn = self.turn.lock().await;
        let deadline = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        loop {
            match timeout(AT_ONCE, TcpStream::connect(self.address)).await {
                Ok(Ok(stream)) => return Ok((stream, new)),
                // Windows refuses where others drop (its listeners have no room for more than their backlog).
                Ok(Err(error)) if !(cfg!(windows) && error.kind() == ErrorKind::ConnectionRefused) => {
                    return Err(error);
                }
                Ok(Err(_)) | Err(_) => {}
            }
            if Instant::now() >= deadline {
                return Err(Error::new(ErrorKind::TimedOut, "the machine takes no connections"));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
