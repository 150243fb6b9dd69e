//! What the three systems do in ways of their own with files and times.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_std::fs::{Dir, Metadata, OpenOptions};

use crate::entry::Time;

pub(crate) fn time_of(time: SystemTime) -> Time {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Time { seconds: since.as_secs().cast_signed(), nanoseconds: since.subsec_nanos() },
        Err(before) => {
            let before = before.duration();
            let seconds = -before.as_secs().cast_signed();
            match before.subsec_nanos() {
                0 => Time { seconds, nanoseconds: 0 },
                rest => Time { seconds: seconds - 1, nanoseconds: 1_000_000_000 - rest },
            }
        }
    }
}

/// `None` for one that this computer cannot count to.
pub(crate) fn system_time(time: Time) -> Option<SystemTime> {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let base = if time.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    base?.checked_add(Duration::from_nanos(time.nanoseconds.into()))
}

#[cfg(unix)]
pub(crate) fn mode_of(metadata: &Metadata) -> Option<u32> {
    use cap_std::fs::MetadataExt as _;
    Some(metadata.mode() & crate::entry::PERMISSIONS)
}

/// Windows has one permission, that of writing, and means another thing by it.
#[cfg(not(unix))]
pub(crate) fn mode_of(_metadata: &Metadata) -> Option<u32> {
    None
}

#[cfg(unix)]
pub(crate) fn set_file_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn set_file_mode(_file: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
pub(crate) fn set_mode(dir: &Dir, path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = std::fs::Permissions::from_mode(mode);
    dir.set_permissions(path, cap_std::fs::Permissions::from_std(permissions))
}

#[cfg(not(unix))]
pub(crate) fn set_mode(_dir: &Dir, _path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// To open a pipe that took the place of a file must not wait for anybody.
#[cfg(unix)]
pub(crate) fn without_waiting(options: &mut OpenOptions) {
    use cap_std::fs::OpenOptionsExt as _;
    options.custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits().cast_signed());
}

#[cfg(not(unix))]
pub(crate) fn without_waiting(_options: &mut OpenOptions) {}

#[cfg(unix)]
pub(crate) fn make_link(dir: &Dir, target: &[u8], at: &Path, _place: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    dir.symlink_contents(std::ffi::OsStr::from_bytes(target), at)
}

/// Windows has two kinds of links, by what they lead to.
#[cfg(not(unix))]
pub(crate) fn make_link(dir: &Dir, target: &[u8], at: &Path, place: &Path) -> io::Result<()> {
    let target = str::from_utf8(target).map_err(io::Error::other)?;
    let leads_to = place.parent().unwrap_or(Path::new(".")).join(target);
    let is_folder = dir.metadata(leads_to).is_ok_and(|there| there.is_dir());
    if is_folder { dir.symlink_dir(target, at) } else { dir.symlink_file(target, at) }
}

pub(crate) fn target_to_machine(target: &Path) -> Vec<u8> {
    if cfg!(windows) {
        return target.to_string_lossy().replace('\\', "/").into_bytes();
    }
    target.as_os_str().as_encoded_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_kept() {
        // Windows counts in steps of 100 ns.
        for nanoseconds in [-1_500_000_000_i64, -100, 0, 100, 1_500_000_000, -2_000_000_000] {
            let time = Time {
                seconds: nanoseconds.div_euclid(1_000_000_000),
                nanoseconds: u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap(),
            };
            assert_eq!(time_of(system_time(time).unwrap()), time, "{nanoseconds}");
        }
    }
}
