//! The images on this computer.
//!
//! ```text
//! ROOT/NAME@DIGEST12/image.json   what the image is (`StoredImage`)
//!                    disk.qcow2   or disk.raw: the base of every machine's overlay
//!                    vmlinuz      and initrd.img: for direct boot, if it has that
//!                    manifest.json  of an image that the recipe made
//! ROOT/.incoming/                 work in progress
//! ```
//!
//! A folder appears by one rename, complete and on the disk; its files are read-only. Machines refer to digests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machine_core::{Code, Error, Result, ResultExt};

use crate::incoming::{Attempt, Incoming, remove_folder};
use crate::reference::{ImageReference, similar};
use crate::stored_image::IMAGE_FILE;
use crate::{Arch, Catalog, Image, StoredImage};
use machine_files as files;

/// The name of the image that the recipe makes.
pub const OWN_IMAGE: &str = "machine";

/// The images on this computer, in one folder.
#[derive(Clone, Debug)]
pub struct ImageStore {
    root: PathBuf,
    pub(crate) incoming: Incoming,
}

/// A folder of the store.
#[derive(Debug)]
pub struct ImageRow {
    /// The name of the folder, `NAME@DIGEST12`.
    pub reference: String,
    /// The image, or why the folder does not hold a usable one.
    pub image: Result<StoredImage>,
    /// What its files take on the disk, bytes.
    pub size_on_disk: u64,
    /// Whether its name alone means it: it is the newest of that name and architecture.
    pub current: bool,
}

impl ImageRow {
    /// When it came into the store.
    pub fn added(&self) -> Option<Timestamp> {
        self.image.as_ref().ok().map(|stored| stored.added)
    }
}

impl ImageStore {
    /// Opens the store in `root`, which need not exist yet, and clears away what dead processes left unfinished.
    ///
    /// # Errors
    /// When `root` is something else than a folder.
    pub fn open(root: PathBuf) -> Result<Self> {
        if fs::metadata(&root).is_ok_and(|about| !about.is_dir()) {
            return Err(Error::other(format!("the image store {} is not a folder", root.display())));
        }
        let incoming = Incoming::of_store(&root);
        incoming.prune();
        Ok(Self { root, incoming })
    }

    /// The folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All images, by name, the newest first. A folder that cannot be used is a row that says why.
    ///
    /// # Errors
    /// When the store itself cannot be read.
    pub fn list(&self) -> Result<Vec<ImageRow>> {
        let failed = || format!("cannot read the image store {}", self.root.display());
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.context(failed)?,
        };
        let mut rows = Vec::new();
        for entry in entries {
            let entry = entry.context(failed)?;
            let reference = entry.file_name().to_string_lossy().into_owned();
            let folder = entry.path();
            if reference.starts_with('.') || !folder.is_dir() {
                continue;
            }
            let image = load(&folder, &reference);
            rows.push(ImageRow { reference, image, size_on_disk: size_on_disk(&folder), current: false });
        }
        let name = |row: &ImageRow| row.reference.split('@').next().unwrap_or_default().to_owned();
        rows.sort_by(|a, b| (name(a), b.added(), &a.reference).cmp(&(name(b), a.added(), &b.reference)));
        let mut seen = Vec::new();
        for row in &mut rows {
            if let Ok(stored) = &row.image {
                let kind = (stored.image.name.clone(), stored.image.arch);
                row.current = !seen.contains(&kind);
                seen.push(kind);
            }
        }
        Ok(rows)
    }

    /// The image that `reference` means: a name, `NAME@DIGEST`, or the beginning of a digest; for guests of `arch`.
    ///
    /// # Errors
    /// [`Code::NotFound`] with what to do; a broken image with the reason.
    pub fn find(&self, reference: &str, arch: Arch) -> Result<Image> {
        Ok(self.show(reference, arch)?.image)
    }

    /// Everything known of the image that `reference` means, as [`ImageStore::find`] finds it.
    ///
    /// # Errors
    /// As those of [`ImageStore::find`].
    pub fn show(&self, reference: &str, arch: Arch) -> Result<StoredImage> {
        let mut rows = self.list()?;
        let meant = ImageReference::parse(reference);
        if let ImageReference::Path(path) = meant {
            return Err(Error::new(Code::NotFound, format!("{} is not an image of the store", path.display()))
                .hint(format!("`machine image import {}` brings it into the store", path.display())));
        }
        let fits = |row: &ImageRow| {
            row.image.as_ref().is_ok_and(|s| s.image.arch == arch && meant.means(&s.image.name, &s.image.digest))
        };
        // The rows are sorted: the newest of a name comes first.
        if let Some(place) = rows.iter().position(fits) {
            return rows.swap_remove(place).image;
        }
        if let Some(place) = rows.iter().position(|row| row.image.is_err() && row.is_meant_by(&meant)) {
            let row = rows.swap_remove(place);
            return row.image.context(|| format!("image {:?} cannot be used", row.reference)).map_err(|error| {
                error.hint(format!(
                    "`machine image rm {}` removes it; then pull, import or build it again",
                    row.reference
                ))
            });
        }
        Err(absent(&meant, reference, arch, &rows))
    }

    /// The image whose disk has this SHA-256 (whole, hexadecimal).
    ///
    /// # Errors
    /// [`Code::NotFound`].
    pub fn by_digest(&self, digest: &str) -> Result<Image> {
        let rows = self.list()?;
        let found = rows.into_iter().filter_map(|row| row.image.ok()).find(|stored| stored.image.digest == digest);
        found.map(|stored| stored.image).ok_or_else(|| {
            Error::new(Code::NotFound, format!("no image has the digest {digest}")).hint(
                "it was removed from the image store, or the store was moved: `machine image ls` lists what is there",
            )
        })
    }

    /// The image downloaded under this published digest (`sha512:...`), if it is there.
    pub(crate) fn by_published_digest(&self, digest: &str, name: &str, arch: Arch) -> Result<Option<StoredImage>> {
        let mut stored = self.list()?.into_iter().filter_map(|row| row.image.ok());
        Ok(stored.find(|stored| {
            stored.published_digest.as_deref() == Some(digest) && stored.image.name == name && stored.image.arch == arch
        }))
    }

    /// Removes one image, usable or not, and returns its row. `in_use` names the machines that need a digest.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::Usage`] when several images are meant; a refusal that names the machines.
    pub fn remove(&self, reference: &str, in_use: &dyn Fn(&str) -> Vec<String>) -> Result<ImageRow> {
        let mut rows = self.list()?;
        let meant = ImageReference::parse(reference);
        let places: Vec<usize> = (0..rows.len()).filter(|place| rows[*place].is_meant_by(&meant)).collect();
        let place = match places[..] {
            [] => return Err(absent(&meant, reference, Arch::of_this_computer(), &rows)),
            [place] => place,
            _ => {
                let all: Vec<&str> = places.iter().map(|place| rows[*place].reference.as_str()).collect();
                return Err(Error::new(Code::Usage, format!("{reference:?} means several images: {}", all.join(", ")))
                    .hint(format!("name one: `machine image rm {}`", all[all.len() - 1])));
            }
        };
        let row = rows.swap_remove(place);
        let _store = self.incoming.lock()?;
        if let Ok(stored) = &row.image {
            let machines = in_use(&stored.image.digest);
            if !machines.is_empty() {
                return Err(Error::other(format!("image {} is used by {}", row.reference, machines.join(", "))).hint(
                    "remove these machines first (`machine rm NAME`); their disks are made on top of the image",
                ));
            }
        }
        // It vanishes whole, then is deleted; a crash in between leaves something for the next opening to clear away.
        let doomed = self.root.join(".incoming").join(format!("removed-{}", row.reference));
        let folder = self.root.join(&row.reference);
        let failed = || format!("cannot remove the image {}", folder.display());
        remove_folder(&doomed).context(failed)?;
        fs::rename(&folder, &doomed).context(failed)?;
        remove_folder(&doomed).context(failed)?;
        Ok(row)
    }

    /// Makes a finished attempt an image of the store: `stored` says what is in its folder, with relative paths.
    pub(crate) fn publish(&self, attempt: &Attempt, stored: &StoredImage) -> Result<Image> {
        let folder = attempt.folder();
        let target = self.root.join(stored.reference());
        let failed = || format!("cannot keep the image {}", target.display());
        let text = stored.to_json()?;
        // Read back as any later process will read it: what is published is usable.
        StoredImage::parse(&text)?;
        let names = stored.files.keys();
        for name in names.clone() {
            make_read_only(&folder.join(name)).context(failed)?;
        }
        files::write_whole(&folder.join(IMAGE_FILE), &text, files::READ_ONLY)?;
        let _store = self.incoming.lock()?;
        if target.exists() {
            // The same disk is there already. Machines may run from it, so it is never moved away: what differs is
            // replaced file by file, and image.json at last.
            let present = load(&target, &stored.reference()).ok();
            for name in names {
                if present.as_ref().and_then(|present| present.files.get(name)) != stored.files.get(name) {
                    fs::rename(folder.join(name), target.join(name)).context(failed)?;
                }
            }
            fs::rename(folder.join(IMAGE_FILE), target.join(IMAGE_FILE)).context(failed)?;
            files::sync_folder(&target).context(failed)?;
        } else {
            files::sync_folder(folder).context(failed)?;
            fs::rename(folder, &target).context(failed)?;
        }
        files::sync_folder(&self.root).context(failed)?;
        Ok(load(&target, &stored.reference())?.image)
    }
}

impl ImageRow {
    fn is_meant_by(&self, reference: &ImageReference<'_>) -> bool {
        match &self.image {
            Ok(stored) => reference.means(&stored.image.name, &stored.image.digest),
            Err(_) => {
                let (name, digest) = self.reference.split_once('@').unwrap_or((&self.reference, ""));
                reference.means(name, digest)
            }
        }
    }
}

fn load(folder: &Path, reference: &str) -> Result<StoredImage> {
    let text = fs::read(folder.join(IMAGE_FILE)).context(|| format!("cannot read {IMAGE_FILE}"))?;
    let stored = StoredImage::parse(&text)?;
    if stored.reference() != reference {
        return Err(Error::other(format!("its folder holds {} in truth", stored.reference())));
    }
    for (name, file) in &stored.files {
        let size = fs::metadata(folder.join(name)).context(|| format!("cannot read {name}"))?.len();
        if size != file.size {
            return Err(Error::other(format!("{name} is damaged: it has {size} bytes instead of {}", file.size)));
        }
    }
    Ok(stored.located_in(folder))
}

fn absent(meant: &ImageReference<'_>, reference: &str, arch: Arch, rows: &[ImageRow]) -> Error {
    let stored = || rows.iter().filter_map(|row| row.image.as_ref().ok());
    let mut error = Error::new(Code::NotFound, format!("no image {reference:?} for {arch} on this computer"));
    if let Some(other) = stored().find(|stored| meant.means(&stored.image.name, &stored.image.digest)) {
        error = error.hint(format!("it is here for {} only", other.image.arch));
    }
    let catalog = Catalog::embedded();
    let word = meant.word();
    if word == OWN_IMAGE {
        error = error.hint("`machine image build` makes it from distribution packages");
    } else if catalog.find(word, arch).is_ok() {
        error = error.hint(format!("`machine image pull {word}` downloads it"));
    }
    let names = stored().map(|stored| stored.image.name.as_str()).chain(catalog.names()).chain([OWN_IMAGE]);
    let close = similar(word, names);
    if !close.is_empty() {
        error = error.hint(format!("did you mean {}?", close.join(" or ")));
    }
    error.hint("`machine image ls` lists the images that are here, and those that can be downloaded")
}

fn make_read_only(path: &Path) -> io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    #[cfg(unix)]
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o444);
    #[cfg(not(unix))]
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions)
}

fn size_on_disk(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|about| allocated(&about)).sum()
}

#[cfg(unix)]
fn allocated(about: &fs::Metadata) -> u64 {
    // Always in units of 512 bytes, whatever the file system's block is (stat(2)).
    std::os::unix::fs::MetadataExt::blocks(about) * 512
}

#[cfg(not(unix))]
fn allocated(about: &fs::Metadata) -> u64 {
    about.len()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
