//! The size of a machine, changed after it was made.

use std::sync::Mutex;

use machine_core::{Code, Error, MachineName, MachineState, Reporter, Result};

use crate::app::App;

/// A new size; what is not said stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeChanges {
    /// Virtual CPUs.
    pub cpus: Option<u32>,
    /// Memory, MiB.
    pub memory_mib: Option<u64>,
    /// Size of the data disk, MiB; disks grow and do not shrink.
    pub disk_mib: Option<u64>,
}

impl SizeChanges {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl App {
    /// Gives a machine that is off another size. It has it from its next start on.
    ///
    /// # Errors
    /// A machine that runs or is suspended, or whose size is not ours to choose; a size that this computer cannot carry, or a disk
    /// smaller than it is. Nothing is changed then.
    pub async fn set_size(&self, name: &MachineName, changes: SizeChanges, reporter: &Reporter) -> Result<()> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        let driver = self.driver(&record.driver)?;
        if !driver.capabilities().local || !driver.capabilities().resources {
            return Err(Error::new(
                Code::Usage,
                format!("the size of machine {:?} is that of its host (driver {:?})", name.as_str(), record.driver),
            ));
        }
        match self.look(&*driver, &record).await {
            MachineState::Stopped | MachineState::Broken(_) => {}
            MachineState::Saved => {
                return Err(Error::other(format!(
                    "machine {:?} is suspended: its memory has the present size",
                    name.as_str()
                ))
                .hint(format!("`machine start {name}` goes on; then `machine stop {name}`, and set it")));
            }
            _ => {
                return Err(Error::other(format!("machine {:?} is not off", name.as_str()))
                    .hint(format!("`machine stop {name}` first: a size is taken up at the start")));
            }
        }
        let mut spec = record.spec.clone();
        spec.cpus = changes.cpus.unwrap_or(spec.cpus);
        spec.memory_mib = changes.memory_mib.unwrap_or(spec.memory_mib);
        spec.disk_mib = changes.disk_mib.unwrap_or(spec.disk_mib);
        if spec.disk_mib < record.spec.disk_mib {
            return Err(Error::new(
                Code::Usage,
                format!(
                    "the disk of machine {:?} has {} MiB, and disks do not shrink",
                    name.as_str(),
                    record.spec.disk_mib
                ),
            )
            .hint("a smaller one takes a new machine"));
        }
        driver.preflight(&mut spec, reporter).await?;
        let dir = self.store.folder(name);
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        let present = journal.snapshot();
        // The disk first: one that is larger than the record says harms nobody, and is grown to no more when this is done again.
        if spec.disk_mib > present.spec.disk_mib {
            driver.grow_disk(journal.work(&present, &dir), spec.disk_mib).await?;
        }
        journal.update("size", |record| {
            (record.spec.cpus, record.spec.memory_mib, record.spec.disk_mib) =
                (spec.cpus, spec.memory_mib, spec.disk_mib);
        })
    }
}
