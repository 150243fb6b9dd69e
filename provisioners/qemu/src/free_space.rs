//! How much room a volume has left.

use std::path::Path;

/// The bytes that this user can still write below `path` (or the nearest folder above it that exists); `None` when the
/// system does not say.
#[cfg(unix)]
pub fn free_space(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|folder| folder.exists())?;
    let facts = rustix::fs::statvfs(existing).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// The bytes that can still be written below `path`; `None` when the system does not say.
#[cfg(windows)]
pub fn free_space(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let disks =
        sysinfo::Disks::new_with_refreshed_list_specifics(sysinfo::DiskRefreshKind::nothing().with_storage()).ok()?;
    let volume = disks.iter().filter(|disk| path.starts_with(disk.mount_point()));
    volume.max_by_key(|disk| disk.mount_point().as_os_str().len()).map(sysinfo::Disk::available_space)
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
