//! Files that are whole or absent, whatever happens meanwhile, and private ones that were never readable by anybody else.
//!
//! Modes are Unix modes and hold from a file's first byte. On Windows they mean nothing: the access list of the user's
//! profile folder protects what lies in it.

mod guest_names;
mod whole_file;

pub use guest_names::{from_guest, to_guest};
pub use whole_file::WholeFile;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use machine_core::{Result, ResultExt as _};

/// Keys, records, seeds: this user alone.
pub const PRIVATE: u32 = 0o600;
/// What anybody may read.
pub const PUBLIC: u32 = 0o644;
/// What nobody changes any more.
pub const READ_ONLY: u32 = 0o444;

/// Makes a file that must not exist yet, open for reading and writing.
///
/// # Errors
/// Whatever the file system says, [`io::ErrorKind::AlreadyExists`] above all.
#[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix has modes"))]
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    options.open(path)
}

/// Opens a file to lock, making it (0600) where there is none. Such files are never removed: whoever waits for the lock of
/// a removed file waits for another lock than the next one who comes.
///
/// # Errors
/// Whatever the file system says.
pub fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE);
    options.open(path)
}

/// Writes `bytes` beside `path`, onto the disk, and puts the file in place of whatever is there: a reader, or a computer that
/// loses power, sees the old content or the new and nothing between.
///
/// # Errors
/// Whatever the file system says; the old content is then still there, and nothing else is left.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let temporary = beside(path);
    let written = (|| {
        // What is left of a dead process that had our process id.
        let _ = fs::remove_file(&temporary);
        let mut file = create_new(&temporary, mode)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), sync_folder)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.context(|| format!("cannot write {}", path.display()))
}

/// A hidden name in the same folder that nobody else uses: not another process, not another thread of this one.
pub(crate) fn beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}-{count}.new", std::process::id()))
}

/// Makes a folder, and those above it, that only this user may enter (0700). One that is there stays as it is.
///
/// # Errors
/// Whatever the file system says.
pub fn make_private_folder(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).context(|| format!("cannot make the folder {}", path.display()))
}

/// Brings the names in `folder` onto the disk.
///
/// # Errors
/// Whatever the file system says.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// NTFS journals its names, and Windows has no call for this that an ordinary program may use.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_private_file_is_0600_in_a_folder_of_0700_and_leaves_no_temporary() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("a/b");
        make_private_folder(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        let file = folder.join("key");
        for content in ["one", "two"] {
            write_whole(&file, content.as_bytes(), PRIVATE).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, PRIVATE);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("taken")).unwrap();
        let refused = write_whole(&folder.path().join("taken"), b"x", PUBLIC).unwrap_err();
        assert!(refused.to_string().contains("taken"), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_writers_of_one_file_in_one_process_leave_one_whole_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::thread::scope(|scope| {
            for n in 0..8_u8 {
                let file = &file;
                scope.spawn(move || write_whole(file, &vec![n; 100_000], PRIVATE).unwrap());
            }
        });
        let content = fs::read(&file).unwrap();
        assert_eq!(content.len(), 100_000);
        assert!(content.iter().all(|byte| *byte == content[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
