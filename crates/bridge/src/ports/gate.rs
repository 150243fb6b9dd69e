//! Connecting to a listener with a backlog of 1, as those of QEMU's user network are (slirp's `tcp_listen`).
//!
//! A full backlog drops a connection attempt, and systems repeat one only after a second. Here attempts go one at a time, and one
//! that is not taken at once is given up and made again.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// How long a listener on this computer's loopback with room for one more takes to answer, at most.
const AT_ONCE: Duration = Duration::from_millis(10);
/// Time between two attempts: QEMU takes what waits within a turn of its main loop.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest of them, for a QEMU that stands still.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long a QEMU may stand still until connections to it are given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// The way through one listener.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    turn: Mutex<()>,
}

impl Gate {
    /// To the port of this computer's loopback.
    pub(crate) fn to(port: u16) -> Self {
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), turn: Mutex::new(()) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects.
    ///
    /// # Errors
    /// Nobody listens any more, or whoever does has not taken anything for two minutes.
    pub(crate) async fn pass(&self) -> Result<TcpStream> {
        let _turn = self.turn.lock().await;
        let deadline = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        loop {
            match timeout(AT_ONCE, TcpStream::connect(self.address)).await {
                Ok(Ok(stream)) => return Ok(stream),
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
