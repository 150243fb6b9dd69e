//! `workshop extend`, and `extend` for one machine: the end of what ends itself is put off.

use std::sync::Mutex;

use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use machine_core::{Code, Error, MachineName, MachineRecord, MachineRef, Phase, Reporter, Result};
use machine_ec2::Ec2Driver;

use super::record::WorkshopJournal;
use crate::app::App;

/// How far an end may be put off in all, from now.
const FARTHEST: SignedDuration = SignedDuration::from_hours(24 * 365);
/// How many hosts are told at once.
const JOBS: usize = 8;

impl App {
    /// Puts off the end of a machine that ends itself, by so many minutes. The guest is told first: a run that breaks off leaves
    /// one that lives longer than is known here, never shorter. Returns the new end.
    ///
    /// # Errors
    /// A machine that does not end itself, or does not run.
    pub async fn extend(&self, name: &MachineName, minutes: u64, reporter: &Reporter) -> Result<Timestamp> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        let dir = self.store.folder(name);
        let ends = later(self.end_of(&record, &dir)?, minutes)?;
        reporter.stage("extend", format!("Putting off the end of {name}"));
        self.extend_host(record, ends, reporter).await?;
        let record = self.store.load(name)?;
        let machine = MachineRef { record: &record, dir: &dir };
        if let Some(instance) = Ec2Driver::instance_of(machine)? {
            self.ec2().tag_end(machine, &[instance], ends).await?;
        }
        Ok(ends)
    }

    /// Puts off the end of all hosts of a workshop, and of those that `retry` will make; a host that was given a later end of its
    /// own keeps it. Returns the new end, and the hosts that were not reached: they end when they would have.
    ///
    /// # Errors
    /// A workshop that does not end itself, or what EC2 says of its tags.
    pub async fn extend_workshop(
        &self,
        name: &MachineName,
        minutes: u64,
        reporter: &Reporter,
    ) -> Result<(Timestamp, Vec<(MachineName, Error)>)> {
        let _lock = self.lock_workshop(name, reporter).await?;
        let workshop = Mutex::new(self.workshop(name)?);
        let journal = WorkshopJournal { app: self, workshop: &workshop, reporter };
        let all = journal.snapshot();
        let folder = self.workshop_folder(name);
        let ends = later(self.end_of(&all.pattern, &folder)?, minutes)?;
        reporter.stage("extend", format!("Putting off the end of {name}"));
        let work = all.seats.iter().filter(|seat| self.store.exists(&seat.host)).map(|seat| {
            let all = &all;
            async move {
                let told = async {
                    let _lock = self.lock(&seat.host, reporter).await?;
                    let record = self.store.load(&seat.host)?;
                    if !all.has(&record) {
                        return Err(Error::other("there is another machine of that name"));
                    }
                    let dir = self.store.folder(&seat.host);
                    let machine = MachineRef { record: &record, dir: &dir };
                    if !is_put_off(Ec2Driver::ends(machine)?, ends) {
                        reporter.info(format!("{} lives longer than that already", seat.host));
                        return Ok(None);
                    }
                    let instance = Ec2Driver::instance_of(machine)?;
                    self.extend_host(record, ends, reporter).await?;
                    Ok(instance)
                };
                (seat.host.clone(), told.await)
            }
        });
        let (mut instances, mut missed) = (Vec::new(), Vec::new());
        let mut done = futures_util::stream::iter(work).buffer_unordered(JOBS);
        while let Some((host, result)) = done.next().await {
            match result {
                Ok(instance) => instances.extend(instance),
                Err(error) => missed.push((host, error)),
            }
        }
        drop(done);
        let fleet = MachineRef { record: &all.pattern, dir: &folder };
        let state = Ec2Driver::with_end(fleet, ends)?;
        journal.update("extended", |workshop| workshop.pattern.driver_state = state)?;
        if !instances.is_empty() {
            self.ec2().tag_end(fleet, &instances, ends).await?;
        }
        missed.sort_by(|one, other| one.0.cmp(&other.0));
        Ok((ends, missed))
    }

    /// When a machine ends itself.
    pub(crate) fn end_of(&self, record: &MachineRecord, dir: &std::path::Path) -> Result<Timestamp> {
        let never = || {
            Error::new(Code::Usage, format!("{:?} does not end itself", record.name.as_str()))
                .hint("what was made with --expires does")
        };
        match record.driver.as_str() {
            "ec2" => Ec2Driver::ends(MachineRef { record, dir })?.ok_or_else(never),
            _ => Err(never()),
        }
    }

    async fn extend_host(&self, record: MachineRecord, ends: Timestamp, reporter: &Reporter) -> Result<()> {
        if record.phase == Phase::Creating {
            return Err(Error::other("its creation was interrupted"));
        }
        let name = record.name.clone();
        let target = self.ssh_target(&name)?;
        machine_ssh::blocking(move || machine_engine::put_off_end(&target, ends)).await?;
        let dir = self.store.folder(&name);
        let state = Ec2Driver::with_end(MachineRef { record: &record, dir: &dir }, ends)?;
        let record = Mutex::new(record);
        self.journal(&record, reporter).update("extended", |record| record.driver_state = state)
    }
}

/// Whether `ends` is no earlier than when a host ends by itself: an end is never brought forward. An equal one is written again,
/// because the run before may have broken off between the guest and its tag.
fn is_put_off(own: Option<Timestamp>, ends: Timestamp) -> bool {
    own.is_none_or(|own| own <= ends)
}

fn later(ends: Timestamp, minutes: u64) -> Result<Timestamp> {
    let now = Timestamp::now();
    if ends <= now {
        return Err(Error::other(format!("its time was over at {}", ends.strftime("%Y-%m-%d %H:%M UTC"))));
    }
    let later =
        i64::try_from(minutes).ok().and_then(|minutes| ends.checked_add(SignedDuration::from_mins(minutes)).ok());
    later
        .filter(|later| minutes > 0 && later.duration_since(now) <= FARTHEST)
        .ok_or_else(|| Error::new(Code::Usage, "an end is put off by at least a minute, and a year from now at most"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_never_brought_forward() {
        let ends = Timestamp::UNIX_EPOCH;
        let after = ends.checked_add(SignedDuration::from_mins(1)).unwrap();
        assert!(!is_put_off(Some(after), ends));
        assert!(is_put_off(Some(ends), after) && is_put_off(Some(ends), ends) && is_put_off(None, ends));
    }

    #[test]
    fn an_end_is_put_off_from_where_it_was_and_not_for_ever() {
        let ends = Timestamp::now().checked_add(SignedDuration::from_mins(30)).unwrap();
        assert_eq!(later(ends, 120).unwrap().duration_since(ends), SignedDuration::from_mins(120));
        for wrong in [0, u64::MAX, 60 * 24 * 365] {
            assert_eq!(later(ends, wrong).unwrap_err().code(), Code::Usage, "{wrong}");
        }
        assert!(later(Timestamp::UNIX_EPOCH, 1).unwrap_err().to_string().contains("was over at 1970"));
    }
}
