//! `reclaim`: space that nothing needs goes back to this computer.
//!
//! A guest that deletes files frees nothing here by itself: the disk keeps what was once written. `fstrim` tells QEMU which blocks
//! are unused, and QEMU punches them out of the file (`discard=unmap` is in every plan).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use machine_core::{Code, Error, MachineName, Reporter, Result};
use machine_docker::Engine;
use machine_qemu::WarmRow;
use machine_ssh::Session;
use serde::Serialize;

use crate::app::App;
use crate::disk_usage::{ImageUse, Inside, MachineUse, disks};

/// A saved state that nobody began from for so long is not worth its room.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How long a machine may take to let us in.
const LOGIN: Duration = Duration::from_secs(30);
/// How long it may take to go through its disks.
const TRIM_LIMIT: Duration = Duration::from_secs(600);
/// How long its engine may take to answer.
const ENGINE_LIMIT: Duration = Duration::from_secs(30);
/// All mounted file systems of disks, each once; one that cannot be trimmed is no failure.
const TRIM: &str =
    "sudo -n sync; for place in /var/lib/docker /; do sudo -n fstrim -v \"$place\" 2>&1; done; sudo -n sync; true";

/// What could be given back.
#[derive(Clone, Debug, Serialize)]
pub struct ReclaimPlan {
    /// Images that no machine needs and of which there are newer ones.
    pub images: Vec<ImageUse>,
    /// Saved states of such images, and those that nobody began from for a month.
    pub warm: Vec<WarmRow>,
    /// Running machines of this computer whose disks take more than they hold.
    pub machines: Vec<TrimPlan>,
    /// Why machines that were named are not among them.
    pub left: Vec<String>,
}

/// A machine whose disks can be trimmed.
#[derive(Clone, Debug, Serialize)]
pub struct TrimPlan {
    /// Its name.
    pub name: String,
    /// What its disks take here, bytes.
    pub bytes: u64,
    /// What it says of its inside.
    pub inside: Option<Inside>,
}

/// What was given back.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reclaimed {
    /// By removing images and saved states, bytes.
    pub removed: u64,
    /// Machines.
    pub machines: Vec<Trimmed>,
    /// Machines whose disks were not trimmed.
    pub failed: Vec<String>,
}

/// What the disks of a machine take, before and after, bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Trimmed {
    /// Its name.
    pub name: String,
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
    /// What its engine removed, bytes inside.
    pub pruned: Option<u64>,
}

impl ReclaimPlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.warm.is_empty() && self.machines.is_empty()
    }
}

impl App {
    /// What could be given back by `names`, or by all machines that run here when there are none. Changes nothing.
    ///
    /// # Errors
    /// A machine that does not exist.
    pub async fn reclaim_plan(&self, names: &[MachineName]) -> Result<ReclaimPlan> {
        // Without them all saved states would look forgotten.
        self.images()?;
        let usage = self.disk_usage(names).await?;
        let (mut machines, mut left) = (Vec::new(), Vec::new());
        for machine in usage.machines {
            match self.why_not_trimmed(&machine) {
                None => machines.push(TrimPlan {
                    bytes: machine.disks.iter().map(|disk| disk.bytes).sum(),
                    name: machine.name,
                    inside: machine.inside,
                }),
                Some(why) if !names.is_empty() => left.push(format!("{}: {why}", machine.name)),
                Some(_) => {}
            }
        }
        let is_current = |digest: &str| {
            let mut images = usage.images.iter().filter(|image| image.current);
            images.any(|image| image.reference.rsplit('@').next().is_some_and(|known| digest.starts_with(known)))
        };
        let now = Timestamp::now();
        let warm = usage
            .warm
            .into_iter()
            .filter(|state| !is_current(&state.image_digest) || now.duration_since(state.used) > FORGOTTEN);
        let images = usage.images.iter().filter(|image| !image.current && image.machines.is_empty());
        Ok(ReclaimPlan { images: images.cloned().collect(), warm: warm.collect(), machines, left })
    }

    fn why_not_trimmed(&self, machine: &MachineUse) -> Option<String> {
        let name: MachineName = machine.name.parse().ok()?;
        let known = self.store.load(&name).and_then(|record| {
            let local = self.driver(&record.driver)?.capabilities().local;
            Ok((local, self.endpoints(&record).is_ok()))
        });
        match known {
            Err(error) => Some(error.to_string()),
            Ok((false, _)) => Some("its disks are not of this computer".to_owned()),
            Ok((true, false)) => Some(format!("it is off: `machine start {name}`, then its disks can be trimmed")),
            Ok((true, true)) => None,
        }
    }

    /// Does what the plan says; with `prune`, engines first remove stopped containers, unused networks, images without a name and what
    /// builds left.
    ///
    /// # Errors
    /// What could not be removed or trimmed; what was done by then stays done.
    pub async fn reclaim(&self, plan: &ReclaimPlan, prune: bool, reporter: &Reporter) -> Result<Reclaimed> {
        let mut done = Reclaimed::default();
        let states = self.warm_states().remove(|row| plan.warm.iter().any(|chosen| chosen.key == row.key))?;
        done.removed += states.iter().map(|state| state.bytes).sum::<u64>();
        for image in &plan.images {
            match self.remove_image(&image.reference) {
                Ok(_) => done.removed += image.bytes,
                // Somebody has made a machine of it meanwhile, or removed it.
                Err(error) => reporter.warn(format!("{} stays: {error}", image.reference)),
            }
        }
        for machine in &plan.machines {
            let name: MachineName = machine.name.parse()?;
            match self.trim(&name, prune, reporter).await {
                Ok(trimmed) => done.machines.push(trimmed),
                Err(error) if error.code() == Code::Interrupted => return Err(error),
                Err(error) => {
                    reporter.warn(error.to_string());
                    done.failed.push(name.to_string());
                }
            }
        }
        Ok(done)
    }

    async fn trim(&self, name: &MachineName, prune: bool, reporter: &Reporter) -> Result<Trimmed> {
        // Nobody stops it meanwhile.
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        let failed = |error: Error| error.within(format!("the disks of machine {:?} were not trimmed", name.as_str()));
        let target = self.ssh_target(name)?;
        let folder = self.store.folder(name);
        let taken = || disks(&folder).iter().map(|disk| disk.bytes).sum::<u64>();
        let before = taken();
        let mut pruned = None;
        if prune {
            reporter.stage("prune", "Removing what its engine does not use");
            let target = self.engine_target(&record, self.endpoints(&record)?.engine, ENGINE_LIMIT)?;
            let engine = Engine::connect(&target).map_err(Error::from).map_err(failed)?;
            pruned = Some(engine.prune().await.map_err(Error::from).map_err(failed)?);
        }
        reporter.stage("trim", "Giving unused blocks of its disks back");
        let said = machine_ssh::blocking(move || {
            let mut session = Session::connect(&target, LOGIN)?;
            session.exec(TRIM, TRIM_LIMIT)?.text("cannot trim its disks")
        });
        let said = said.await.map_err(failed)?;
        said.lines().for_each(|line| reporter.detail(line.to_owned()));
        if !said.contains("trimmed") {
            let last = said.lines().last().unwrap_or("it said nothing").to_owned();
            return Err(failed(
                Error::new(Code::Other, last).hint("fstrim and sudo without a password are needed in it"),
            ));
        }
        Ok(Trimmed { name: name.to_string(), before, after: taken(), pruned })
    }
}
