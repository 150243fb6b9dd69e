//! What the three systems do in ways of their own with a folder's files.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

use cap_std::fs::{Dir, DirBuilder, OpenOptions};
use machine_files::to_guest;

/// A name for comparisons: macOS finds a file by any form of its name.
pub(super) fn in_one_form(name: OsString) -> OsString {
    if !cfg!(target_os = "macos") {
        return name;
    }
    match to_guest(&name).map(String::from_utf8) {
        Some(Ok(name)) => name.into(),
        _ => name,
    }
}

/// Whether upper and lower case are the same where the folder is: tried with its own path, without writing anything.
pub(super) fn folds_case(path: &Path) -> bool {
    let Some(text) = path.to_str() else { return false };
    let flipped: String = text
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    if flipped == text {
        return cfg!(any(target_os = "macos", windows));
    }
    match (path.canonicalize(), Path::new(&flipped).canonicalize()) {
        (Ok(one), Ok(other)) => {
            one.to_string_lossy().to_lowercase() == other.to_string_lossy().to_lowercase() && same_folder(&one, &other)
        }
        _ => false,
    }
}

#[cfg(unix)]
fn same_folder(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |path: &Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(not(unix))]
fn same_folder(_one: &Path, _other: &Path) -> bool {
    true
}

#[cfg(unix)]
pub(super) fn write_all_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, data, offset)
}

#[cfg(windows)]
pub(super) fn write_all_at(file: &File, mut data: &[u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, data, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => {
                data = &data[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}

/// To open a pipe, or a file on a tape, must not wait for anybody.
#[cfg(unix)]
pub(super) fn without_waiting(options: &mut OpenOptions) {
    use cap_std::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed());
}

#[cfg(not(unix))]
pub(super) fn without_waiting(_options: &mut OpenOptions) {}

/// What is made is at no moment more open than it shall be.
#[cfg(unix)]
pub(super) fn not_more_open_than(options: &mut OpenOptions, mode: Option<u32>) {
    use cap_std::fs::OpenOptionsExt as _;
    options.mode(mode.unwrap_or(0o666) & 0o777);
}

#[cfg(not(unix))]
pub(super) fn not_more_open_than(_options: &mut OpenOptions, _mode: Option<u32>) {}

#[cfg(unix)]
pub(super) fn folder_maker(mode: Option<u32>) -> DirBuilder {
    use cap_std::fs::DirBuilderExt as _;
    let mut maker = DirBuilder::new();
    maker.mode(mode.unwrap_or(0o777) & 0o777);
    maker
}

#[cfg(not(unix))]
pub(super) fn folder_maker(_mode: Option<u32>) -> DirBuilder {
    DirBuilder::new()
}

#[cfg(unix)]
pub(super) fn set_file_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(mode & super::attributes::SETTABLE))
}

#[cfg(unix)]
pub(super) fn set_mode(dir: &Dir, place: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = std::fs::Permissions::from_mode(mode & super::attributes::SETTABLE);
    dir.set_permissions(place, cap_std::fs::Permissions::from_std(permissions))
}

/// Windows has one permission, that of writing, and it would keep the user from deleting the file: it is left as it is.
#[cfg(not(unix))]
pub(super) fn set_file_mode(_file: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn set_mode(_dir: &Dir, _place: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
pub(super) fn make_link(dir: &Dir, target: &[u8], place: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    dir.symlink_contents(std::ffi::OsStr::from_bytes(target), place)
}

#[cfg(not(unix))]
pub(super) fn make_link(dir: &Dir, target: &[u8], place: &Path) -> io::Result<()> {
    let target = str::from_utf8(target).map_err(io::Error::other)?;
    let is_folder =
        dir.metadata(place.parent().unwrap_or(Path::new(".")).join(target)).is_ok_and(|there| there.is_dir());
    if is_folder { dir.symlink_dir(target, place) } else { dir.symlink_file(target, place) }
}
