//! A host key of its own for a machine whose first one was handed to it in the open (a cloud's user data).
//!
//! The first key is good for one connection: over it the machine makes another, whose public half is noted here before it is
//! put in place, so that a crash at any point leaves a machine whose key is one of two that are known.

use std::time::Duration;

use machine_core::{Code, Endpoints, MachineRef, Reporter, Result};
use machine_engine::HostKeyChange;

use crate::app::{App, Journal};
use crate::image_use_cases::CancelOnDrop;
use crate::{files, seed};

/// The public half of a key that was made and may not be in place yet, in the machine's folder.
const NEXT: &str = "next_host_key";

impl App {
    /// Gives the machine its own host key, where it has its first one still.
    ///
    /// # Errors
    /// A machine that does not let us in within `limit`, or what its tools say; calling again carries on.
    pub(crate) async fn change_host_key(
        &self,
        journal: &Journal<'_>,
        endpoints: Endpoints,
        limit: Duration,
        reporter: &Reporter,
    ) -> Result<()> {
        let record = journal.snapshot();
        let driver = self.driver(&record.driver)?;
        let dir = self.store.folder(&record.name);
        let first = dir.join(seed::HOST_KEY);
        if !driver.capabilities().handed_host_key || !first.exists() {
            return Ok(());
        }
        reporter.stage("ssh", "Waiting for SSH to be available");
        // Given up, the work ends with its next word.
        let cancel = CancelOnDrop::new();
        let go_on = cancel.0.clone();
        let next = dir.join(NEXT);
        let change = HostKeyChange {
            target: driver.ssh_target(MachineRef { record: &record, dir: &dir }, endpoints),
            next: std::fs::read_to_string(&next).ok(),
            boot_limit: limit,
            go_on: Box::new(move || go_on.check()),
        };
        let made = machine_ssh::blocking(move || change.make()).await.map_err(|error| match error.code() {
            Code::Interrupted | Code::HostKey => error,
            _ => error.hint(format!(
                "it may still be booting, or something on the way does not let you through: `machine start {}` waits again",
                record.name
            )),
        })?;
        reporter.detail("giving the machine a host key that only it has");
        let key = made.key().to_owned();
        machine_files::write_whole(&next, key.as_bytes(), machine_files::PRIVATE)?;
        journal.update("host-key", |_| {})?;
        machine_ssh::blocking(move || made.install()).await?;
        journal.update("host-key-changed", |record| record.host_key = Some(key))?;
        // The first key goes last: as long as it is here, a run that broke off is made good by the next.
        for path in [next, dir.join(format!("{}.pub", seed::HOST_KEY)), first] {
            match std::fs::remove_file(&path) {
                // An earlier run came this far.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                result => result.map_err(|error| files::explain(error, "cannot remove", &path))?,
            }
        }
        Ok(())
    }
}
