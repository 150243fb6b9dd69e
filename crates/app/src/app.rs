//! The application: an environment, a store, and the drivers.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use machine_core::{
    Checkpoint, Code, Driver, Error, EventKind, MachineName, MachineRecord, MachineRef, Phase, Reporter, Result, Work,
};
use machine_ec2::{Ec2Config, Ec2Driver, Keys};
use machine_generic::{GenericDriver, NoneDriver};
use machine_images::ImageStore;
use machine_qemu::{QemuConfig, QemuDriver};
use serde_json::Value;

use crate::environment::Environment;
use crate::launcher::DetachedSupervisor;
use crate::store::{MachineLock, Store};

/// How long a command waits for another one that works on the same machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The drivers, by the names that records and people use.
pub const DRIVERS: &[&str] = &["qemu", "ec2", "generic", "none"];

/// The one API of all front ends.
#[derive(Clone)]
pub struct App {
    pub(crate) environment: Arc<Environment>,
    pub(crate) store: Store,
    qemu: Arc<OnceLock<Arc<QemuDriver>>>,
    ec2: Arc<OnceLock<Arc<Ec2Driver>>>,
    /// AWS keys that were given with a command, for it alone.
    pub(crate) ec2_keys: Arc<OnceLock<Keys>>,
}

impl App {
    /// An application in this environment. Touches nothing.
    pub fn new(environment: Environment) -> Self {
        let store = Store::at(environment.store.clone());
        Self {
            environment: Arc::new(environment),
            store,
            qemu: Arc::default(),
            ec2: Arc::default(),
            ec2_keys: Arc::default(),
        }
    }

    /// The environment that it was made in.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The names of all machines, in natural order; reads nothing but one folder.
    ///
    /// # Errors
    /// A store that cannot be listed.
    pub fn names(&self) -> Result<Vec<String>> {
        self.store.names()
    }

    /// The machine that a command means: the one named, else `default` where that exists.
    ///
    /// # Errors
    /// docker-machine's text when no name is given and there is no `default`.
    pub fn resolve(&self, name: Option<&str>) -> Result<MachineName> {
        if let Some(name) = name {
            return name.parse();
        }
        let default: MachineName = MachineName::DEFAULT.parse()?;
        if self.store.exists(&default) {
            return Ok(default);
        }
        Err(Error::other("No machine name(s) specified and no \"default\" machine exists")
            .hint("name one; `machine ls` lists them"))
    }

    /// A machine's record.
    ///
    /// # Errors
    /// No such machine, or a record that cannot be read.
    pub fn record(&self, name: &MachineName) -> Result<MachineRecord> {
        self.store.load(name)
    }

    pub(crate) fn image_store(&self) -> Result<ImageStore> {
        ImageStore::open(self.environment.images.clone())
    }

    pub(crate) fn qemu(&self) -> Arc<QemuDriver> {
        let make = || {
            let images = self.environment.images.clone();
            Arc::new(QemuDriver::new(QemuConfig {
                image: Arc::new(move |reference: &str| {
                    ImageStore::open(images.clone())?.find(reference, crate::image_use_cases::host_arch())
                }),
                search: self.qemu_search(),
                runtime: self.environment.runtime.clone(),
                verdicts: self.store.verdicts(),
                launcher: Arc::new(DetachedSupervisor::new(&self.environment)),
            }))
        };
        Arc::clone(self.qemu.get_or_init(make))
    }

    pub(crate) fn qemu_search(&self) -> machine_qemu::Search {
        machine_qemu::Search {
            path: self.environment.path.clone(),
            home: self.environment.home.clone(),
            explicit: self.environment.qemu.clone(),
            program_files: self.environment.program_files.clone(),
        }
    }

    pub(crate) fn ec2(&self) -> Arc<Ec2Driver> {
        let make = || {
            let store = self.store.clone();
            Arc::new(Ec2Driver::new(Ec2Config {
                store: Arc::new(move || store.id().map(|id| id.to_string())),
                owner: self.environment.user.clone(),
                keys: self.ec2_keys.get().cloned(),
            }))
        };
        Arc::clone(self.ec2.get_or_init(make))
    }

    /// The driver of that name.
    pub(crate) fn driver(&self, name: &str) -> Result<Arc<dyn Driver>> {
        match name {
            "qemu" => Ok(self.qemu()),
            "ec2" => Ok(self.ec2()),
            "generic" => Ok(Arc::new(GenericDriver)),
            "none" => Ok(Arc::new(NoneDriver)),
            other => Err(Error::new(Code::Usage, format!("driver {other:?} not found"))
                .hint(format!("drivers here: {}", DRIVERS.join(", ")))),
        }
    }

    pub(crate) async fn lock(&self, name: &MachineName, reporter: &Reporter) -> Result<MachineLock> {
        self.store.lock(name, PATIENCE, reporter).await
    }

    /// Gives `work` a machine whose record is saved at each checkpoint.
    pub(crate) fn journal<'a>(&'a self, record: &'a Mutex<MachineRecord>, reporter: &'a Reporter) -> Journal<'a> {
        Journal { app: self, record, reporter }
    }

    pub(crate) fn crash_after(&self, checkpoint: &str) {
        if self.environment.crash_after.as_deref() == Some(checkpoint) {
            // Only debug builds read the variable; the tests prove with it that every crash can be cleaned up.
            #[cfg(unix)]
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            std::process::abort();
        }
    }
}

/// Saves a record at each checkpoint of the work on its machine.
pub(crate) struct Journal<'a> {
    app: &'a App,
    record: &'a Mutex<MachineRecord>,
    reporter: &'a Reporter,
}

impl Journal<'_> {
    /// Changes the record and writes it to the disk.
    pub(crate) fn update(&self, name: &'static str, change: impl FnOnce(&mut MachineRecord)) -> Result<()> {
        let mut record = self.record.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut record);
        self.app.store.save(&record)?;
        drop(record);
        self.reporter.report(EventKind::Checkpoint { name });
        self.app.crash_after(name);
        Ok(())
    }

    pub(crate) fn phase(&self, name: &'static str, phase: Phase) -> Result<()> {
        self.update(name, |record| record.phase = phase)
    }

    /// A copy of the record as it is now.
    pub(crate) fn snapshot(&self) -> MachineRecord {
        self.record.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What a driver gets to work with.
    pub(crate) fn work<'w>(&'w self, record: &'w MachineRecord, dir: &'w Path) -> Work<'w> {
        Work { machine: MachineRef { record, dir }, checkpoint: self, reporter: self.reporter }
    }
}

impl Checkpoint for Journal<'_> {
    fn save(&self, name: &'static str, driver_state: &Value) -> Result<()> {
        self.update(name, |record| record.driver_state = driver_state.clone())
    }
}
