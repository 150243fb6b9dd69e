//! Names of files, on their way between a Linux guest and this computer.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use machine_files::from_guest;

use super::failure::Failure;

/// The components of a path of the protocol. `..` is refused: no kernel ever sends it.
pub(super) fn components(path: &[u8]) -> Result<Vec<&[u8]>, Failure> {
    let mut found = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(Failure::refused("a path with `..` is not followed")),
            component if component.contains(&0) => return Err(Failure::failed("a name with a zero byte")),
            component => found.push(component),
        }
    }
    Ok(found)
}

/// Where components lead, from the folder down; the folder itself is `.`.
pub(super) fn place(components: &[&[u8]]) -> Result<PathBuf, Failure> {
    if components.is_empty() {
        return Ok(PathBuf::from("."));
    }
    components.iter().map(|component| from_guest(component).map_err(Failure::failed)).collect()
}

/// What a symbolic link of this computer says, for the guest.
pub(super) fn target_to_guest(target: &OsStr) -> Option<Vec<u8>> {
    if cfg!(windows) {
        return Some(windows_path_to_guest(target.to_str()?).into_bytes());
    }
    // As it is: it may not be valid text, and nothing here follows it.
    Some(target.as_encoded_bytes().to_vec())
}

/// A path of Windows as machines see it: `C:\Users\x` is `/c/Users/x`.
pub(crate) fn windows_path_to_guest(path: &str) -> String {
    let path = path.strip_prefix(r"\\?\").unwrap_or(path).replace('\\', "/");
    match path.as_bytes() {
        [drive, b':', rest @ ..] if drive.is_ascii_alphabetic() && (rest.is_empty() || rest[0] == b'/') => {
            format!("/{}{}", drive.to_ascii_lowercase() as char, &path[2..])
        }
        _ => path,
    }
}

/// A name as a folder compares it that does not tell upper from lower case.
pub(super) fn folded(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}

/// Another spelling of `wanted` among the names of a folder that does not tell upper from lower case.
pub(super) fn other_spelling(names: impl IntoIterator<Item = OsString>, wanted: &OsStr) -> Option<OsString> {
    let wanted_folded = folded(wanted);
    let mut other = None;
    for name in names {
        if name == wanted {
            return None;
        }
        if folded(&name) == wanted_folded {
            other = Some(name);
        }
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_doubled_slashes_vanish_and_two_dots_are_refused() {
        assert_eq!(components(b"//a/./b//").unwrap(), [b"a", b"b"]);
        assert_eq!(place(&components(b"/").unwrap()).unwrap(), PathBuf::from("."));
        for bad in [&b"/a/../b"[..], b"..", b"/..", b"a/..", b"a\0b"] {
            assert!(components(bad).is_err(), "{bad:?}");
        }
        assert_eq!(components(b"/...").unwrap(), [b"..."]);
    }

    #[test]
    fn paths_of_windows_become_paths_of_the_guest() {
        for (windows, guest) in [
            (r"C:\Users\x", "/c/Users/x"),
            (r"\\?\D:\a b", "/d/a b"),
            ("c:", "/c"),
            (r"..\a\b", "../a/b"),
            ("/already/so", "/already/so"),
        ] {
            assert_eq!(windows_path_to_guest(windows), guest);
        }
    }

    #[test]
    fn another_spelling_is_found_where_the_exact_one_is_not() {
        let names = || ["Makefile", "readme", "ÄRGER"].map(OsString::from);
        assert_eq!(other_spelling(names(), OsStr::new("makefile")), Some("Makefile".into()));
        assert_eq!(other_spelling(names(), OsStr::new("ärger")), Some("ÄRGER".into()));
        assert_eq!(other_spelling(names(), OsStr::new("readme")), None);
        assert_eq!(other_spelling(names(), OsStr::new("new")), None);
    }
}
