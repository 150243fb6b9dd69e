//! A wish to stop, shared by whoever may have it and the work that looks for it.

use std::sync::Arc;

use machine_core::{Code, Error, Result};
use tokio::sync::watch;

/// Asks long work to stop: Ctrl-C, a button, a caller that no longer cares. Clones share one wish.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Cancel {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Asks the work to stop. It cannot be taken back.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether somebody has asked.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until somebody asks.
    pub async fn cancelled(&self) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|asked| *asked).await;
    }

    /// Goes on unless somebody has asked to stop.
    ///
    /// # Errors
    /// [`Code::Interrupted`].
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Self::error()) } else { Ok(()) }
    }

    pub(crate) fn error() -> Error {
        Error::new(Code::Interrupted, "interrupted")
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}
