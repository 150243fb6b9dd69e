//! The end of a run before its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use machine_core::{Code, Error};

/// Tells a run, on whatever thread, that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the run at its next step. What is whole by then stays.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run shall end.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn check(&self) -> io::Result<()> {
        // Not `ErrorKind::Interrupted`: readers would try again.
        if self.is_told() { Err(io::Error::other("interrupted")) } else { Ok(()) }
    }

    pub(crate) fn error(&self) -> Option<Error> {
        self.is_told().then(|| Error::new(Code::Interrupted, "interrupted"))
    }
}
