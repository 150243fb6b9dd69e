//! The archive of a machine: `tar`, compressed by gzip. Its first entry tells what it is; what else may be in it, how often and how
//! large, is known beforehand.
//!
//! ```text
//! machine-export/manifest.json                      Manifest
//!                id_ed25519(.pub)                   the key that the machine lets in
//!                ssh_host_ed25519_key(.pub)         its host key
//!                os.qcow2 data.qcow2                its disks
//!                image/...                          the image that os.qcow2 lies on
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use machine_core::{Error, MachineName, MachineSpec, Reporter, Result, ResultExt as _};
use machine_images::{Arch, Cancel};
use serde::{Deserialize, Serialize};

/// The newest form that this program writes and reads.
pub(crate) const ARCHIVE_SCHEMA: u32 = 1;
/// Where the image is unpacked to, in the machine's folder.
pub(crate) const IMAGE_FOLDER: &str = "image";

const ROOT: &str = "machine-export";
const MANIFEST: &str = "manifest.json";
/// Files of a machine, with the most bytes that each may have.
pub(crate) const FILES: [(&str, u64); 6] = [
    ("id_ed25519", SMALL),
    ("id_ed25519.pub", SMALL),
    ("ssh_host_ed25519_key", SMALL),
    ("ssh_host_ed25519_key.pub", SMALL),
    ("os.qcow2", LARGE),
    ("data.qcow2", LARGE),
];
const SMALL: u64 = 64 << 10;
const LARGE: u64 = 16 << 40;
/// Files of an image.
const IMAGE_FILES: usize = 16;
/// Zeros of this size become holes.
const BLOCK: usize = 64 << 10;

/// What the machine is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) schema: u32,
    pub(crate) name: MachineName,
    pub(crate) driver: String,
    pub(crate) spec: MachineSpec,
    pub(crate) image: ImageOf,
}

/// What its system disk lies on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImageOf {
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) arch: Arch,
}

/// Packs files into a new archive.
pub(crate) struct Packer<'a> {
    archive: tar::Builder<GzEncoder<File>>,
    reporter: &'a Reporter,
    cancel: &'a Cancel,
    done: u64,
    total: u64,
}

impl<'a> Packer<'a> {
    pub(crate) fn begin(
        file: File,
        manifest: &Manifest,
        total: u64,
        reporter: &'a Reporter,
        cancel: &'a Cancel,
    ) -> io::Result<Self> {
        // Disks compress well at any level; the fast one keeps up with a disk.
        let archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
        let mut packer = Self { archive, reporter, cancel, done: 0, total };
        let text = crate::store::json(manifest);
        packer.append(MANIFEST, text.len() as u64, &mut text.as_slice())?;
        Ok(packer)
    }

    pub(crate) fn file(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        self.append(name, size, &mut file)
    }

    fn append(&mut self, name: &str, size: u64, from: &mut dyn Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        let (reporter, cancel, total) = (self.reporter, self.cancel, self.total);
        let mut counted = Counted {
            from,
            done: self.done,
            tell: |done| {
                reporter.progress(done, Some(total.max(done)), "bytes");
                cancel.check().map_err(io::Error::other)
            },
        };
        self.archive.append_data(&mut header, format!("{ROOT}/{name}"), &mut counted)?;
        self.done = counted.done;
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<u64> {
        let file = self.archive.into_inner()?.finish()?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

struct Counted<'a, T: FnMut(u64) -> io::Result<()>> {
    from: &'a mut dyn Read,
    done: u64,
    tell: T,
}

impl<T: FnMut(u64) -> io::Result<()>> Read for Counted<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.done += count as u64;
        (self.tell)(self.done)?;
        Ok(count)
    }
}

fn open(path: &Path) -> Result<tar::Archive<GzDecoder<File>>> {
    let file = File::open(path).map_err(|error| {
        crate::files::explain(error, "cannot read", path).hint("name the file that `machine export NAME FILE` made")
    })?;
    Ok(tar::Archive::new(GzDecoder::new(file)))
}

fn no_archive(path: &Path) -> Error {
    Error::other(format!("{} is no archive of a machine", path.display())).hint("`machine export NAME FILE` makes one")
}

/// What an archive says that it is.
///
/// # Errors
/// A file that is none, or of a newer program.
pub(crate) fn manifest(path: &Path) -> Result<Manifest> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let mut archive = open(path)?;
    // Raw: what comes before an entry (long names) would be read into memory whole. Ours need none.
    let mut entries = archive.entries().map_err(|error| no_archive(path).because(error))?.raw(true);
    let first = entries.next().ok_or_else(|| no_archive(path))?.map_err(|error| no_archive(path).because(error))?;
    if inside(&first).as_deref() != Some(MANIFEST) || !first.header().entry_type().is_file() || first.size() > 1 << 20 {
        return Err(no_archive(path));
    }
    let mut text = Vec::new();
    first.take(1 << 20).read_to_end(&mut text).map_err(|error| no_archive(path).because(error))?;
    let broken = |error: serde_json::Error| no_archive(path).because(error);
    let version: Version = serde_json::from_slice(&text).map_err(broken)?;
    if version.schema > ARCHIVE_SCHEMA {
        return Err(Error::other(format!(
            "{} has schema {}, this program knows up to {ARCHIVE_SCHEMA}",
            path.display(),
            version.schema
        ))
        .hint("it was written by a newer `machine`: upgrade this one"));
    }
    serde_json::from_slice(&text).map_err(broken)
}

/// The name of an entry below the archive's root, as text.
fn inside<R: Read>(entry: &tar::Entry<'_, R>) -> Option<String> {
    let path = entry.path_bytes();
    std::str::from_utf8(&path).ok()?.strip_prefix(ROOT)?.strip_prefix('/').map(str::to_owned)
}

/// Unpacks all of an archive but its manifest into `folder`, each file new and for this user alone. Whether the image is unpacked,
/// `with_image` says.
///
/// # Errors
/// Anything in it that is not expected, twice or too large; what is missing; [`machine_core::Code::Interrupted`]. What was unpacked by then
/// stays: whoever made the folder removes it.
pub(crate) fn unpack(path: &Path, folder: &Path, with_image: bool, reporter: &Reporter, cancel: &Cancel) -> Result<()> {
    let mut seen = BTreeSet::new();
    let mut archive = open(path)?;
    for entry in archive.entries().map_err(|error| no_archive(path).because(error))?.raw(true) {
        let mut entry = entry.context(|| format!("{} is broken", path.display()))?;
        let name = inside(&entry).unwrap_or_default();
        if name == MANIFEST && seen.is_empty() {
            seen.insert(name);
            continue;
        }
        let strange = |why: &str| {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            Error::other(format!("{} is not used: {name:?} in it {why}", path.display()))
        };
        let Some((to, limit)) = place(&name, folder) else { return Err(strange("has no business there")) };
        if !entry.header().entry_type().is_file() {
            return Err(strange("is no file"));
        }
        if entry.size() > limit {
            return Err(strange("is too large"));
        }
        if seen.len() > FILES.len() + IMAGE_FILES || !seen.insert(name.clone()) {
            return Err(strange("is one too many"));
        }
        if name.starts_with(IMAGE_FOLDER) && !with_image {
            continue;
        }
        write_sparse(&mut entry, &to, cancel).context(|| format!("cannot unpack {}", to.display()))?;
        reporter.detail(format!("unpacked {name}"));
    }
    match FILES.iter().find(|(name, _)| !seen.contains(*name)) {
        Some((name, _)) => Err(Error::other(format!("{} is cut off: {name} is missing", path.display()))),
        None => Ok(()),
    }
}

/// Where a file of an archive goes, and how large it may be.
fn place(name: &str, folder: &Path) -> Option<(PathBuf, u64)> {
    if let Some((name, limit)) = FILES.iter().find(|(known, _)| *known == name) {
        return Some((folder.join(name), *limit));
    }
    let of_image = name.strip_prefix(IMAGE_FOLDER)?.strip_prefix('/')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let good =
        !of_image.is_empty() && of_image.len() <= 64 && of_image.chars().all(is_plain) && !of_image.starts_with('.');
    good.then(|| (folder.join(IMAGE_FOLDER).join(of_image), LARGE))
}

fn write_sparse(from: &mut dyn Read, to: &Path, cancel: &Cancel) -> Result<()> {
    if let Some(folder) = to.parent() {
        machine_files::make_private_folder(folder)?;
    }
    let failed = || format!("cannot write {}", to.display());
    let mut file = machine_files::create_new(to, machine_files::PRIVATE).context(failed)?;
    let mut block = vec![0; BLOCK];
    let mut length = 0;
    loop {
        cancel.check()?;
        let mut filled = 0;
        while filled < BLOCK {
            match from.read(&mut block[filled..]).context(failed)? {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            break;
        }
        length += filled as u64;
        if block[..filled].iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Start(length)).context(failed)?;
        } else {
            file.write_all(&block[..filled]).context(failed)?;
        }
    }
    file.set_len(length).and_then(|()| file.sync_all()).context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_archive_has_a_place_outside_of_the_machines_folder() {
        let folder = Path::new("/m");
        for name in [
            "",
            "../id_ed25519",
            "image/../x",
            "image/",
            "image/a/b",
            "image/.hidden",
            "machine.json",
            "/etc/passwd",
            "image",
        ] {
            assert_eq!(place(name, folder), None, "{name:?}");
        }
        assert_eq!(place("data.qcow2", folder).unwrap().0, Path::new("/m/data.qcow2"));
        assert_eq!(place("image/manifest.json", folder).unwrap().0, Path::new("/m/image/manifest.json"));
    }

    #[test]
    fn zeros_become_holes_and_the_length_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![0; 3 * BLOCK + 5];
        bytes[BLOCK] = 7;
        let to = folder.path().join("f");
        write_sparse(&mut bytes.as_slice(), &to, &Cancel::new()).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), bytes);
    }
}
