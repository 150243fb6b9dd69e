//! The way to the machine's engine, by the certificates that are right at the moment.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use machine_core::Result;
use machine_docker::{EngineDialer, EngineTarget};

/// Gives dialers for one machine's engine. Its certificates are renewed while the supervisor runs: they are read anew each
/// time, and a dialer, which remembers TLS sessions, is kept as long as they stay the same.
pub(crate) struct EngineWay {
    target: Box<dyn Fn() -> Result<EngineTarget> + Send + Sync>,
    last: Mutex<Option<(EngineTarget, EngineDialer)>>,
}

impl EngineWay {
    /// The way that `target` describes; it is asked for every connection.
    pub(crate) fn new(target: impl Fn() -> Result<EngineTarget> + Send + Sync + 'static) -> Self {
        Self { target: Box::new(target), last: Mutex::new(None) }
    }

    /// What opens connections now.
    ///
    /// # Errors
    /// Certificates that cannot be read or used.
    pub(crate) fn dialer(&self) -> Result<EngineDialer> {
        let target = (self.target)()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((same, dialer)) = &*last
            && *same == target
        {
            return Ok(dialer.clone());
        }
        let dialer = EngineDialer::new(&target)?;
        *last = Some((target, dialer.clone()));
        Ok(dialer)
    }
}

impl fmt::Debug for EngineWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineWay")
    }
}
