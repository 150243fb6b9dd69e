//! The way into the guest: one login for its scripts and for all that `sshfs` there ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use machine_core::{Code, Error, Result, SshTarget};
use machine_ssh::{Incoming, Session, Tunnel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::mounts;
use super::sftp::{Exports, serve};

/// How long a guest may take to let us in; it is asked again after that.
const LOGIN: Duration = Duration::from_secs(60);

/// How long a script may take: seconds without hardware acceleration.
const SCRIPT: Duration = Duration::from_secs(120);

/// What a script may say, bytes.
const LONGEST: u64 = 1 << 20;

/// So many connections are served at once; each share makes one.
const CONNECTIONS: usize = 64;

/// How often a port is asked for that the sshd of the last supervisor is about to let go of, and the time between.
const ATTEMPTS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(250);

/// A guest that asks for files, and is told what to mount. It ends when it is dropped.
pub(super) struct Connection {
    tunnel: Tunnel,
    serving: JoinHandle<()>,
    /// Our mounts that were there before.
    pub(super) found: Vec<String>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Ends an attempt to log in that nobody waits for any more.
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connection {
    /// Logs in and serves `exports` to whoever connects in the guest.
    ///
    /// # Errors
    /// A guest that does not let us in, or whose sshd forwards nothing.
    pub(super) async fn open(target: SshTarget, exports: Arc<Exports>) -> Result<Self> {
        let abandoned = Abandoned(Arc::default());
        let stop = Arc::clone(&abandoned.0);
        let session = machine_ssh::blocking(move || {
            Session::connect_when_up(&target, LOGIN, |_| match stop.load(Ordering::Relaxed) {
                true => std::ops::ControlFlow::Break(()),
                false => std::ops::ControlFlow::Continue(()),
            })
            .map_err(Error::from)
        })
        .await?;
        drop(abandoned);
        let tunnel = Tunnel::over(session)?;
        let found = mounts::mounted(&root(&tunnel, "cannot look at the machine's mounts", &mounts::begin()).await?);
        let incoming = listen(&tunnel).await?;
        let serving = tokio::spawn(accept(incoming, exports));
        Ok(Self { tunnel, serving, found })
    }

    /// Runs a script as root; returns what it says.
    ///
    /// # Errors
    /// `doing`, with the script's last words when it fails.
    pub(super) async fn root(&self, doing: &str, script: &str) -> Result<String> {
        root(&self.tunnel, doing, script).await
    }

    /// The connection, for other commands in the guest.
    pub(super) fn tunnel(&self) -> Tunnel {
        self.tunnel.clone()
    }

    /// Waits until the connection is lost, and tells why.
    pub(super) async fn lost(&self) -> Error {
        self.tunnel.ended().await
    }
}

async fn listen(tunnel: &Tunnel) -> Result<Incoming> {
    let mut attempt = 0;
    loop {
        match tunnel.listen(mounts::PORT).await {
            Ok(incoming) => return Ok(incoming),
            Err(error) if attempt == ATTEMPTS => {
                return Err(error.hint(format!(
                    "port {} of the machine's loopback must be free, and its sshd must allow TCP forwarding",
                    mounts::PORT
                )));
            }
            Err(_) => {
                attempt += 1;
                tokio::time::sleep(BETWEEN).await;
            }
        }
    }
}

/// Each connection has a thread: reading files blocks.
async fn accept(mut incoming: Incoming, exports: Arc<Exports>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some(stream) = incoming.next().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let exports = Arc::clone(&exports);
        let work = move || {
            let _until_it_ends = place;
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
            if let Err(error) = runtime.block_on(serve(stream, exports)) {
                tracing::debug!(%error, "a connection to the shared folders ended");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("share".into()).spawn(work) {
            tracing::warn!(%error, "no thread for a connection to the shared folders");
        }
    }
}

async fn root(tunnel: &Tunnel, doing: &str, script: &str) -> Result<String> {
    let work = async {
        let (stream, end) = tunnel.exec(mounts::ROOT).await?.into_parts();
        let (reader, mut writer) = tokio::io::split(stream);
        let mut reader = reader.take(LONGEST);
        let mut said = String::new();
        let say = async {
            // A shell that ends early takes no more: its last words say why.
            let _ = writer.write_all(script.as_bytes()).await;
            let _ = writer.shutdown().await;
        };
        let (_, heard) = tokio::join!(say, reader.read_to_string(&mut said));
        heard.map_err(|error| Error::other(doing.to_owned()).because(error))?;
        let Some(end) = end.await else { return Err(Error::other(format!("{doing}: the connection was lost"))) };
        if end.status.success() {
            return Ok(said);
        }
        let words = end.stderr.lines().rev().take(3).collect::<Vec<_>>();
        let words = words.into_iter().rev().collect::<Vec<_>>().join(" | ");
        Err(Error::other(format!("{doing}: {}", if words.is_empty() { end.status.to_string() } else { words })))
    };
    match tokio::time::timeout(SCRIPT, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(Code::TimedOut, format!("{doing}: no answer within {} s", SCRIPT.as_secs()))),
    }
}
