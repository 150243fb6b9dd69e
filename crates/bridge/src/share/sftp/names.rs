//! Names of files, on their way between a Linux guest and this computer.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

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
    components.iter().map(|component| to_host(component)).collect()
}

/// A name as this computer has it.
#[cfg(unix)]
fn to_host(name: &[u8]) -> Result<OsString, Failure> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(OsStr::from_bytes(name).to_owned())
}

/// A name as this computer has it.
#[cfg(windows)]
fn to_host(name: &[u8]) -> Result<OsString, Failure> {
    let name = str::from_utf8(name).map_err(|_| Failure::failed("a name that is not UTF-8 cannot exist on Windows"))?;
    match windows_refusal(name) {
        Some(why) => Err(Failure::failed(format!("{name:?} cannot exist on Windows: {why}"))),
        None => Ok(name.into()),
    }
}

/// Why a name of Linux cannot be one of Windows ("Naming Files, Paths, and Namespaces", learn.microsoft.com). To hand it on
/// as it is would write to a device, to another folder, or to an alternate stream.
#[cfg_attr(not(any(windows, test)), expect(dead_code, reason = "tested everywhere, needed on Windows"))]
pub(super) fn windows_refusal(name: &str) -> Option<&'static str> {
    if name.contains('\\') {
        return Some("`\\` separates folders there");
    }
    if name.chars().any(|c| matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') || u32::from(c) < 32) {
        return Some("it has a character that is reserved there");
    }
    if name.ends_with(['.', ' ']) {
        return Some("a dot or space at the end is dropped there");
    }
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ').to_ascii_uppercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|end| {
            let mut characters = end.chars();
            matches!(characters.next(), Some('1'..='9' | '¹' | '²' | '³')) && characters.next().is_none()
        })
    };
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT")
    {
        return Some("it is the name of a device there");
    }
    None
}

/// A name as the guest sees it; `None` for one that cannot be said there.
#[cfg(all(unix, not(target_os = "macos")))]
pub(in crate::share) fn to_guest(name: &OsStr) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(name.as_bytes().to_vec())
}

/// A name as the guest sees it; `None` for one that cannot be said there.
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub(in crate::share) fn to_guest(name: &OsStr) -> Option<Vec<u8>> {
    Some(if cfg!(target_os = "macos") { composed(name.to_str()?) } else { name.to_str()?.to_owned() }.into_bytes())
}

/// The form of a name that people type on Linux: macOS hands out decomposed names where they were made so, and finds a file by
/// any form of its name, so that this loses nothing.
#[cfg_attr(
    not(any(target_os = "macos", windows, test)),
    expect(dead_code, reason = "tested everywhere, needed on macOS")
)]
pub(super) fn composed(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    name.nfc().collect()
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
    fn names_that_windows_would_take_for_something_else_are_refused() {
        for bad in [
            "a\\b", "..\\x", "c:", "a:stream", "nul", "NUL.txt", "com1", "Com9.log", "lpt³", "CON .txt", "x.", "x ",
            "a?", "a\tb", "conin$",
        ] {
            assert!(windows_refusal(bad).is_some(), "{bad:?}");
        }
        for good in ["a", "com", "com0", "com10", "null", "console.log", ".git", "grüße.txt", "a b", "nul1"] {
            assert_eq!(windows_refusal(good), None, "{good:?}");
        }
    }

    #[test]
    fn decomposed_names_become_composed_ones() {
        assert_eq!(composed("u\u{308}ber"), "über");
        assert_eq!(composed("plain"), "plain");
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
