//! Connecting to a listener with a backlog of 1, as those of QEMU's user network are (slirp's `tcp_listen`).
//!
//! A full backlog drops a connection attempt, and systems repeat one only after a second. Here attempts go one at a time, and one
//! that is not taken at once is given up and made again.
//!
//! Nor go more new ones at a time straight to a server inside than it has room for. When its own backlog drops a connection whose
//! client has said something already, the guest asks again (SYN-ACK) a second later, at which libslirp forgets to send those words
//! ever again: the connection hangs for good (seen with QEMU 10.0.2, libslirp 4.7, in a capture of `filter-dump`). What comes beyond
//! takes another way where there is one: through Docker's own proxy in the guest, which has a backlog of 4096, and whose connection
//! to the server is one of Linux, which forgets nothing.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
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

/// How long a listener may be full that refuses; afterwards it is not there.
const FULL: Duration = Duration::from_secs(3);
/// How many connections may be new at a time: as many as wait at the smallest servers, whose backlog of 5 holds one more
/// (Python's http.server: `socketserver.TCPServer.request_queue_size`; Linux: `sk_acceptq_is_full`). A browser makes six.
/// Busybox' httpd (9) lost 10 of 500 when these were 32.
const NEW: usize = 6;
/// How long one waits for the others to be answered before it takes the way for crowds, which is a slower one: no person notices.
const SOON: Duration = Duration::from_millis(50);
/// How long a connection is new that is not answered.
const UNANSWERED: Duration = Duration::from_secs(10);

/// The way through one listener.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    turn: Mutex<()>,
    new: Arc<Semaphore>,
    /// The way for crowds.
    beside: OnceLock<Box<Gate>>,
}

/// A connection that is new, until it is answered.
#[derive(Debug)]
pub(crate) struct New {
    _place: Option<OwnedSemaphorePermit>,
}

impl New {
    /// Is over when the connection is not new any more: `answered` ends with the machine's first words, or with the connection.
    pub(crate) async fn until<T>(self, answered: impl Future<Output = T>) {
        let _ = timeout(UNANSWERED, answered).await;
    }
}

impl Gate {
    /// To the port of this computer's loopback.
    pub(crate) fn to(port: u16) -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            turn: Mutex::new(()),
            new: Arc::new(Semaphore::new(NEW)),
            beside: OnceLock::new(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether crowds have a way of their own.
    pub(crate) fn is_wide(&self) -> bool {
        self.beside.get().is_some()
    }

    /// Gives crowds the way through another port of this computer's loopback.
    pub(crate) fn widen(&self, port: u16) {
        // The first one stays.
        let _ = self.beside.set(Box::new(Self::to(port)));
    }

    /// Connects.
    ///
    /// # Errors
    /// Nobody listens any more, or whoever does has not taken anything for two minutes.
    pub(crate) async fn pass(&self) -> Result<(TcpStream, New)> {
        let place = Arc::clone(&self.new).acquire_owned();
        let place = match self.beside.get() {
            Some(beside) => match timeout(SOON, place).await {
                Ok(place) => place,
                Err(_) => return Ok((beside.connect().await?, New { _place: None })),
            },
            None => place.await,
        };
        // The semaphore is never closed.
        Ok((self.connect().await?, New { _place: place.ok() }))
    }

    async fn connect(&self) -> Result<TcpStream> {
        let _turn = self.turn.lock().await;
        let began = Instant::now();
        let mut pause = PAUSE;
        loop {
            match timeout(AT_ONCE, TcpStream::connect(self.address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                // Windows refuses where others drop: a listener that is full, and one that is not there.
                Ok(Err(error))
                    if !(cfg!(windows) && error.kind() == ErrorKind::ConnectionRefused && began.elapsed() < FULL) =>
                {
                    return Err(error);
                }
                Ok(Err(_)) | Err(_) => {}
            }
            if began.elapsed() >= PATIENCE {
                return Err(Error::new(ErrorKind::TimedOut, "the machine takes no connections"));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
