//! `workshop rm`: all hosts, and what they shared.

use std::collections::BTreeSet;

use machine_core::{Error, MachineName, MachineRef, Reporter, Result};
use machine_ec2::Ec2Driver;

use crate::app::App;
use crate::files;

impl App {
    /// Removes a workshop with all its hosts and what is in them. Idempotent on what an earlier attempt left.
    ///
    /// # Errors
    /// What could not be removed; calling again carries on.
    pub async fn remove_workshop(&self, name: &MachineName, reporter: &Reporter) -> Result<()> {
        let folder = self.workshop_folder(name);
        let _lock = self.lock_workshop(name, reporter).await?;
        let is_nothing = folder.exists() && !folder.join("workshop.json").exists();
        if is_nothing {
            // A creation that was ended before its first word was written.
            return remove_folder(&folder);
        }
        let workshop = self.workshop(name)?;
        let mut hosts = Vec::new();
        for seat in &workshop.seats {
            if !self.store.exists(&seat.host) {
                continue;
            }
            match self.store.load(&seat.host) {
                Ok(record) if !workshop.has(&record) => {
                    reporter.warn(format!("the machine {} is not of this workshop: it stays", seat.host));
                }
                _ => hosts.push(seat.host.clone()),
            }
        }
        reporter.stage("remove", format!("Removing {} hosts of {name}", hosts.len()));
        let is_one = Self::is_launched_as_one(&workshop);
        if is_one {
            let mut known = BTreeSet::new();
            for host in &hosts {
                if let Ok(record) = self.store.load(host) {
                    let dir = self.store.folder(host);
                    known.extend(Ec2Driver::instance_of(MachineRef { record: &record, dir: &dir }).ok().flatten());
                }
            }
            let fleet = MachineRef { record: &workshop.pattern, dir: &folder };
            self.ec2().remove_fleet(fleet, known, reporter).await.map_err(|error| failed(error, name))?;
        }
        let total = hosts.len() as u64;
        for (done, host) in (1..).zip(hosts) {
            let _lock = self.lock(&host, reporter).await?;
            let removed = match self.store.load(&host) {
                // Its instance is gone with the fleet.
                Ok(record) if is_one => self.forget(&record, reporter),
                Err(_) if is_one => self.store.remove_folder(&host),
                _ => self.remove_everything(&host, false, &Reporter::silent()).await,
            };
            removed.map_err(|error| failed(error, name))?;
            reporter.progress(done, Some(total), "hosts");
        }
        remove_folder(&folder)
    }
}

fn failed(error: Error, name: &MachineName) -> Error {
    error
        .within(format!("workshop {:?} was not removed", name.as_str()))
        .hint(format!("`machine workshop rm {name}` again carries on"))
}

fn remove_folder(folder: &std::path::Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(files::explain(error, "cannot remove", folder))
        }
        _ => Ok(()),
    }
}
