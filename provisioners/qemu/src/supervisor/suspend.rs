//! Saving the memory of a running machine and ending it, so that the next start goes on where it was.

use std::fs;
use std::time::Duration;

use machine_core::{Error, Result, ResultExt as _};
use serde_json::json;
use tokio::time::timeout;

use super::bring_up::Monitor;
use super::run::{Ended, Supervisor};
use crate::control::RunState;
use crate::last_exit::LastExit;
use crate::machine_files::gone;
use crate::qemu_process::QemuProcess;
use crate::qmp::Qmp;
use crate::run_file::RunFile;
use crate::warm::{Channel, Request, Suspended, save, unfinished};

/// How long the guest may take to write what it has not written yet.
const FLUSH: Duration = Duration::from_secs(20);
/// How long QEMU may take to end once everything is saved.
const QUIT: Duration = Duration::from_secs(10);

impl Supervisor<'_> {
    /// Suspends the machine. `None`: it could not be, everybody who asked was told why, and it goes on.
    pub(super) async fn suspend(
        &mut self,
        process: &mut QemuProcess,
        monitor: Option<&Monitor>,
        paused: bool,
    ) -> Result<Option<Ended>> {
        self.set_state(RunState::Stopping);
        self.event("suspending", &json!({}));
        let saved = match monitor {
            Some(monitor) => self.save_memory(&monitor.qmp).await,
            None => Err(Error::other("QEMU's monitor is not connected")),
        };
        let Err(error) = saved else {
            if let Some(monitor) = monitor {
                // It may end before it answers.
                let _ = monitor.qmp.execute("quit", json!({})).await;
            }
            if timeout(QUIT, process.exited()).await.is_err() {
                process.end().await?;
            }
            return Ok(Some(Ended { exit: LastExit::clean("it was suspended"), forced: false }));
        };
        gone(fs::remove_file(unfinished(&self.config.dir)))
            .context(|| "cannot remove a state that is not whole".into())?;
        if let (Some(monitor), false) = (monitor, paused) {
            monitor.qmp.execute("cont", json!({})).await?;
        }
        self.event("not suspended", &json!({ "because": error.to_string() }));
        self.setback(&error);
        self.set_state(if paused { RunState::Paused } else { RunState::Running });
        Ok(None)
    }

    async fn save_memory(&mut self, qmp: &Qmp) -> Result<()> {
        let config = self.config;
        let run = RunFile::read(&config.dir).ok_or_else(|| Error::other("nothing is noted of this run"))?;
        if !run.folders.is_empty() {
            let folders: Vec<_> = run.folders.iter().map(|folder| folder.display().to_string()).collect();
            return Err(Error::other(format!(
                "it was started with folders by {} ({}), and QEMU cannot save a guest that has them mounted",
                run.carrier,
                folders.join(", ")
            ))
            .hint(format!("`machine stop {}` shuts it down", config.machine))
            .hint("a machine created without `--share-type` can be suspended, with the same folders"));
        }
        let (Some(key), Some(accelerator)) = (run.state_key, run.accelerator) else {
            return Err(Error::other("this QEMU cannot save the machine's memory")
                .hint(format!("`machine stop {}` shuts it down", config.machine)));
        };
        self.say("writing everything to the disks");
        if run.channel
            && let Err(error) = Channel::at(config.files.channel_socket()).ask(Request::Flush, FLUSH).await
        {
            // What is not on the disks is in the memory that is saved.
            tracing::info!(%error, "the guest did not write everything to its disks first");
        }
        self.say("saving the machine's memory");
        qmp.execute("stop", json!({})).await?;
        save(qmp, &unfinished(&config.dir)).await.map_err(|error| {
            error.hint("the machine goes on; its memory needs as much space on this computer's disk")
        })?;
        let dir = config.dir.clone();
        tokio::task::spawn_blocking(move || Suspended::keep(&dir, key, accelerator))
            .await
            .context(|| "cannot keep the state".into())?
            .map(drop)
    }
}
