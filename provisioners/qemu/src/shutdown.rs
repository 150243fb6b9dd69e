//! Ending a QEMU: ask the guest, ask again, then force.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use machine_core::{Error, Result};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::process_identity::ProcessIdentity;
use crate::qmp::Qmp;

/// How long QEMU may take to end itself (it flushes its disks), before it is ended by the system.
const QUIT: Duration = Duration::from_secs(5);
/// How long the system may take to end a process.
const KILL: Duration = Duration::from_secs(10);

/// What is to be ended, and how gently.
pub(crate) struct Shutdown<'a> {
    /// Its monitor, if it is connected already.
    pub(crate) qmp: Option<&'a Qmp>,
    /// Where its monitor is otherwise.
    pub(crate) socket: &'a Path,
    /// Who it is.
    pub(crate) identity: &'a ProcessIdentity,
    /// Its CPUs are halted: they must run to shut down.
    pub(crate) paused: bool,
    /// From when on force is used; none: at once.
    pub(crate) deadline: Option<Instant>,
    /// Set when force is about to be used.
    pub(crate) forced: &'a AtomicBool,
    /// Gets the lines of progress.
    pub(crate) say: &'a (dyn Fn(&str) + Sync),
}

impl Shutdown<'_> {
    /// Takes the steps one after the other. To be dropped as soon as the process has ended: that it has is not its
    /// business.
    ///
    /// # Errors
    /// When the process is still there after the last step.
    pub(crate) async fn run(self) -> Result<()> {
        // A guest that is to be asked is worth waiting for its monitor, also when a stop comes before that is connected.
        let connected = match (self.qmp, self.deadline) {
            (None, Some(deadline)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                Qmp::connect(self.socket, left).await.inspect_err(|error| tracing::warn!(%error, "no monitor")).ok()
            }
            _ => None,
        };
        let qmp = self.qmp.or(connected.as_ref().map(|(qmp, _)| qmp));
        if let (Some(qmp), Some(deadline)) = (qmp, self.deadline) {
            self.ask(qmp, deadline).await;
        }
        self.forced.store(true, Ordering::Relaxed);
        if let Some(qmp) = qmp {
            attempt(qmp, "quit").await;
            sleep(QUIT).await;
        }
        (self.say)("ending QEMU by force");
        self.identity.kill()?;
        sleep(KILL).await;
        Err(Error::other(format!("QEMU (process {}) cannot be ended", self.identity.pid))
            .hint("a process that cannot be killed waits for a disk or a driver: look at the computer's own log"))
    }

    /// Presses the power button at once and again half-way: a guest that is still booting misses the first one.
    async fn ask(&self, qmp: &Qmp, deadline: Instant) {
        if self.paused {
            attempt(qmp, "cont").await;
        }
        let half_way = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        for (text, until) in [("asked the guest to shut down", half_way), ("asked the guest again", deadline)] {
            attempt(qmp, "system_powerdown").await;
            (self.say)(text);
            sleep_until(until).await;
        }
        (self.say)("the guest did not shut down in time: ending it");
    }
}

/// One that fails is not the end: the next step is harder.
async fn attempt(qmp: &Qmp, command: &str) {
    if let Err(error) = qmp.execute(command, json!({})).await {
        tracing::warn!(%error, "QEMU does not take a command");
    }
}
