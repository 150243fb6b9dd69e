//! How much room a volume has left.

use std::path::Path;

/// The bytes that this user can still write below `path` (or the nearest folder above it that exists); `None` when the
/// system does not say.
pub fn free_space(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|folder| folder.exists())?;
    fs4::available_space(existing).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_volume_of_a_folder_that_is_yet_to_be_made_has_some_room() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_space(&dir.path().join("a/b")).unwrap() > 0);
    }
}
