//! `export` and `import`: a machine of this computer that is off goes to another computer, in one file.
//!
//! Its keys go with it, so whoever has the file can become root in the machine: it is for this user alone, and says so. What is this
//! computer's stays here: the folders that it saw, arguments for QEMU, who reaches its ports. Certificates are made anew by the store that
//! takes it in.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;
use machine_core::{
    Code, Error, MachineName, MachineRecord, MachineState, Phase, Publish, RECORD_SCHEMA, Reporter, Result,
    ResultExt as _, ShareType,
};
use machine_images::{Image, ImportOptions};
use machine_ssh::HostKey;

use crate::app::App;
use crate::archive::{self, ARCHIVE_SCHEMA, FILES, IMAGE_FOLDER, ImageOf, Manifest, Packer};
use crate::image_use_cases::{blocking, host_arch};
use crate::{certificates, files, seed, store};

/// The driver whose machines are files.
const DRIVER: &str = "qemu";
/// What the names of images begin with that came in an archive.
pub(crate) const IMPORTED: &str = "imported-";
/// What of a driver's options says nothing about one computer.
const KEPT_OPTIONS: [&str; 2] = ["host_access", "warm"];

impl App {
    /// Packs a machine into the new file `path`. Returns its size, bytes.
    ///
    /// # Errors
    /// A machine that is not off, or is not of this computer; a file that is there or cannot be written. Nothing is left then.
    pub async fn export(&self, name: &MachineName, path: &Path, reporter: &Reporter) -> Result<u64> {
        // A name that nobody has leaves no lock behind.
        self.store.load(name)?;
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        let refused = |why: &str| Error::other(format!("machine {:?} cannot be exported: {why}", name.as_str()));
        if record.driver != DRIVER {
            return Err(refused("it is not a machine of this computer")
                .hint("a host is adopted from another computer by `machine create -d generic`"));
        }
        match self.look(&*self.driver(&record.driver)?, &record).await {
            MachineState::Stopped => {}
            MachineState::Saved => {
                return Err(refused("it is suspended, and its memory is good for this computer alone")
                    .hint(format!("`machine start {name}`, then `machine stop {name}`")));
            }
            _ => return Err(refused("it is not off").hint(format!("`machine stop {name}` first"))),
        }
        if record.phase != Phase::Ready {
            return Err(refused("its engine has never answered").hint(format!("`machine start {name}` first")));
        }
        if !record.spec.shares.is_empty() {
            reporter.warn("the folders that it sees stay behind, for they are this computer's: `machine share add` shares others there");
        }
        let image = self.image_of(&record)?;
        let image_folder = image.disk.parent().map(Path::to_owned).unwrap_or_default();
        let dir = self.store.folder(name);
        let mut parts: Vec<(String, PathBuf)> =
            FILES.iter().map(|(file, _)| ((*file).to_owned(), dir.join(file))).collect();
        for entry in fs::read_dir(&image_folder).map_err(|e| files::explain(e, "cannot list", &image_folder))?.flatten()
        {
            let file = entry.file_name().to_string_lossy().into_owned();
            // The store makes its own.
            if file != "image.json" {
                parts.push((format!("{IMAGE_FOLDER}/{file}"), entry.path()));
            }
        }
        let manifest = Manifest {
            schema: ARCHIVE_SCHEMA,
            name: name.clone(),
            driver: record.driver,
            spec: portable(record.spec),
            image: ImageOf { name: image.name, digest: image.digest, arch: image.arch },
        };
        reporter.stage("export", format!("Packing {name}"));
        let (path, reporter) = (path.to_owned(), reporter.clone());
        blocking(move |cancel| {
            let file =
                machine_files::create_new(&path, machine_files::PRIVATE).map_err(|error| match error.kind() {
                    std::io::ErrorKind::AlreadyExists => {
                        Error::new(Code::AlreadyExists, format!("{} is there already", path.display()))
                            .hint("name another file, or remove it: an export that was killed leaves half of one")
                    }
                    _ => files::explain(error, "cannot write", &path),
                })?;
            let total = parts.iter().filter_map(|(_, from)| Some(from.metadata().ok()?.len())).sum();
            let pack = || {
                let mut packer = Packer::begin(file, &manifest, total, &reporter, cancel)?;
                parts.iter().try_for_each(|(name, from)| packer.file(name, from))?;
                let size = packer.finish()?;
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                machine_files::sync_folder(folder.unwrap_or(Path::new(".")))?;
                Ok(size)
            };
            pack().map_err(|error| {
                let _half_of_one_is_none = fs::remove_file(&path);
                if cancel.is_cancelled() {
                    return Error::new(Code::Interrupted, "interrupted");
                }
                files::explain(error, "cannot write", &path)
            })
        })
        .await
    }

    /// Makes a machine of an archive, called `name`, or as it was.
    ///
    /// # Errors
    /// A name that is taken, a file that is no archive or has in it what does not belong there, a computer that cannot carry the
    /// machine. Nothing is left then.
    pub async fn import(&self, path: &Path, name: Option<MachineName>, reporter: &Reporter) -> Result<MachineName> {
        let from = path.to_owned();
        let manifest = blocking(move |_| archive::manifest(&from)).await?;
        let name = name.unwrap_or_else(|| manifest.name.clone());
        let refused = |error: Error| error.within(format!("machine {:?} was not imported", name.as_str()));
        let record = Self::record_of(&manifest, &name).map_err(refused)?;
        let _lock = self.lock(&name, reporter).await?;
        if self.store.exists(&name) {
            // What an import leaves that was killed is replaced by the next.
            if self.store.load(&name).is_ok_and(|record| record.phase == Phase::Creating) {
                self.remove_everything(&name, false, reporter).await?;
            } else {
                return Err(Error::new(Code::AlreadyExists, format!("Docker machine \"{name}\" already exists"))
                    .hint(format!("`machine import {} NEW` gives it another name", path.display())));
            }
        }
        self.store.sweep();
        reporter.stage("check", "Running pre-create checks");
        let here = self.image_store()?.by_digest(&manifest.image.digest).is_ok();
        let driver = self.driver(DRIVER)?;
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        journal.phase("reserved", Phase::Creating)?;
        // Whoever gives this up, by an error or by Ctrl-C, leaves nothing.
        let mut undo = Undo { app: self, name: name.clone(), image: None, done: false };
        let dir = self.store.folder(&name);
        reporter.stage("unpack", format!("Unpacking {name}"));
        let (app, from, to, of, told) =
            (self.clone(), path.to_owned(), dir.clone(), manifest.image.clone(), reporter.clone());
        let of_folder = name.clone();
        let image = blocking(move |cancel| {
            let made = archive::unpack(&from, &to, !here, &told, cancel)
                .and_then(|()| app.image_of_archive(&to, &of, &told, cancel));
            // It may have gone on writing after the one who waited for it was gone, and had cleaned up.
            if made.is_err() && cancel.is_cancelled() {
                app.store.remove_folder(&of_folder)?;
            }
            made
        })
        .await
        .map_err(refused)?;
        // As it is called here, which may be otherwise than there.
        let reference = format!("{}@{}", image.name, image.digest.get(..12).unwrap_or_default());
        undo.image = (!here).then(|| reference.clone());
        let mut checked = journal.snapshot().spec;
        checked.image = Some(reference.clone());
        driver.preflight(&mut checked, reporter).await.map_err(refused)?;
        let state = self.qemu().adopt_disks(&dir, &image).await.map_err(refused)?;
        let public = fs::read_to_string(dir.join(format!("{}.pub", seed::HOST_KEY)))
            .map_err(|error| files::explain(error, "cannot read the host key in", &dir))?;
        let host_key: HostKey = public.trim().parse().map_err(refused)?;
        let ends = self.write_certificates(&journal.snapshot()).map_err(refused)?;
        journal.update("imported", |record| {
            record.spec.image = Some(reference);
            record.driver_state = state;
            record.host_key = Some(host_key.to_string());
            record.certificate_ends = Some(ends);
            record.phase = Phase::Ready;
        })?;
        undo.done = true;
        Ok(name)
    }

    /// The record that an archive asks for, without what would be another computer's, or a stranger's wish about this one.
    fn record_of(manifest: &Manifest, name: &MachineName) -> Result<MachineRecord> {
        if manifest.driver != DRIVER {
            return Err(Error::other(format!("it is of the driver {:?}", manifest.driver)));
        }
        if manifest.image.arch != host_arch() {
            return Err(Error::new(
                Code::PreCreate,
                "it is a machine for another kind of processor than this computer's",
            ));
        }
        let mut spec = portable(manifest.spec.clone());
        // Known when it is here.
        spec.image = None;
        machine_engine::check_account_name(&spec.ssh_user)?;
        machine_engine::daemon_json(&spec.engine, DRIVER)?;
        machine_engine::engine_environment(&spec.engine)?;
        certificates::subject_alternative_names(name, &spec.tls_san)?;
        Ok(MachineRecord { schema: RECORD_SCHEMA, created: Timestamp::now(), spec, ..store::remains(name, DRIVER) })
    }

    /// The image of an archive: the one that is here, or the one that came with it, which has to be what it says.
    fn image_of_archive(
        &self,
        dir: &Path,
        of: &ImageOf,
        reporter: &Reporter,
        cancel: &machine_images::Cancel,
    ) -> Result<Image> {
        let images = self.image_store()?;
        if let Ok(image) = images.by_digest(&of.digest) {
            return Ok(image);
        }
        let folder = dir.join(IMAGE_FOLDER);
        let missing = || Error::other("the archive has no image, and it is not here either");
        let lone = || {
            let entries = fs::read_dir(&folder).ok()?;
            let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            if files.len() == 1 { files.pop() } else { None }
        };
        let from = if folder.join("manifest.json").is_file() { folder.clone() } else { lone().ok_or_else(missing)? };
        let options = ImportOptions {
            // Never a name that new machines are made from: it is a stranger's.
            name: Some(format!("{IMPORTED}{}", of.name.trim_start_matches(IMPORTED))),
            digest: Some(of.digest.clone()),
            arch: Some(of.arch),
            source: Some("an archive of a machine".into()),
        };
        let image = images.import(&from, &options, reporter, cancel)?;
        fs::remove_dir_all(&folder).context(|| format!("cannot remove {}", folder.display()))?;
        Ok(image)
    }
}

/// What was asked for, without what holds for one computer alone.
fn portable(mut spec: machine_core::MachineSpec) -> machine_core::MachineSpec {
    spec.shares.clear();
    spec.share_type = ShareType::Auto;
    spec.publish = Publish::Loopback;
    spec.options.retain(|name, _| KEPT_OPTIONS.contains(&name.as_str()));
    spec.options.insert("accelerator".to_owned(), "auto".into());
    spec
}

/// Removes what an import has made, unless it is done.
struct Undo<'a> {
    app: &'a App,
    name: MachineName,
    /// One that came with it.
    image: Option<String>,
    done: bool,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let folder = self.app.store.remove_folder(&self.name);
        let image = self.image.as_deref().map_or(Ok(()), |image| self.app.remove_image(image).map(drop));
        if let Err(error) = folder.and(image) {
            tracing::warn!(%error, "what was imported is not all gone");
        }
    }
}
