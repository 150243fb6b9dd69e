//! A workshop whose hosts are launched by one call: instances become machines with records of their own.

use std::sync::Mutex;

use jiff::Timestamp;
use machine_core::{Error, MachineName, MachineRecord, MachineRef, MachineState, Phase, Result};
use machine_ec2::{Ec2Driver, GIVEN_KEY};
use machine_ssh::KeyPair;

use super::record::{Workshop, WorkshopJournal};
use crate::app::App;
use crate::create::key_only;
use crate::{files, seed};

/// How far a fleet came.
pub(super) struct Filled {
    /// Hosts of which there is none.
    pub(super) missing: Vec<MachineName>,
    /// Why.
    pub(super) shortage: Option<Error>,
    /// Hosts whose instances did not come up, and why.
    pub(super) lost: Vec<(MachineName, String)>,
}

impl App {
    /// Whether the driver launches hosts by one call.
    pub(super) fn is_launched_as_one(workshop: &Workshop) -> bool {
        workshop.pattern.driver == "ec2"
    }

    /// Sees to it that there is an instance for each seat, as far as there is room, and a record for each instance.
    pub(super) async fn fill_fleet(&self, journal: &WorkshopJournal<'_>) -> Result<Filled> {
        let reporter = journal.reporter;
        let ec2 = self.ec2();
        let folder = self.workshop_folder(journal.snapshot().name());
        let at = |workshop: &Workshop| workshop.pattern.clone();
        reporter.stage("instances", "Launching the instances");
        let pattern = at(&journal.snapshot());
        let living = ec2.fleet_instances(MachineRef { record: &pattern, dir: &folder }, reporter).await?;

        let mut filled = Filled { missing: Vec::new(), shortage: None, lost: Vec::new() };
        let mut taken = Vec::new();
        let mut free = Vec::new();
        for seat in journal.snapshot().seats {
            match self.sitting(&journal.snapshot(), &seat.host, &living).await? {
                Sitting::There(instance) => taken.push((seat.host, instance)),
                Sitting::Free => free.push(seat.host),
                Sitting::Blocked(why) => filled.lost.push((seat.host, why)),
            }
        }
        free.reverse();
        // Of a run that broke off: their host key is the one that lies in the folder.
        let is_seated = |id: &String| taken.iter().any(|(_, taken)| taken == id);
        let unseated: Vec<String> = living.into_iter().filter(|id| !is_seated(id)).collect();
        for instance in unseated {
            match free.pop() {
                Some(host) => {
                    self.adopt_instance(journal, &host, &instance).await?;
                    taken.push((host, instance));
                }
                None => {
                    reporter.warn(format!("the instance {instance} has no seat; `machine workshop rm` removes it too"));
                }
            }
        }
        if !free.is_empty() {
            // Nobody may know this one yet: an earlier key can be read on the hosts that were handed it.
            KeyPair::generate(journal.snapshot().name().as_str())?.save(&folder.join(seed::HOST_KEY))?;
            let pattern = at(&journal.snapshot());
            let fleet = MachineRef { record: &pattern, dir: &folder };
            match ec2.launch_fleet(journal.work(fleet), free.len()).await {
                Ok(made) => {
                    for instance in made {
                        let Some(host) = free.pop() else { break };
                        self.adopt_instance(journal, &host, &instance).await?;
                        taken.push((host, instance));
                    }
                }
                Err(error) => filled.shortage = Some(error),
            }
        }
        if filled.shortage.is_none() {
            let pattern = at(&journal.snapshot());
            let settled = Ec2Driver::settled(MachineRef { record: &pattern, dir: &folder })?;
            journal.update("launched", |workshop| workshop.pattern.driver_state = settled)?;
        }
        free.reverse();
        filled.missing = free;

        // Those that are ready have their address, or are off because somebody wants them so.
        taken.retain(|(host, _)| self.store.load(host).is_ok_and(|record| record.phase != Phase::Ready));
        if taken.is_empty() {
            return Ok(filled);
        }
        reporter.stage("boot", format!("Waiting for {} instances to run", taken.len()));
        let ids: Vec<String> = taken.iter().map(|(_, id)| id.clone()).collect();
        let pattern = at(&journal.snapshot());
        for came in ec2.await_fleet(MachineRef { record: &pattern, dir: &folder }, &ids, reporter).await? {
            let Some((host, _)) = taken.iter().find(|(_, id)| *id == came.id) else { continue };
            match came.state {
                Ok(state) => {
                    let _lock = self.lock(host, reporter).await?;
                    let record = Mutex::new(self.store.load(host)?);
                    self.journal(&record, reporter).update("address", |record| record.driver_state = state)?;
                }
                Err(why) => filled.lost.push((host.clone(), why)),
            }
        }
        Ok(filled)
    }

    /// What there is of a host.
    async fn sitting(&self, workshop: &Workshop, host: &MachineName, living: &[String]) -> Result<Sitting> {
        if !self.store.exists(host) || self.store.record_is_absent(host) {
            return Ok(Sitting::Free);
        }
        let record = match self.store.load(host) {
            Ok(record) if workshop.has(&record) => record,
            Ok(_) => return Ok(Sitting::Blocked("there is another machine of that name".to_owned())),
            Err(error) => return Ok(Sitting::Blocked(error.to_string())),
        };
        let dir = self.store.folder(host);
        let Some(instance) = Ec2Driver::instance_of(MachineRef { record: &record, dir: &dir })? else {
            return Ok(Sitting::Blocked("its record names no instance".to_owned()));
        };
        if living.contains(&instance) {
            return Ok(Sitting::There(instance));
        }
        match self.observe(&record).await?.state {
            // It was terminated: somebody's `rm` at the console, or a spot instance that AWS took back.
            MachineState::Broken(_) => {
                let _lock = self.lock(host, &machine_core::Reporter::silent()).await?;
                self.remove_everything(host, true, &machine_core::Reporter::silent()).await?;
                Ok(Sitting::Free)
            }
            MachineState::Unknown(why) => Ok(Sitting::Blocked(why)),
            _ => Ok(Sitting::There(instance)),
        }
    }

    /// Makes the record of a host whose instance was launched, with all that a machine has. Its record comes last: a run that
    /// breaks off before finds the instance without one again.
    async fn adopt_instance(&self, journal: &WorkshopJournal<'_>, host: &MachineName, instance: &str) -> Result<()> {
        let _lock = self.lock(host, &machine_core::Reporter::silent()).await?;
        journal.begin_anew(host)?;
        let workshop = &journal.snapshot();
        let (from, dir) = (self.workshop_folder(workshop.name()), self.store.folder(host));
        machine_files::make_private_folder(&dir)?;
        let public = |name: &str| format!("{name}.pub");
        for name in [seed::CLIENT_KEY, &public(seed::CLIENT_KEY), seed::HOST_KEY, &public(seed::HOST_KEY), GIVEN_KEY] {
            match std::fs::read(from.join(name)) {
                Ok(key) => machine_files::write_whole(&dir.join(name), &key, machine_files::PRIVATE)?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(files::explain(error, "cannot read", &from.join(name))),
            }
        }
        let path = from.join(public(seed::HOST_KEY));
        let handed = std::fs::read_to_string(&path).map_err(|error| files::explain(error, "cannot read", &path))?;
        let fleet = MachineRef { record: &workshop.pattern, dir: &from };
        let mut record = MachineRecord {
            name: host.clone(),
            created: Timestamp::now(),
            phase: Phase::Created,
            host_key: Some(key_only(&handed)),
            driver_state: Ec2Driver::member(fleet, instance)?,
            ..workshop.pattern.clone()
        };
        record.certificate_ends = Some(self.write_certificates(&record)?);
        self.store.save(&record)?;
        self.crash_after("adopted");
        Ok(())
    }
}

/// What there is of a host.
enum Sitting {
    /// Its instance.
    There(String),
    /// Nothing.
    Free,
    /// Something that is not to be touched.
    Blocked(String),
}
