//! Brings files of this computer into the store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machine_core::{Code, Error, Reporter, Result, ResultExt};

use crate::incoming::Attempt;
use crate::manifest::Manifest;
use crate::reference::ImageReference;
use crate::sparse_copy::copy_sparse;
use crate::stored_image::{FileDigest, IMAGE_SCHEMA, check_name};
use crate::{Arch, Boot, Cancel, Image, ImageStore, SeedKind, StoredImage, disk_header};

/// What the caller knows of an image that is imported. What is left open comes from its manifest or its file name.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Its name in the store.
    pub name: Option<String>,
    /// The architecture of its guest; a manifest must agree, and without one this computer's is assumed.
    pub arch: Option<Arch>,
    /// Where it came from, for people; its path if not given.
    pub source: Option<String>,
    /// What the SHA-256 of its disk has to be, where that is known beforehand.
    pub digest: Option<String>,
}

impl ImageStore {
    /// Copies an image into the store: one disk file, or a folder as the recipe makes it, with `manifest.json`.
    ///
    /// A single disk boots by itself and is expected to bring cloud-init. Every file is checked against the manifest,
    /// and an image that is there already becomes the current one of its name again.
    ///
    /// # Errors
    /// What is no usable image or differs from its manifest; what cannot be written; [`Code::Interrupted`]. Nothing is
    /// left behind in any of these cases.
    pub fn import(&self, path: &Path, options: &ImportOptions, reporter: &Reporter, cancel: &Cancel) -> Result<Image> {
        let imported = || format!("cannot import {}", path.display());
        let about = fs::metadata(path).map_err(|error| {
            let code = if error.kind() == std::io::ErrorKind::NotFound { Code::NotFound } else { Code::Other };
            Error::new(code, "cannot read it").because(error)
        });
        let about = about.context(imported)?;
        if let Some(name) = &options.name {
            check_name(name)?;
        }
        reporter.stage("import", format!("Importing {}", path.display()));
        let attempt = self.incoming.begin()?;
        let stored = if about.is_dir() {
            import_folder(path, options, &attempt, reporter, cancel)
        } else {
            import_disk(path, options, &attempt, reporter, cancel)
        };
        let stored = stored.context(imported)?;
        if options.digest.as_ref().is_some_and(|digest| *digest != stored.image.digest) {
            return Err(Error::other("its disk is not the one that was promised")).context(imported);
        }
        self.publish(&attempt, &stored)
    }

    /// The image that `reference` means; a path is imported first, and becomes the same image
    /// each time as long as the file is the same.
    ///
    /// # Errors
    /// As those of [`ImageStore::find`] and [`ImageStore::import`].
    pub fn find_or_import(&self, reference: &str, arch: Arch, reporter: &Reporter, cancel: &Cancel) -> Result<Image> {
        match ImageReference::parse(reference) {
            ImageReference::Path(path) => {
                let options = ImportOptions { arch: Some(arch), ..ImportOptions::default() };
                self.import(path, &options, reporter, cancel)
            }
            ImageReference::Name(_) | ImageReference::Version(..) => self.find(reference, arch),
        }
    }
}

fn import_disk(
    path: &Path,
    options: &ImportOptions,
    attempt: &Attempt,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<StoredImage> {
    disk_header::inspect(path)?;
    let name = match &options.name {
        Some(name) => name.clone(),
        None => name_from(path)?,
    };
    let copy = attempt.folder().join("disk");
    let digest = copy_sparse(path, &copy, reporter, cancel)?;
    let arch = options.arch.unwrap_or_else(Arch::of_this_computer);
    lone_disk(attempt, &copy, digest, name, arch, source_of(path, options))
}

/// Describes an attempt that has nothing but a disk, `copy`, and gives that its final name.
///
/// What is judged is the copy: the original may have changed meanwhile.
pub(crate) fn lone_disk(
    attempt: &Attempt,
    copy: &Path,
    digest: FileDigest,
    name: String,
    arch: Arch,
    source: String,
) -> Result<StoredImage> {
    let header = disk_header::inspect(copy)?;
    let file = format!("disk.{}", header.format.as_str());
    fs::rename(copy, attempt.folder().join(&file)).context(|| format!("cannot rename {}", copy.display()))?;
    Ok(StoredImage {
        schema: IMAGE_SCHEMA,
        added: Timestamp::now(),
        source,
        published_digest: None,
        image: Image {
            name,
            digest: digest.sha256.clone(),
            arch,
            disk: PathBuf::from(&file),
            format: header.format.as_str().into(),
            virtual_size: header.virtual_size,
            boot: Boot::Firmware,
            seed: SeedKind::NoCloud,
            engine_version: None,
            channel: None,
            kernel_version: None,
        },
        files: BTreeMap::from([(file, digest)]),
    })
}

fn import_folder(
    path: &Path,
    options: &ImportOptions,
    attempt: &Attempt,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<StoredImage> {
    let text = fs::read(path.join("manifest.json")).map_err(|error| {
        Error::other("it has no readable manifest.json")
            .because(error)
            .hint("import a disk file, or a folder as `machine image build` makes it")
    })?;
    let manifest = Manifest::parse(&text)?;
    if let Some(arch) = options.arch.filter(|arch| *arch != manifest.arch) {
        return Err(Error::other(format!("it is for {}, not for {arch}", manifest.arch)));
    }
    let (disk, format) = manifest.disk()?;
    let mut files = BTreeMap::new();
    for (name, promised) in &manifest.files {
        let from = path.join(name);
        if !fs::metadata(&from).context(|| format!("cannot read {name}"))?.is_file() {
            return Err(Error::other(format!("{name} is not a regular file")));
        }
        let found = copy_sparse(&from, &attempt.folder().join(name), reporter, cancel)?;
        if found != *promised {
            return Err(Error::other(format!(
                "{name} is not what manifest.json says: expected sha256 {} ({} bytes), got {} ({} bytes)",
                promised.sha256, promised.size, found.sha256, found.size
            ))
            .hint("it was changed or cut off: build or fetch the image again"));
        }
        files.insert(name.clone(), found);
    }
    let kept_manifest =
        copy_sparse(&path.join("manifest.json"), &attempt.folder().join("manifest.json"), reporter, cancel)?;
    files.insert("manifest.json".into(), kept_manifest);
    let header = disk_header::inspect(&attempt.folder().join(disk))?;
    if header.format != format {
        return Err(Error::other(format!("{disk} is a {} disk", header.format.as_str())));
    }
    let (boot, seed) = if manifest.boots_directly() {
        let (kernel, initrd) = (PathBuf::from("vmlinuz"), PathBuf::from("initrd.img"));
        (Boot::Direct { kernel, initrd, args: manifest.kernel_args }, SeedKind::Machine)
    } else {
        (Boot::Firmware, SeedKind::NoCloud)
    };
    Ok(StoredImage {
        schema: IMAGE_SCHEMA,
        added: Timestamp::now(),
        source: source_of(path, options),
        published_digest: None,
        image: Image {
            name: options.name.clone().unwrap_or(manifest.name),
            digest: files[disk].sha256.clone(),
            arch: manifest.arch,
            disk: PathBuf::from(disk),
            format: format.as_str().into(),
            virtual_size: header.virtual_size,
            boot,
            seed,
            engine_version: manifest.engine_version.filter(|version| !version.is_empty()),
            channel: manifest.channel,
            kernel_version: manifest.kernel_version.filter(|version| !version.is_empty()),
        },
        files,
    })
}

fn source_of(path: &Path, options: &ImportOptions) -> String {
    options.source.clone().unwrap_or_else(|| path.display().to_string())
}

/// A name made of a file's: `Debian 13 (amd64).qcow2` is `debian-13-amd64`.
fn name_from(path: &Path) -> Result<String> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let words: Vec<&str> = stem
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_')))
        .map(|word| word.trim_matches(['.', '_']))
        .filter(|word| !word.is_empty())
        .collect();
    let mut name = words.join("-");
    name.truncate(63);
    let name = name.trim_end_matches(['.', '_', '-']).to_owned();
    check_name(&name).map_err(|_| {
        Error::new(Code::Usage, "its file name makes no name for an image").hint("give one with `--name NAME`")
    })?;
    Ok(name)
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
