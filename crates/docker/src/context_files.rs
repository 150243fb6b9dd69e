//! Reading and writing in the folder of the `docker` command.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine_core::{Code, Error, Result, ResultExt};

/// How long one of our processes waits for another to finish its change, which takes milliseconds.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Takes the lock that every `machine` process holds while it changes the folder; released when dropped, or by the
/// operating system. (The `docker` command itself takes none: against it there are only renames of whole files.)
pub(crate) fn lock(folder: &Path) -> Result<File> {
    make_folder(folder)?;
    let path = folder.join(".machine.lock");
    let file = private(OpenOptions::new().create(true).truncate(false).write(true), 0o600)
        .open(&path)
        .context(|| format!("cannot open {}", path.display()))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_LIMIT => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Code::Busy, format!("another process holds {}", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(error).context(|| format!("cannot lock {}", path.display())),
        }
    }
}

/// Makes a folder, and those above it, for this user alone.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).context(|| format!("cannot make the folder {}", path.display()))
}

/// Replaces a file whole, or leaves it as it was. The mode is the file's from its first byte; on Windows the folder's
/// access list protects it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        remove_if_there(&temporary)?;
        let mut file = private(OpenOptions::new().write(true).create_new(true), mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.context(|| format!("cannot write {}", path.display()))
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix has a mode"))]
fn private(options: &mut OpenOptions, mode: u32) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, mode);
    options
}

/// The bytes of a file; `None` when there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it; one that is not there is no error.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
