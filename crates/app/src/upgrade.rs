//! `upgrade`: a newer engine for a machine that exists. One that was provisioned over SSH gets it from its package source;
//! one of our own image gets another OS disk, and keeps the disk of its containers, images and volumes.

use std::sync::Mutex;
use std::time::Duration;

use machine_core::{Error, MachineName, MachineRef, MachineState, Reporter, Result};
use machine_images::OWN_IMAGE;

use crate::app::{App, Journal};
use crate::moving::IMPORTED;
use crate::provision::ENGINE_LIMIT;

/// How long the guest may take to shut down.
const SHUTDOWN: Duration = Duration::from_secs(90);
/// How long the new system may take until its engine answers.
const BOOT: Duration = Duration::from_secs(300);

/// What came of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgraded {
    /// Its engine is the newest of its package source.
    Engine,
    /// Its system is now that of this image.
    Image(String),
    /// It is made from the newest image that is here.
    Newest(String),
}

impl App {
    /// Brings a machine the newest engine that can be had here. Containers, images and volumes stay. A machine of our own
    /// image is shut down for it, and started again if it ran.
    ///
    /// # Errors
    /// A machine that is not as it must be, or which step failed and why; calling again carries on.
    pub async fn upgrade(&self, name: &MachineName, reporter: &Reporter) -> Result<Upgraded> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        if self.is_provisioned_over_ssh(&record)? {
            let record = Mutex::new(self.running(name).await?);
            let journal = self.journal(&record, reporter);
            self.provision_locked(&journal, true, ENGINE_LIMIT, reporter).await?;
            return Ok(Upgraded::Engine);
        }
        let record = Mutex::new(record);
        self.upgrade_image(&self.journal(&record, reporter), reporter)
            .await
            .map_err(|error| error.within(format!("machine {:?} was not upgraded", name.as_str())))
    }

    async fn upgrade_image(&self, journal: &Journal<'_>, reporter: &Reporter) -> Result<Upgraded> {
        let record = journal.snapshot();
        let name = &record.name;
        let present = record.spec.image.clone().unwrap_or_else(|| OWN_IMAGE.to_owned());
        // One that came in an archive is called otherwise, and a newer one is of the name that it had there.
        let name_there = present.split('@').next().map(|name| name.strip_prefix(IMPORTED).unwrap_or(name));
        let image = self.image_named(name_there)?;
        let newest = format!("{}@{}", image.name, &image.digest[..12]);
        let driver = self.driver(&record.driver)?;
        let dir = self.store.folder(name);
        let seen = driver.observe(MachineRef { record: &record, dir: &dir }).await.state;
        if present == newest {
            return Ok(Upgraded::Newest(newest));
        }
        let ran = match seen {
            MachineState::Running | MachineState::Paused => true,
            MachineState::Saved => {
                return Err(Error::other("it is suspended: its memory is of the system that it has")
                    .hint(format!("`machine start {name}` goes on; upgrade it then")));
            }
            _ => false,
        };
        if ran {
            self.end(record.clone(), Some(SHUTDOWN), reporter).await?;
        }
        reporter.stage("upgrade", format!("Replacing the system by {newest}"));
        let record = journal.snapshot();
        driver.replace_system(journal.work(&record, &dir), &newest).await?;
        journal.update("upgraded", |record| record.spec.image = Some(newest.clone()))?;
        if ran {
            self.bring_up(journal, Some(BOOT), reporter).await?;
        }
        Ok(Upgraded::Image(newest))
    }
}
