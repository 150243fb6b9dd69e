//! Reading and writing in the folder of the `docker` command.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use machine_core::{Code, Error, Result, ResultExt};

/// How long one of our processes waits for another to finish its change, which takes milliseconds.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Takes the lock that every `machine` process holds while it changes the folder; released when dropped, or by the
/// operating system. (The `docker` command itself takes none: against it there are only renames of whole files.)
pub(crate) fn lock(folder: &Path) -> Result<File> {
    machine_files::make_private_folder(folder)?;
    let path = folder.join(".machine.lock");
    let file = machine_files::open_lock(&path).context(|| format!("cannot open {}", path.display()))?;
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

/// The bytes of a file; `None` when there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
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
