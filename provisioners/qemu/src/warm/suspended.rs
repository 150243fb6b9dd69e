//! The saved state of one machine, in its folder: `suspended.json` is there when `suspended.state` is whole and may be gone
//! on from, once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machine_core::{Error, Result, ResultExt as _};
use serde::{Deserialize, Serialize};

use super::cache::{FileFacts, facts_of};
use crate::facts::Accelerator;
use crate::json_file;
use crate::machine_files::gone;

/// The form of `suspended.json`.
const SCHEMA: u32 = 1;

/// What is known of the state of a suspended machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suspended {
    schema: u32,
    /// What QEMU must be like to go on from it ([`super::state_key`]).
    pub(crate) key: String,
    /// What the guest's instructions ran on.
    pub(crate) accelerator: Accelerator,
    /// When it was saved.
    pub(crate) at: Timestamp,
    #[serde(flatten)]
    file: FileFacts,
}

/// Where QEMU writes; what is there is not whole.
pub(crate) fn unfinished(dir: &Path) -> PathBuf {
    dir.join("suspended.new")
}

/// The state itself.
pub(crate) fn state(dir: &Path) -> PathBuf {
    dir.join("suspended.state")
}

fn note(dir: &Path) -> PathBuf {
    dir.join("suspended.json")
}

impl Suspended {
    /// What the folder `dir` has, if it has a whole one.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        json_file::read::<Self>(&note(dir)).filter(|suspended| suspended.schema == SCHEMA)
    }

    /// Takes what QEMU wrote to [`unfinished`] for the state, onto the disk.
    ///
    /// # Errors
    /// Whatever the file system says; there is then no state.
    pub(crate) fn keep(dir: &Path, key: String, accelerator: Accelerator) -> Result<Self> {
        let failed = || format!("cannot keep the state of the machine in {}", dir.display());
        let new = unfinished(dir);
        let file = facts_of(&new).context(failed)?;
        // For writing: Windows brings nothing onto the disk for a reader.
        File::options().append(true).open(&new).and_then(|file| file.sync_all()).context(failed)?;
        fs::rename(&new, state(dir)).context(failed)?;
        let suspended = Self { schema: SCHEMA, key, accelerator, at: Timestamp::now(), file };
        json_file::write(&note(dir), &suspended)?;
        Ok(suspended)
    }

    /// Whether the state is what was saved. Reads all of it.
    ///
    /// # Errors
    /// When it is damaged, or cannot be read.
    pub(crate) fn check(&self, dir: &Path) -> Result<()> {
        let path = state(dir);
        if facts_of(&path).context(|| format!("cannot read {}", path.display()))? == self.file {
            return Ok(());
        }
        Err(Error::other(format!("{} is not what was saved", path.display())))
    }

    /// Removes everything of a saved state: it is never gone on from again, whatever happens next.
    ///
    /// # Errors
    /// What cannot be removed.
    pub(crate) fn discard(dir: &Path) -> Result<()> {
        let failed = || format!("cannot remove the saved state in {}", dir.display());
        gone(fs::remove_file(note(dir))).context(failed)?;
        machine_files::sync_folder(dir).context(failed)?;
        for file in [state(dir), unfinished(dir)] {
            gone(fs::remove_file(file)).context(failed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_there_when_it_was_kept_whole_and_gone_when_it_was_used() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(unfinished(dir.path()), "half").unwrap();
        assert_eq!(Suspended::read(dir.path()), None);
        let kept = Suspended::keep(dir.path(), "k".into(), Accelerator::Tcg).unwrap();
        assert_eq!(Suspended::read(dir.path()), Some(kept.clone()));
        kept.check(dir.path()).unwrap();
        fs::write(state(dir.path()), "hal").unwrap();
        assert!(kept.check(dir.path()).unwrap_err().to_string().contains("is not what was saved"));
        Suspended::discard(dir.path()).unwrap();
        Suspended::discard(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
