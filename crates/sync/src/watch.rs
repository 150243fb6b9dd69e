//! Notice of changes in a folder of this computer.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use machine_core::{Error, Result};
use notify::event::EventKind;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::stop::Stop;

/// After a change it is waited until nothing has changed for this long, as editors and compilers write many files.
const QUIET: Duration = Duration::from_millis(200);
/// Somebody who never rests is not waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether the run shall end.
const LOOK: Duration = Duration::from_millis(250);

/// Tells of changes in a folder and all below it.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
    changes: Receiver<()>,
}

impl Watch {
    /// Begins.
    ///
    /// # Errors
    /// A system that cannot tell (its limits are reached, the file system cannot).
    pub fn of(folder: &Path) -> Result<Self> {
        let cannot = |error: notify::Error| {
            Error::other(format!("changes in {} are not told by the system", folder.display())).because(error)
        };
        let (sender, changes) = channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // To read is no change. An error may stand for any.
            if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
                let _nobody_may_be_waiting = sender.send(());
            }
        })
        .map_err(cannot)?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(cannot)?;
        Ok(Self { _watcher: watcher, changes })
    }

    /// Waits for a change and the quiet after it, at most until `limit` has passed or `stop` is told. Blocks.
    pub fn wait(&self, limit: Duration, stop: &Stop) {
        let until = Instant::now() + limit;
        while !stop.is_told() {
            let left = until.saturating_duration_since(Instant::now());
            match self.changes.recv_timeout(left.min(LOOK)) {
                Ok(()) => break,
                Err(RecvTimeoutError::Timeout) if left > LOOK => {}
                Err(RecvTimeoutError::Timeout) => return,
                // The watcher is gone; what is left is to look now and then.
                Err(RecvTimeoutError::Disconnected) => return rest(left, stop),
            }
        }
        let enough = Instant::now() + PATIENCE;
        while Instant::now() < enough && !stop.is_told() && self.changes.recv_timeout(QUIET).is_ok() {}
    }
}

/// Waits for a time, or until `stop` is told. Blocks.
pub fn rest(limit: Duration, stop: &Stop) {
    let until = Instant::now() + limit;
    while !stop.is_told() && Instant::now() < until {
        std::thread::sleep(until.saturating_duration_since(Instant::now()).min(LOOK));
    }
}
