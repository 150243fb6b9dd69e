//! Files that are whole or absent, whatever happens meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use machine_core::{Result, ResultExt};

/// Who may do what with a new file. Systems without Unix modes inherit the folder's permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// 0600.
    Private,
    /// 0444.
    ReadOnly,
}

impl Access {
    #[cfg(unix)]
    fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::ReadOnly => 0o444,
        }
    }
}

/// Makes a file that must not exist yet.
#[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix has modes"))]
pub(crate) fn create_new(path: &Path, access: Access) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, access.mode());
    options.open(path)
}

/// Writes `bytes` beside `path`, onto the disk, and puts the file in place of whatever is there.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], access: Access) -> Result<()> {
    let temporary = beside(path);
    let written = (|| {
        // What is left of a dead process that had our process id.
        let _ = fs::remove_file(&temporary);
        let mut file = create_new(&temporary, access)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder_of(path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.context(|| format!("cannot write {}", path.display()))
}

/// A name in the same folder that no other process uses.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

/// Makes a folder and those above it, for this user only.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Brings the names in `folder` onto the disk.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// NTFS journals its names, and Windows has no call for this that an ordinary program may use.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_folder)
}
