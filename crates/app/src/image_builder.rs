//! Our own image, built inside a machine: where this computer cannot run the recipe itself (macOS, Windows).
//!
//! The machine is made from the vendor's Debian image for this one purpose and removed in every case. It is a record of the
//! store like any other, so that `rm` removes what a crash left, and so does the next build. It stays in the phase
//! `creating`: nothing in it is worth keeping, and nobody can start it.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use machine_core::{
    Code, Driver, Endpoints, EngineSpec, Error, MachineName, MachineRecord, MachineRef, MachineSpec, MachineState,
    Phase, RECORD_SCHEMA, Reporter, Result, ResultExt as _,
};
use machine_images::{Image, ImportOptions, OWN_IMAGE, SeedKind};

use crate::app::App;
use crate::image_use_cases::{CancelOnDrop, blocking, host_arch};
use crate::recipe_over_ssh::RecipeOverSsh;
use crate::seed;
use crate::store::MachineLock;

/// What the recipe runs on: the suite that our own image is made of, which has all its tools.
const BASE_IMAGE: &str = "debian-13";
/// The name of a build machine: this and eight hexadecimal digits.
const PREFIX: &str = "image-builder-";
const DRIVER: &str = "qemu";
/// The login name inside, with `sudo`.
const USER: &str = "builder";
const CPUS: u32 = 2;
/// The new system lies in memory while it is made (about 1 GiB), beside the tools.
const MEMORY_MIB: u64 = 2048;
/// The recipe's work folder needs about 4 GiB of it; it takes space only as it fills.
const DISK_MIB: u64 = 20 * 1024;
/// How often it is looked whether the machine still runs.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How much of the serial console a failure shows, bytes.
const SHOWN_CONSOLE: u64 = 600;

/// Whether a record is that of a build machine. Of a name like that, one in the phase `creating` is worthless by definition.
pub(crate) fn is_builder(record: &MachineRecord) -> bool {
    record.phase == Phase::Creating && is_builder_name(record.name.as_str())
}

fn is_builder_name(name: &str) -> bool {
    let digits = |text: &str| text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    name.strip_prefix(PREFIX).is_some_and(digits)
}

impl App {
    /// Builds our own image inside a temporary machine made from Debian's cloud image, which is downloaded if it is not here.
    ///
    /// `package_source` is a Debian archive to use in place of those of the cloud image. What is said inside goes to the
    /// reporter and to `build-ARCH.log` in the image store.
    ///
    /// # Errors
    /// Which part failed: the download as [`App::pull_image`] says it, a computer that cannot carry the machine, the boot,
    /// or a step inside with the last lines of the log. The machine is removed in these cases too. If the future is
    /// dropped, it is removed in the background as far as the program lives on; else `rm` or the next build removes it.
    pub async fn build_image_in_machine(&self, package_source: Option<String>, reporter: &Reporter) -> Result<Image> {
        self.remove_left_over_builders(reporter).await;
        let base = self.base_image(reporter).await?;
        let builder = Builder::reserve(self, &base, reporter).await?;
        let name = builder.name.clone();
        let result = builder
            .build(&base, package_source, reporter)
            .await
            .context(|| format!("cannot build the image for {} in a machine", host_arch()));
        match (result, builder.remove(reporter).await) {
            (result, Ok(())) => result,
            (Ok(image), Err(error)) => {
                reporter.warn(format!("the image is complete, but its build machine is still there: {error}; `machine rm {name}` removes it"));
                Ok(image)
            }
            (Err(error), Err(remains)) => {
                Err(error.hint(format!("the build machine is still there ({remains}): `machine rm {name}` removes it")))
            }
        }
    }

    /// What `ls` says of a build machine.
    pub(crate) fn told_of_builder(&self, record: &MachineRecord) -> Option<String> {
        if !is_builder(record) {
            return None;
        }
        let name = &record.name;
        Some(match self.store.is_being_worked_on(name) {
            true => "it builds an image, and goes when that is done".to_owned(),
            false => format!(
                "an interrupted `machine image build` left it: the next one removes it, and so does `machine rm {name}`"
            ),
        })
    }

    /// Removes the build machines of programs that live no more. One that cannot be removed is no obstacle.
    async fn remove_left_over_builders(&self, reporter: &Reporter) {
        let names = self.store.names().unwrap_or_default();
        for name in
            names.iter().filter(|name| is_builder_name(name)).filter_map(|name| name.parse::<MachineName>().ok())
        {
            // Whoever builds in it holds its lock.
            let Ok(Ok(_lock)) = self.store.try_lock(name.as_str()) else { continue };
            let without_record = self.store.record_is_absent(&name);
            if without_record || self.store.load(&name).is_ok_and(|record| is_builder(&record)) {
                reporter.info(format!("Removing {name}, which an interrupted build left behind..."));
                if let Err(error) = self.remove_everything(&name, false, reporter).await {
                    reporter.warn(error.to_string());
                }
            }
        }
    }

    async fn base_image(&self, reporter: &Reporter) -> Result<Image> {
        let image = match self.image_store()?.find(BASE_IMAGE, host_arch()) {
            Ok(image) => image,
            Err(error) if error.code() == Code::NotFound => self.pull_image(BASE_IMAGE, reporter).await?,
            Err(error) => return Err(error),
        };
        if image.seed == SeedKind::NoCloud {
            return Ok(image);
        }
        Err(Error::other(format!(
            "the image {BASE_IMAGE:?} of the store is not a vendor's: it does not read cloud-init's seed"
        ))
        .hint(format!(
            "remove it (`machine image rm {BASE_IMAGE}`), then `machine image build` downloads the vendor's"
        )))
    }
}

/// A build machine, from its reservation to its removal.
struct Builder {
    app: App,
    name: MachineName,
    record: Mutex<MachineRecord>,
    /// Gone when the machine has been removed, or somebody else has taken that on.
    lock: Option<MachineLock>,
}

impl Builder {
    /// Checks that this computer can carry it, and makes its record and its keys.
    async fn reserve(app: &App, base: &Image, reporter: &Reporter) -> Result<Self> {
        reporter.stage("builder", "Making a machine to build in");
        let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut spec = MachineSpec {
            cpus: CPUS.min(u32::try_from(available).unwrap_or(CPUS)),
            memory_mib: MEMORY_MIB,
            disk_mib: DISK_MIB,
            image: Some(format!("{}@{}", base.name, &base.digest[..12])),
            ssh_user: USER.to_owned(),
            tls_san: Vec::new(),
            publish: Default::default(),
            shares: Vec::new(),
            share_type: Default::default(),
            engine: EngineSpec::default(),
            options: serde_json::Map::new(),
        };
        app.driver(DRIVER)?
            .preflight(&mut spec, reporter)
            .await
            .context(|| "no machine to build the image in can run here".into())?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name: MachineName = format!("{PREFIX}{}", &id[..8]).parse()?;
        let lock = app.lock(&name, reporter).await?;
        let builder = Self {
            app: app.clone(),
            name: name.clone(),
            record: Mutex::new(MachineRecord {
                schema: RECORD_SCHEMA,
                name,
                driver: DRIVER.to_owned(),
                created: Timestamp::now(),
                spec,
                phase: Phase::Creating,
                certificate_ends: None,
                host_key: None,
                driver_state: serde_json::Value::Null,
            }),
            lock: Some(lock),
        };
        let journal = app.journal(&builder.record, reporter);
        journal.phase("reserved", Phase::Creating)?;
        let host_key = app.give_keys(&builder.name)?;
        journal.update("identity", |record| record.host_key = Some(host_key))?;
        Ok(builder)
    }

    async fn build(&self, base: &Image, package_source: Option<String>, reporter: &Reporter) -> Result<Image> {
        let driver = self.app.driver(DRIVER)?;
        let endpoints = self.start(&*driver, base, reporter).await?;
        let products = self.dir().join("image");
        machine_files::make_private_folder(&products)?;
        let cancel = CancelOnDrop::new();
        let record = self.snapshot();
        let images = self.app.image_store()?;
        let work = RecipeOverSsh {
            target: driver.ssh_target(MachineRef { record: &record, dir: &self.dir() }, endpoints),
            arch: host_arch(),
            package_source,
            log: images.build_log(host_arch()),
            out: products.clone(),
            reporter: reporter.clone(),
            cancel: cancel.0.clone(),
        };
        self.while_it_runs(&*driver, machine_ssh::blocking(move || work.run())).await?;
        let reporter = reporter.clone();
        blocking(move |cancel| {
            let import = ImportOptions {
                name: Some(OWN_IMAGE.to_owned()),
                arch: Some(host_arch()),
                source: Some("built in a machine".to_owned()),
                digest: None,
            };
            // Reads the manifest and checks every file against it.
            images.import(&products, &import, &reporter, cancel)
        })
        .await
    }

    async fn start(&self, driver: &dyn Driver, base: &Image, reporter: &Reporter) -> Result<Endpoints> {
        let failed = || "the build machine cannot be started".to_owned();
        let (dir, journal) = (self.dir(), self.app.journal(&self.record, reporter));
        let snapshot = journal.snapshot();
        let state = driver.create(journal.work(&snapshot, &dir)).await.context(failed)?;
        journal.update("created", |record| record.driver_state = state)?;
        let record = journal.snapshot();
        seed::write(&record, &dir, base)?;
        driver.start(journal.work(&record, &dir)).await.context(failed)
    }

    /// Waits for `work`, but not longer than the machine runs: SSH alone would notice its end late and tell no reason.
    async fn while_it_runs<T>(&self, driver: &dyn Driver, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::pin!(work);
        loop {
            let result = tokio::select! {
                result = &mut work => Some(result),
                () = tokio::time::sleep(LOOK_EVERY) => None,
            };
            if let Some(Ok(done)) = result {
                return Ok(done);
            }
            let record = self.snapshot();
            let seen = driver.observe(MachineRef { record: &record, dir: &self.dir() }).await;
            let ended = match seen.state {
                MachineState::Broken(reason) => Some(reason),
                MachineState::Stopped | MachineState::Missing => Some("somebody stopped it".to_owned()),
                _ => None,
            };
            let error = match (ended, result) {
                (Some(reason), _) => Error::other(format!("the build machine ended: {reason}")),
                (None, Some(Err(error))) => error,
                (None, _) => continue,
            };
            let console = crate::readiness::last_lines(&self.dir().join("serial.log"), SHOWN_CONSOLE);
            return Err(error.hint(format!("the last lines of its console:\n{}", console.trim_end())));
        }
    }

    async fn remove(mut self, reporter: &Reporter) -> Result<()> {
        let removed = self.app.remove_everything(&self.name, false, reporter).await;
        self.lock = None;
        removed
    }

    fn dir(&self) -> PathBuf {
        self.app.store.folder(&self.name)
    }

    fn snapshot(&self) -> MachineRecord {
        self.record.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Drop for Builder {
    /// Given up half-way (Ctrl-C): removed by a thread of the runtime, which waits a little for such work when it ends. What
    /// that does not manage is left to `rm` and to the next build.
    fn drop(&mut self) {
        let (Some(lock), Ok(runtime)) = (self.lock.take(), tokio::runtime::Handle::try_current()) else { return };
        let (app, name) = (self.app.clone(), self.name.clone());
        runtime.spawn_blocking(move || {
            let _lock = lock;
            let removed = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context(|| "cannot start a runtime".into())
                .and_then(|runtime| runtime.block_on(app.remove_everything(&name, false, &Reporter::silent())));
            if let Err(error) = removed {
                tracing::warn!(%error, machine = name.as_str(), "the build machine was not removed");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(folder: &std::path::Path) -> App {
        App::new(crate::Environment {
            store: folder.to_owned(),
            images: folder.join("images"),
            runtime: folder.join("run"),
            ..crate::Environment::read(Some(folder)).unwrap()
        })
    }

    fn record(name: &str, phase: Phase) -> MachineRecord {
        MachineRecord { phase, ..crate::store::remains(&name.parse().unwrap(), DRIVER) }
    }

    #[test]
    fn only_unfinished_machines_of_the_very_name_are_build_machines() {
        assert!(is_builder(&record("image-builder-0123abcd", Phase::Creating)));
        assert!(!is_builder(&record("image-builder-0123abcd", Phase::Ready)));
        assert!(!is_builder(&record("image-builder-0123abcd", Phase::Created)));
        for name in ["image-builder-0123abc", "image-builder-0123ABCD", "image-builder-1", "dev"] {
            assert!(!is_builder(&record(name, Phase::Creating)), "{name}");
        }
    }

    #[tokio::test]
    async fn the_next_build_removes_what_dead_ones_left_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path());
        for (name, phase) in [
            ("image-builder-00000001", Phase::Creating),
            ("image-builder-00000002", Phase::Creating),
            ("image-builder-00000003", Phase::Ready),
            ("image-builder-mine", Phase::Creating),
        ] {
            app.store.save(&record(name, phase)).unwrap();
        }
        let busy: MachineName = "image-builder-00000002".parse().unwrap();
        let lock = app.store.try_lock(busy.as_str()).unwrap().unwrap();
        let told = |name: &str| app.told_of_builder(&app.store.load(&name.parse().unwrap()).unwrap());
        assert!(told("image-builder-00000001").unwrap().contains("`machine rm image-builder-00000001`"));
        assert!(told("image-builder-00000002").unwrap().contains("builds an image"));
        assert_eq!(told("image-builder-mine"), None);

        app.remove_left_over_builders(&Reporter::silent()).await;
        drop(lock);
        assert_eq!(app.names().unwrap(), ["image-builder-00000002", "image-builder-00000003", "image-builder-mine"]);
    }
}
