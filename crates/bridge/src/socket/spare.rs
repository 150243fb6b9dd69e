//! A connection to the engine that is ready before anybody asks for it.
//!
//! Every `docker` command makes at least one connection, and a TLS handshake is dear where QEMU emulates the CPU. One
//! connection is kept with its handshake done; a client gets it at once, and another is made when the engine has been left
//! in peace for a moment.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use machine_core::{Code, Error, Result};
use machine_docker::EngineStream;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::engine_way::EngineWay;

/// How long nobody may have connected before a spare connection is made: it must not compete with the command that has just
/// begun.
const PEACE: Duration = Duration::from_millis(500);

/// Opens connections to an engine, one of them ahead of time.
#[derive(Debug)]
pub(crate) struct Spare {
    way: Arc<EngineWay>,
    machine: String,
    paused: watch::Receiver<bool>,
    ready: Mutex<Option<EngineStream>>,
    taken: Notify,
}

impl Spare {
    /// None is ready yet; [`keep`](Self::keep) makes them.
    pub(crate) fn new(way: Arc<EngineWay>, machine: String, paused: watch::Receiver<bool>) -> Self {
        Self { way, machine, paused, ready: Mutex::new(None), taken: Notify::new() }
    }

    /// A connection: the one that is ready, else a new one.
    ///
    /// # Errors
    /// Why the engine is not reached.
    pub(super) async fn take(&self) -> Result<EngineStream> {
        if *self.paused.borrow() {
            let machine = &self.machine;
            return Err(Error::new(Code::NotRunning, format!("machine {machine:?} is paused"))
                .hint(format!("`machine resume {machine}` lets it go on")));
        }
        let ready = self.slot().take();
        self.taken.notify_one();
        if let Some(mut ready) = ready
            && is_quiet(&mut ready).await
        {
            return Ok(ready);
        }
        Ok(self.way.dialer()?.open().await?)
    }

    /// Throws the ready connection away: the machine stood still, and nobody knows what became of it.
    pub(crate) fn discard(&self) {
        let stale = self.slot().take();
        if stale.is_some() {
            self.taken.notify_one();
        }
    }

    /// Makes spare connections, for ever.
    pub(crate) async fn keep(&self) {
        loop {
            self.taken.notified().await;
            // Whoever comes meanwhile begins the wait anew.
            while tokio::time::timeout(PEACE, self.taken.notified()).await.is_ok() {}
            let opened = async { Ok::<_, Error>(self.way.dialer()?.open().await?) };
            match opened.await {
                Ok(stream) => *self.slot() = Some(stream),
                Err(error) => {
                    tracing::debug!(%error, "no spare connection to the engine");
                    sleep(PEACE).await;
                }
            }
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<EngineStream>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the other side has neither closed the connection nor said anything. (Session tickets of TLS are read on the way.)
async fn is_quiet(stream: &mut EngineStream) -> bool {
    let mut byte = [0];
    std::future::poll_fn(|cx| {
        let mut buffer = ReadBuf::new(&mut byte);
        Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer).is_pending())
    })
    .await
}
