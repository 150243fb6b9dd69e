//! Images: which one a machine is made from, and the `image` commands.

use std::path::Path;

use machine_core::{Code, Error, MachineName, MachineRecord, MachineSpec, Reporter, Result};
use machine_images::{
    Arch, Cancel, Catalog, Image, ImageRow, ImportOptions, OWN_IMAGE, Patience, RecipeOptions, StoredImage,
};
use machine_qemu::WarmRow;
use serde::Serialize;

use crate::app::App;

/// One line of `image ls`: an image that is here, or one that can be had.
#[derive(Clone, Debug, Serialize)]
pub struct ImageWords {
    /// Its name.
    pub name: String,
    /// The beginning of its digest, for one that is here.
    pub digest: Option<String>,
    /// Its architecture.
    pub arch: Option<Arch>,
    /// Bytes on this computer's disk.
    pub size: Option<u64>,
    /// When it was taken in, RFC 3339.
    pub added: Option<String>,
    /// Docker Engine inside.
    pub engine_version: Option<String>,
    /// Whether new machines of that name are made from it.
    pub current: bool,
    /// The machines that need it.
    pub machines: Vec<String>,
    /// Saved states of it, from which new machines begin instead of booting.
    pub warm: Vec<WarmRow>,
    /// Where it can be downloaded, for one that is not here.
    pub url: Option<String>,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// The architecture that this computer runs at full speed.
pub(crate) fn host_arch() -> Arch {
    Arch::of_this_computer()
}

impl App {
    /// Sees to it that the image a machine asks for is in the store; builds ours when it is not there yet and this computer
    /// can. The spec then holds the name, or the digest of an imported path.
    pub(crate) async fn ensure_image(&self, spec: &mut MachineSpec, reporter: &Reporter) -> Result<()> {
        let wanted = spec.image.clone().unwrap_or_else(|| OWN_IMAGE.to_owned());
        let store = self.image_store()?;
        let image = match store.find(&wanted, host_arch()) {
            Ok(image) => image,
            Err(error) if error.code() == Code::NotFound && spec.image.is_none() => {
                reporter.info("There is no image yet: building it from distribution packages, once (some minutes)...");
                self.build_image(None, false, reporter).await.map_err(|e| e.with_code(Code::PreCreate))?
            }
            Err(error) if error.code() == Code::NotFound && self.catalog()?.find(&wanted, host_arch()).is_ok() => {
                reporter.info(format!("The image {wanted:?} is not here yet: downloading it, once..."));
                self.pull_image(&wanted, reporter).await.map_err(|e| {
                    let code = if e.code() == Code::Interrupted { Code::Interrupted } else { Code::PreCreate };
                    e.with_code(code)
                })?
            }
            Err(error) if error.code() == Code::NotFound => {
                let app = self.clone();
                let reporter = reporter.clone();
                blocking(move |cancel| app.image_store()?.find_or_import(&wanted, host_arch(), &reporter, cancel))
                    .await
                    .map_err(|e| {
                        let code = if e.code() == Code::Interrupted { Code::Interrupted } else { Code::PreCreate };
                        e.with_code(code)
                            .hint("--image takes a name of `machine image ls`, or the path of a qcow2 or raw disk")
                    })?
            }
            Err(error) => return Err(error.with_code(Code::PreCreate)),
        };
        spec.image = Some(format!("{}@{}", image.name, &image.digest[..12]));
        Ok(())
    }

    /// The image that a machine was made from.
    pub(crate) fn image_of(&self, record: &MachineRecord) -> Result<Image> {
        let reference = record.spec.image.as_deref().unwrap_or(OWN_IMAGE);
        self.image_store()?.find(reference, host_arch()).map_err(|error| {
            error.within(format!("machine {:?} was made from the image {reference:?}", record.name.as_str()))
        })
    }

    /// The image of that name, our own when there is none.
    pub(crate) fn image_named(&self, name: Option<&str>) -> Result<Image> {
        self.image_store()?.find(name.unwrap_or(OWN_IMAGE), host_arch())
    }

    /// Whether a machine's engine is installed and configured over SSH. Others have it in their image and read its settings
    /// from their seed.
    pub(crate) fn is_provisioned_over_ssh(&self, record: &MachineRecord) -> Result<bool> {
        self.check_login(record)?;
        if !self.driver(&record.driver)?.capabilities().images {
            return Ok(true);
        }
        Ok(self.image_of(record)?.seed == machine_images::SeedKind::NoCloud)
    }

    /// Everything in the store, then what the catalog offers besides.
    ///
    /// # Errors
    /// A store or a catalog that cannot be read.
    pub fn images(&self) -> Result<Vec<ImageWords>> {
        let mut words = Vec::new();
        for row in self.image_store()?.list()? {
            words.push(self.words(&row));
        }
        for entry in self.catalog()?.images.iter().filter(|entry| entry.arch == host_arch()) {
            if words.iter().any(|row| row.name == entry.name) {
                continue;
            }
            words.push(ImageWords {
                name: entry.name.clone(),
                digest: None,
                arch: Some(entry.arch),
                size: None,
                added: None,
                engine_version: None,
                current: false,
                machines: Vec::new(),
                warm: Vec::new(),
                url: Some(entry.url.clone()),
                error: None,
            });
        }
        Ok(words)
    }

    fn words(&self, row: &ImageRow) -> ImageWords {
        let stored = row.image.as_ref().ok();
        let of_it = |warm: &WarmRow| stored.is_some_and(|stored| stored.image.digest == warm.image_digest);
        ImageWords {
            warm: self.warm_states().list().into_iter().filter(of_it).collect(),
            name: stored.map_or_else(|| row.reference.clone(), |stored| stored.image.name.clone()),
            digest: stored.map(|stored| stored.image.digest[..12].to_owned()),
            arch: stored.map(|stored| stored.image.arch),
            size: Some(row.size_on_disk),
            added: row.added().map(|added| added.to_string()),
            engine_version: stored.and_then(|stored| stored.image.engine_version.clone()),
            current: row.current,
            machines: stored.map(|stored| self.machines_of(&stored.image.digest)).unwrap_or_default(),
            url: None,
            error: row.image.as_ref().err().map(ToString::to_string),
        }
    }

    /// The machines made from the image of that digest. One whose record cannot be read counts for every image: it may.
    fn machines_of(&self, digest: &str) -> Vec<String> {
        let short = &digest[..12.min(digest.len())];
        let uses = |name: &String| match name.parse::<MachineName>().and_then(|name| self.store.load(&name)) {
            // In the middle of an upgrade there are two: the one that is noted, and the one that the driver still works with.
            Ok(record) => {
                record.spec.image.is_some_and(|image| image.rsplit('@').next() == Some(short))
                    || record.driver_state.to_string().contains(digest)
            }
            Err(_) => true,
        };
        self.store.names().unwrap_or_default().into_iter().filter(uses).collect()
    }

    fn catalog(&self) -> Result<Catalog> {
        match &self.environment.catalog {
            Some(path) => Catalog::read(path),
            None => Ok(Catalog::embedded().clone()),
        }
    }

    /// Downloads an image of the catalog.
    ///
    /// # Errors
    /// A name that the catalog does not have, or whatever failed; nothing half is kept as an image.
    pub async fn pull_image(&self, name: &str, reporter: &Reporter) -> Result<Image> {
        let catalog = self.catalog()?;
        let entry = catalog.find(name, host_arch())?.clone();
        let cancel = CancelOnDrop::new();
        self.image_store()?.pull(&entry, &Patience::default(), reporter, &cancel.0).await
    }

    /// Takes a disk image or a built folder into the store.
    ///
    /// # Errors
    /// What is no usable image; nothing is kept then.
    pub async fn import_image(&self, path: &Path, name: Option<String>, reporter: &Reporter) -> Result<Image> {
        let (app, path, reporter) = (self.clone(), path.to_owned(), reporter.clone());
        blocking(move |cancel| {
            let options = ImportOptions { name, ..ImportOptions::default() };
            app.image_store()?.import(&path, &options, &reporter, cancel)
        })
        .await
        .map_err(|error| match error.hints().is_empty() {
            true => error.hint("an image is a qcow2 or raw disk, or a folder as `machine image build` makes it"),
            false => error,
        })
    }

    /// Builds our own image from distribution packages: on this computer if it runs Linux and nothing else is asked for, or
    /// in a machine ([`App::build_image_in_machine`]).
    ///
    /// # Errors
    /// Missing tools, or whatever failed, with the end of the build's output.
    pub async fn build_image(
        &self,
        package_source: Option<String>,
        in_machine: bool,
        reporter: &Reporter,
    ) -> Result<Image> {
        if in_machine || !cfg!(target_os = "linux") {
            return self.build_image_in_machine(package_source, reporter).await;
        }
        let (app, reporter) = (self.clone(), reporter.clone());
        blocking(move |cancel| {
            let options = RecipeOptions { arch: host_arch(), name: None, package_source, work: None };
            app.image_store()?.build(&options, &reporter, cancel)
        })
        .await
    }

    /// Removes an image that no machine needs.
    ///
    /// # Errors
    /// No such image, or the machines that need it.
    pub fn remove_image(&self, reference: &str) -> Result<String> {
        // Machines that cannot be listed may need it.
        self.store.names()?;
        let removed = self.image_store()?.remove(reference, &|digest| self.machines_of(digest))?;
        if let Ok(stored) = &removed.image {
            self.warm_states().remove(|warm| warm.image_digest == stored.image.digest)?;
        }
        Ok(removed.reference)
    }

    /// Removes all warm states: the next machine of each shape boots and leaves another. Returns those removed.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn prune_images(&self) -> Result<Vec<WarmRow>> {
        self.warm_states().remove(|_| true)
    }

    /// Everything known of an image.
    ///
    /// # Errors
    /// No such image, or a broken one.
    pub fn show_image(&self, reference: &str) -> Result<StoredImage> {
        self.image_store()?.show(reference, host_arch())
    }
}

/// Cancels when it is dropped: a future that is given up takes its blocking work with it.
pub(crate) struct CancelOnDrop(pub(crate) Cancel);

impl CancelOnDrop {
    pub(crate) fn new() -> Self {
        Self(Cancel::new())
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs blocking work that looks at its `Cancel`; giving up the future cancels it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce(&Cancel) -> Result<T> + Send + 'static) -> Result<T> {
    let guard = CancelOnDrop::new();
    let cancel = guard.0.clone();
    tokio::task::spawn_blocking(move || work(&cancel))
        .await
        .map_err(|e| Error::other("the work ended unexpectedly").because(e))?
}
