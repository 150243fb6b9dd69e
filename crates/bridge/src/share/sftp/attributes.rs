//! What the guest is told of a file.

use std::time::{SystemTime, UNIX_EPOCH};

use cap_std::fs::Metadata;

use super::owners::FileId;
use super::wire::Attributes;

/// Permissions that a guest may set: no set-user-id and set-group-id on a file that belongs to this computer's user.
#[cfg(unix)]
pub(super) const SETTABLE: u32 = 0o1777;

/// Attributes as this computer has them.
pub(super) fn real(metadata: &Metadata) -> Attributes {
    let seconds = |time: std::io::Result<cap_std::time::SystemTime>| time.map_or(0, |time| since_1970(time.into_std()));
    Attributes {
        size: Some(metadata.len()),
        owner: Some(owner(metadata)),
        mode: Some(mode(metadata)),
        times: Some((seconds(metadata.accessed()), seconds(metadata.modified()))),
    }
}

fn since_1970(time: SystemTime) -> u32 {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    use cap_std::fs::MetadataExt as _;
    metadata.mode()
}

/// Windows has no executable bit: everything may be run, as with other Docker hosts there.
#[cfg(not(unix))]
fn mode(metadata: &Metadata) -> u32 {
    let permissions = if metadata.permissions().readonly() { 0o555 } else { 0o755 };
    let kind = match (metadata.is_symlink(), metadata.is_dir()) {
        (true, _) => 0o120_000,
        (false, true) => 0o040_000,
        (false, false) => 0o100_000,
    };
    kind | permissions
}

/// User and group: those of this computer, as with Docker on Linux; root's, where there are no such numbers.
#[cfg(unix)]
pub(super) fn owner(metadata: &Metadata) -> (u32, u32) {
    use cap_std::fs::MetadataExt as _;
    (metadata.uid(), metadata.gid())
}

/// User and group: those of this computer, as with Docker on Linux; root's, where there are no such numbers.
#[cfg(not(unix))]
pub(super) fn owner(_metadata: &Metadata) -> (u32, u32) {
    (0, 0)
}

/// How many names a file has.
#[cfg(unix)]
pub(super) fn names(metadata: &Metadata) -> u64 {
    use cap_std::fs::MetadataExt as _;
    metadata.nlink()
}

/// How many names a file has.
#[cfg(not(unix))]
pub(super) fn names(_metadata: &Metadata) -> u64 {
    1
}

/// Which file it is, where that costs nothing to know.
#[cfg(unix)]
pub(super) fn file_id(metadata: &Metadata) -> Option<FileId> {
    use cap_std::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

/// Which file it is, where that costs nothing to know.
#[cfg(not(unix))]
pub(super) fn file_id(_metadata: &Metadata) -> Option<FileId> {
    None
}
