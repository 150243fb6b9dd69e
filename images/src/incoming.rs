//! Work in progress of a store (`.incoming`): visible to nobody until it is whole.
//!
//! ```text
//! .incoming/lock                  held for moments: while a folder is made, published or cleared away
//! .incoming/PID-N/                files of one attempt
//! .incoming/PID-N.lock            locked as long as the attempt's process lives
//! .incoming/downloads/HASH.part   see `download`; kept for the next attempt to carry on
//! ```
//!
//! Locks are the operating system's: a process that dies, however it dies, lets go of them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use machine_core::{Code, Error, Result, ResultExt};

use machine_files as files;

/// How long the lock of the store may be busy: its holders rename, or delete the remains of one attempt.
const LOCK_LIMIT: Duration = Duration::from_secs(20);
/// A half download that nobody has carried on for this long is removed.
const DOWNLOAD_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The folder of work in progress.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    folder: PathBuf,
}

/// One attempt at a new image: a folder of its own that vanishes with it.
#[derive(Debug)]
pub(crate) struct Attempt {
    folder: PathBuf,
    lock_path: PathBuf,
    lock: Option<File>,
}

/// Keeps other processes from publishing, removing and clearing away.
#[derive(Debug)]
pub(crate) struct StoreLock {
    _file: File,
}

impl Incoming {
    pub(crate) fn of_store(root: &Path) -> Self {
        Self { folder: root.join(".incoming") }
    }

    /// Where half downloads are kept; made if it is missing.
    pub(crate) fn downloads(&self) -> Result<PathBuf> {
        let folder = self.folder.join("downloads");
        files::make_private_folder(&folder).context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(folder)
    }

    /// Waits for the lock of the store.
    pub(crate) fn lock(&self) -> Result<StoreLock> {
        let path = self.folder.join("lock");
        let failed = || format!("cannot lock the image store with {}", path.display());
        files::make_private_folder(&self.folder).context(failed)?;
        let file = open_lock(&path).context(failed)?;
        let deadline = Instant::now() + LOCK_LIMIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(StoreLock { _file: file }),
                Err(TryLockError::Error(error)) => return Err(error).context(failed),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(Error::new(
                        Code::Busy,
                        format!("another process has held {} for {} s", path.display(), LOCK_LIMIT.as_secs()),
                    )
                    .hint("wait for other `machine image` commands to end, then try again"));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Makes the folder of a new attempt.
    pub(crate) fn begin(&self) -> Result<Attempt> {
        let _store = self.lock()?;
        let mut number = 0u32;
        loop {
            let name = format!("{}-{number}", std::process::id());
            let folder = self.folder.join(&name);
            let lock_path = self.folder.join(format!("{name}.lock"));
            let failed = || format!("cannot make the folder {}", folder.display());
            let lock = open_lock(&lock_path).context(failed)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    number += 1;
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(error).context(failed),
            }
            // From here on `attempt` cleans up; what is there already is from a dead process of our number.
            let attempt = Attempt { folder: folder.clone(), lock_path, lock: Some(lock) };
            remove_folder(&folder).context(failed)?;
            files::make_private_folder(&folder).context(failed)?;
            return Ok(attempt);
        }
    }

    /// Clears away what processes left that live no more. Nothing of a live one is touched; errors are left to the next.
    pub(crate) fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        if !names.iter().any(|name| name != "lock") {
            return;
        }
        let Ok(_store) = self.lock() else { return };
        for name in names.iter().filter(|name| !matches!(name.as_str(), "lock" | "downloads")) {
            let stem = name.strip_suffix(".lock").unwrap_or(name);
            let lock_path = self.folder.join(format!("{stem}.lock"));
            let Ok(lock) = open_lock(&lock_path) else { continue };
            if lock.try_lock().is_ok() && remove_folder(&self.folder.join(stem)).is_ok() {
                drop(lock);
                let _ = fs::remove_file(&lock_path);
            }
        }
        self.prune_downloads();
    }

    fn prune_downloads(&self) {
        let Ok(entries) = fs::read_dir(self.folder.join("downloads")) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|about| about.modified()).ok();
            let old =
                age.and_then(|time| SystemTime::now().duration_since(time).ok()).is_some_and(|age| age > DOWNLOAD_KEPT);
            // Lock files stay: one that is removed while somebody opens it would lock nothing. They are empty.
            let is_lock = entry.path().extension().is_some_and(|extension| extension == "lock");
            let lock = entry.path().with_extension("lock");
            if old && !is_lock && open_lock(&lock).is_ok_and(|lock| lock.try_lock().is_ok()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Attempt {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Published attempts have no folder any more.
        let removed = remove_folder(&self.folder);
        // Windows removes no open file, and other processes may take the lock only when the folder is gone.
        drop(self.lock.take());
        if removed.is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// Opens a lock file, making it if it is missing.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Removes a folder with all that is in it; one that is not there is removed already.
pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_leaves_nothing_and_pruning_spares_the_living() {
        let root = tempfile::tempdir().unwrap();
        let incoming = Incoming::of_store(root.path());
        let attempt = incoming.begin().unwrap();
        let other = incoming.begin().unwrap();
        assert_ne!(attempt.folder(), other.folder());
        fs::write(attempt.folder().join("half"), "x").unwrap();

        incoming.prune();
        assert!(attempt.folder().join("half").exists());

        // A dead process leaves a folder and a lock file that nobody holds; very old ones left no lock file.
        let dead = root.path().join(".incoming/1-0");
        fs::create_dir(&dead).unwrap();
        fs::write(root.path().join(".incoming/1-0.lock"), "").unwrap();
        fs::create_dir(root.path().join(".incoming/2-0")).unwrap();
        drop((attempt, other));
        incoming.prune();
        let left: Vec<_> =
            fs::read_dir(root.path().join(".incoming")).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["lock"]);
    }

    #[test]
    fn half_downloads_survive_pruning_until_they_are_old() {
        let root = tempfile::tempdir().unwrap();
        let incoming = Incoming::of_store(root.path());
        let downloads = incoming.downloads().unwrap();
        fs::write(downloads.join("new.part"), "x").unwrap();
        fs::write(downloads.join("old.part"), "x").unwrap();
        let old = File::options().write(true).open(downloads.join("old.part")).unwrap();
        old.set_modified(SystemTime::now() - DOWNLOAD_KEPT - Duration::from_secs(60)).unwrap();
        incoming.prune();
        assert!(downloads.join("new.part").exists() && !downloads.join("old.part").exists());
    }
}
