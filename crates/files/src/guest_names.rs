//! Names of files in a machine, which is Linux, and on this computer, which may not be.

use std::ffi::{OsStr, OsString};

/// A name of a machine as this computer has it.
///
/// # Errors
/// Why there cannot be a file of that name here.
#[cfg(unix)]
pub fn from_guest(name: &[u8]) -> Result<OsString, String> {
    use std::os::unix::ffi::OsStrExt as _;
    if cfg!(target_os = "macos") && str::from_utf8(name).is_err() {
        // APFS takes nothing else ("Apple File System Guide", FAQ).
        return Err("a name that is not text (UTF-8) cannot exist on macOS".to_owned());
    }
    Ok(OsStr::from_bytes(name).to_owned())
}

/// A name of a machine as this computer has it.
///
/// # Errors
/// Why there cannot be a file of that name here.
#[cfg(not(unix))]
pub fn from_guest(name: &[u8]) -> Result<OsString, String> {
    let name = str::from_utf8(name).map_err(|_| "a name that is not UTF-8 cannot exist on Windows".to_owned())?;
    match windows_refusal(name) {
        Some(why) => Err(format!("{name:?} cannot exist on Windows: {why}")),
        None => Ok(name.into()),
    }
}

/// Why a name of Linux cannot be one of Windows ("Naming Files, Paths, and Namespaces", learn.microsoft.com). To hand it on
/// as it is would write to a device, to another folder, or to an alternate stream.
#[cfg_attr(not(any(windows, test)), expect(dead_code, reason = "tested everywhere, needed on Windows"))]
fn windows_refusal(name: &str) -> Option<&'static str> {
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

/// A name of this computer as a machine sees it; `None` for one that cannot be said there.
#[cfg(all(unix, not(target_os = "macos")))]
pub fn to_guest(name: &OsStr) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(name.as_bytes().to_vec())
}

/// A name of this computer as a machine sees it; `None` for one that cannot be said there.
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub fn to_guest(name: &OsStr) -> Option<Vec<u8>> {
    let name = name.to_str()?;
    Some(if cfg!(target_os = "macos") { composed(name) } else { name.to_owned() }.into_bytes())
}

/// The form of a name that people type on Linux: macOS hands out decomposed names where they were made so, and finds a file by
/// any form of its name, so that this loses nothing.
#[cfg_attr(
    not(any(target_os = "macos", windows, test)),
    expect(dead_code, reason = "tested everywhere, needed on macOS")
)]
fn composed(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    name.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
