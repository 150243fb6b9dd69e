//! A workshop whose hosts are launched by one call: instances become machines with records of their own.

use std::sync::Mutex;

use jiff::Timestamp;
use machine_core::{Code, Error, MachineName, MachineRecord, MachineRef, MachineState, Phase, Result};
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
    /// Hosts that cannot be had in this run, and why.
    pub(super) lost: Vec<(MachineName, Error)>,
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
        let fleet = MachineRef { record: &pattern, dir: &folder };
        let living = ec2.fleet_instances(fleet, reporter).await?;

        let mut filled = Filled { missing: Vec::new(), shortage: None, lost: Vec::new() };
        let mut taken = Vec::new();
        let mut free = Vec::new();
        for seat in journal.snapshot().seats {
            match self.sitting(&journal.snapshot(), &seat.host, &living).await? {
                Sitting::There(instance) => taken.push((seat.host, instance)),
                Sitting::Free => free.push(seat.host),
                Sitting::Blocked(why) => filled.lost.push((seat.host, Error::other(why))),
            }
        }
        free.reverse();
        // Of a run that broke off: their host key is the one that lies in the folder.
        let is_seated = |id: &String| taken.iter().any(|(_, taken)| taken == id);
        let unseated: Vec<String> = living.into_iter().filter(|id| !is_seated(id)).collect();
        for instance in unseated {
            taken.extend(self.seat_instance(journal, instance, &mut free, &mut filled.lost).await?);
        }
        if !free.is_empty() {
            // Nobody may know this one yet: an earlier key can be read on the hosts that were handed it.
            KeyPair::generate(journal.snapshot().name().as_str())?.save(&folder.join(seed::HOST_KEY))?;
            let pattern = at(&journal.snapshot());
            let fleet = MachineRef { record: &pattern, dir: &folder };
            match ec2.launch_fleet(journal.work(fleet), free.len()).await {
                Ok(made) => {
                    for instance in made {
                        taken.extend(self.seat_instance(journal, instance, &mut free, &mut filled.lost).await?);
                    }
                }
                Err(error) => filled.shortage = Some(error),
            }
        }
        if !pattern.driver_state.is_null() {
            // This computer may be somewhere else than it was then. Behind the launch, which opens the group as it was.
            let pattern = at(&journal.snapshot());
            ec2.let_caller_in(MachineRef { record: &pattern, dir: &folder }, reporter).await?;
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
                    // Minutes went by: somebody may have removed it, or made another one.
                    let record = match self.store.load(host) {
                        Ok(record) if journal.snapshot().has(&record) => Mutex::new(record),
                        Ok(_) => {
                            filled.lost.push((host.clone(), is_taken(host)));
                            continue;
                        }
                        Err(error) => {
                            filled.lost.push((host.clone(), error));
                            continue;
                        }
                    };
                    self.journal(&record, reporter).update("address", |record| record.driver_state = state)?;
                }
                Err(why) => filled.lost.push((host.clone(), Error::other(why))),
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

    /// Gives an instance to the first host that is still free; those that are not any more are lost.
    async fn seat_instance(
        &self,
        journal: &WorkshopJournal<'_>,
        instance: String,
        free: &mut Vec<MachineName>,
        lost: &mut Vec<(MachineName, Error)>,
    ) -> Result<Option<(MachineName, String)>> {
        while let Some(host) = free.pop() {
            match self.adopt_instance(journal, &host, &instance).await {
                Ok(()) => return Ok(Some((host, instance))),
                Err(error) if error.code() == Code::AlreadyExists => lost.push((host, error)),
                Err(error) => return Err(error),
            }
        }
        let left = "has no seat; `machine workshop rm` removes it too";
        journal.reporter.warn(format!("the instance {instance} {left}"));
        Ok(None)
    }

    /// Makes the record of a host whose instance was launched, with all that a machine has. Its record comes last: a run that
    /// breaks off before finds the instance without one again.
    ///
    /// # Errors
    /// [`Code::AlreadyExists`] where somebody made a machine of that name meanwhile.
    async fn adopt_instance(&self, journal: &WorkshopJournal<'_>, host: &MachineName, instance: &str) -> Result<()> {
        let _lock = self.lock(host, &machine_core::Reporter::silent()).await?;
        if self.store.exists(host) && !self.store.record_is_absent(host) {
            return Err(is_taken(host));
        }
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

fn is_taken(host: &MachineName) -> Error {
    Error::new(Code::AlreadyExists, format!("there is another machine {:?} by now", host.as_str()))
        .hint("rename or remove that one; `machine workshop retry` carries on")
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
