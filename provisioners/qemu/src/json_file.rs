//! Small private JSON files that are whole or not there.

use std::path::Path;

use machine_core::{Result, ResultExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::machine_files::gone;

/// Writes `value` (0600), whole or not at all.
///
/// # Errors
/// Whatever the file system says; the old content is then still there.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).context(|| format!("cannot write {}", path.display()))?;
    text.push(b'\n');
    machine_files::write_whole(path, &text, machine_files::PRIVATE)
}

/// Reads what [`write`] wrote; `None` when there is nothing, or nothing that can be understood: such files describe, they
/// do not decide.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = std::fs::read(path).ok()?;
    serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(file = %path.display(), %error, "a file of ours cannot be read"))
        .ok()
}

/// Removes the file, if it is there.
///
/// # Errors
/// When it is there and stays.
pub(crate) fn remove(path: &Path) -> Result<()> {
    gone(std::fs::remove_file(path)).context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_broken_or_missing_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert_eq!(read::<u32>(&path), None);
        write(&path, &7).unwrap();
        write(&path, &8).unwrap();
        assert_eq!(read::<u32>(&path), Some(8));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o777, 0o600);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read::<u32>(&path), None);
        remove(&path).unwrap();
        remove(&path).unwrap();
    }
}
