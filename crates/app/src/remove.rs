//! `rm`: everything that was made for a machine, in an order that a crash cannot spoil.

use std::sync::Mutex;

use machine_core::{MachineName, Reporter, Result};

use crate::app::App;
use crate::store::{self, does_not_exist};

impl App {
    /// Removes a machine: its processes, sockets, context and folder. Idempotent on what an earlier attempt left.
    ///
    /// With `force`, also one whose record cannot be read: what the folder still tells is ended and removed.
    ///
    /// # Errors
    /// No such machine, a record that cannot be read (without `force`), or what could not be removed.
    pub async fn remove(&self, name: &MachineName, force: bool, reporter: &Reporter) -> Result<()> {
        if !self.store.exists(name) {
            self.store.sweep();
            return Err(does_not_exist(name));
        }
        let _lock = self.lock(name, reporter).await?;
        if !self.store.exists(name) {
            // Another `rm` had the lock.
            return Err(does_not_exist(name));
        }
        let readable = self.store.load(name);
        if let Err(error) = readable
            && !force
            && !self.store.record_is_absent(name)
        {
            return Err(error.hint(format!("`machine rm -f {name}` removes it all the same")));
        }
        self.remove_everything(name, force, reporter).await
    }

    /// As [`remove`](Self::remove), for one who has the lock.
    pub(crate) async fn remove_everything(&self, name: &MachineName, force: bool, reporter: &Reporter) -> Result<()> {
        // Only QEMU machines leave anything running on this computer that a lost record could hide.
        let record = self.store.load(name).unwrap_or_else(|_| {
            if !self.store.record_is_absent(name) {
                reporter.warn(format!(
                    "the record of {:?} cannot be read: if it was at EC2, `machine ec2 orphans` finds what is left",
                    name.as_str()
                ));
            }
            store::remains(name, "qemu")
        });
        let dir = self.store.folder(name);
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        let snapshot = journal.snapshot();
        reporter.stage("remove", format!("Removing {name}"));
        let of_driver = match self.driver(&snapshot.driver) {
            Ok(driver) => driver.remove(journal.work(&snapshot, &dir)).await,
            Err(error) => Err(error),
        };
        match of_driver {
            // As docker-machine's `-f`: what is kept here goes, and what that leaves behind is said.
            Err(error) if force => {
                let finds = if snapshot.driver == "ec2" { " (`machine ec2 orphans` finds it)" } else { "" };
                reporter.warn(format!(
                    "what the driver {:?} made of {:?} may still be there{finds}: {error}",
                    snapshot.driver,
                    name.as_str()
                ));
            }
            Err(error) => {
                let hint = format!("`machine rm -f {name}` removes at least what is kept of it on this computer");
                return Err(error.within(format!("machine {:?} was not removed", name.as_str())).hint(hint));
            }
            Ok(()) => {}
        }
        self.remove_context(name, reporter);
        self.give_back_default_sockets_of(&snapshot, reporter);
        self.store.remove_folder(name)?;
        self.refresh_ssh_config(reporter);
        Ok(())
    }
}
