//! `workshop rm`: all hosts, and what they shared.

use std::collections::BTreeSet;

use machine_core::{Error, MachineName, MachineRef, Reporter, Result};
use machine_ec2::Ec2Driver;

use super::record::Workshop;
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
            if self.is_removable(&workshop, &seat.host, reporter) {
                hosts.push(seat.host.clone());
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
            // Minutes went by: somebody may have made another one.
            if !self.is_removable(&workshop, &host, reporter) {
                continue;
            }
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

    /// Whether what has a host's name is the workshop's to remove. Of what is not, it is told that it stays.
    fn is_removable(&self, workshop: &Workshop, host: &MachineName, reporter: &Reporter) -> bool {
        if !self.store.exists(host) {
            return false;
        }
        match self.store.load(host) {
            Ok(record) if workshop.has(&record) => true,
            Ok(_) => {
                reporter.warn(format!("the machine {host} is not of this workshop: it stays"));
                false
            }
            // Of a creation that broke off: disks are made long after the record.
            Err(_) if self.store.record_is_absent(host) && !self.store.folder(host).join("data.qcow2").exists() => true,
            Err(error) => {
                reporter.warn(format!("{host} stays, `machine rm -f {host}` removes it: {error}"));
                false
            }
        }
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
