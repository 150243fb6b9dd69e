//! Files that are whole or not there, and private ones that were never readable by anybody else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use machine_core::{Code, Error, Result};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// 0600: keys and records.
    Private,
    /// 0644: certificates.
    Public,
}

/// Writes a file so that a reader, or a computer that loses power, sees the old content or the new and nothing between: a
/// temporary file in the same folder, fsync, rename, fsync of the folder.
pub(crate) fn write_atomically(path: &Path, content: &[u8], access: Access) -> Result<()> {
    write(path, content, access).map_err(|error| explain(error, "cannot write", path))
}

fn write(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = Temporary(folder.join(format!(".{}.tmp", uuid::Uuid::new_v4().simple())));
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if access == Access::Private { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = access; // The user's profile folder is private by its own access list.
    let mut file = options.open(&temporary.0)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary.0, path)?;
    std::mem::forget(temporary);
    sync_folder(folder)
}

/// Removed when the writing fails half-way.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows has no handle on a folder to flush; NTFS journals renames by itself.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "one signature on three systems")]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes a folder, and those above it, that only this user may enter (0700 on Unix).
pub(crate) fn private_folder(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| explain(error, "cannot make the folder", path))
}

/// Makes the folder for sockets, and refuses one that somebody else made or may enter: in `/tmp` anybody can be first.
pub(crate) fn runtime_folder(path: &Path) -> Result<()> {
    private_folder(path)?;
    #[cfg(unix)]
    for folder in [path.parent(), Some(path)].into_iter().flatten() {
        use std::os::unix::fs::MetadataExt as _;
        let facts = fs::symlink_metadata(folder).map_err(|error| explain(error, "cannot look at", folder))?;
        if !facts.is_dir() || facts.uid() != rustix::process::getuid().as_raw() || facts.mode() & 0o077 != 0 {
            return Err(Error::other(format!("the folder {} is not this user's alone", folder.display()))
                .hint("remove it, or set XDG_RUNTIME_DIR to a folder of yours with mode 0700"));
        }
    }
    Ok(())
}

/// An I/O error in the user's words: which file, and what to do where that is known.
pub(crate) fn explain(error: io::Error, what: &str, path: &Path) -> Error {
    let hint = machine_core::io_hint(&error);
    let code = if error.kind() == io::ErrorKind::NotFound { Code::NotFound } else { Code::Other };
    let explained = Error::new(code, format!("{what} {}", path.display())).because(error);
    match hint {
        Some(hint) => explained.hint(hint),
        None => explained,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_private_file_is_0600_in_a_folder_of_0700_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        private_folder(&inner).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().mode() & 0o777, 0o700);
        let file = inner.join("key");
        for content in ["one", "two"] {
            write_atomically(&file, content.as_bytes(), Access::Private).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
        fs::create_dir(inner.join("taken")).unwrap();
        let refused = write_atomically(&inner.join("taken"), b"x", Access::Public).unwrap_err();
        assert!(refused.to_string().contains("taken"), "{refused}");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 2, "the temporary file is gone");
    }

    #[test]
    fn a_runtime_folder_that_others_may_enter_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("m/1");
        runtime_folder(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(runtime_folder(&folder).unwrap_err().to_string().contains("alone"));
    }
}
