//! Where something is, below the folders that are kept alike.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What this program makes for itself on either side begins like this, and is seen by no comparison.
pub(crate) const OWN: &str = ".machine-sync-";

/// A path below both folders, as the machine has it: the bytes of its names with `/` between. Never empty, never absolute, no `.`
/// and no `..`. In the order of places, a folder comes before what is in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Place(Vec<u8>);

impl Place {
    /// Checks what came from elsewhere.
    ///
    /// # Errors
    /// Why nothing can be there.
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, &'static str> {
        let bytes = bytes.into();
        if bytes.contains(&0) {
            return Err("a name with a zero byte");
        }
        for name in bytes.split(|byte| *byte == b'/') {
            match name {
                b"" => return Err("an empty name"),
                b"." | b".." => return Err("a path with `.` or `..`"),
                _ => {}
            }
        }
        Ok(Self(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same name in the folder `parent`; at the top without one.
    pub(crate) fn within(parent: Option<&Self>, name: &[u8]) -> Result<Self, &'static str> {
        let mut bytes = parent.map(|parent| [parent.as_bytes(), b"/"].concat()).unwrap_or_default();
        bytes.extend_from_slice(name);
        Self::new(bytes)
    }

    pub(crate) fn parent(&self) -> Option<Self> {
        let end = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(Self(self.0[..end].to_vec()))
    }

    /// The folders that it is in, the nearest first.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// Whether it is below `folder`.
    pub(crate) fn is_below(&self, folder: &Self) -> bool {
        self.0.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// The same place when the folder `from` is called `to`.
    pub(crate) fn moved(&self, from: &Self, to: &Self) -> Self {
        match self.0.strip_prefix(from.as_bytes()) {
            Some(rest) if self == from || self.is_below(from) => Self([to.as_bytes(), rest].concat()),
            _ => self.clone(),
        }
    }

    /// Beside itself, with `mark` before the last dot of its name: `a/notes.conflict-dev.txt`.
    pub(crate) fn marked(&self, mark: &str) -> Self {
        let name = self.name();
        // The dot of a hidden file begins its name.
        let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0).unwrap_or(name.len());
        let at = self.0.len() - name.len() + dot;
        Self([&self.0[..at], b".", mark.as_bytes(), &self.0[at..]].concat())
    }

    /// Where it is below the folder of this computer.
    ///
    /// # Errors
    /// Why this computer cannot have such a name.
    pub(crate) fn to_host(&self) -> Result<PathBuf, String> {
        self.0.split(|byte| *byte == b'/').map(name_to_host).collect()
    }
}

/// As text that a terminal can show: what is no text, control characters and `\` are written as `\xHH`. Nothing is lost.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    write!(f, "\\x{byte:02x}")?;
                }
            } else {
                write!(f, "{character}")?;
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// The bytes that the text of [`Place`]'s `Display` stands for.
fn unescaped(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or("an escape without its digits")?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| "an escape without its digits")?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Ok(bytes)
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl TryFrom<String> for Place {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(unescaped(&text)?)
    }
}

#[cfg(unix)]
fn name_to_host(name: &[u8]) -> Result<OsString, String> {
    use std::os::unix::ffi::OsStrExt as _;
    if cfg!(target_os = "macos") && str::from_utf8(name).is_err() {
        // APFS takes nothing else ("Apple File System Guide", FAQ).
        return Err("macOS has no names that are not text (UTF-8)".to_owned());
    }
    Ok(OsStr::from_bytes(name).to_owned())
}

#[cfg(not(unix))]
fn name_to_host(name: &[u8]) -> Result<OsString, String> {
    let text = str::from_utf8(name).map_err(|_| "Windows has no names that are not text".to_owned())?;
    match windows_refusal(text) {
        Some(why) => Err(format!("Windows has no such name: {why}")),
        None => Ok(text.into()),
    }
}

/// Why a name of Linux cannot be one of Windows ("Naming Files, Paths, and Namespaces", learn.microsoft.com). To hand it on
/// as it is would write to a device, to another folder, or to an alternate stream.
#[cfg_attr(all(unix, not(test)), expect(dead_code, reason = "tested everywhere, needed on Windows"))]
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
    let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$");
    (device || numbered("COM") || numbered("LPT")).then_some("it is the name of a device there")
}

/// A name of this computer as the machine has it; `None` for one that cannot be said there.
#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) fn name_from_host(name: &OsStr) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(name.as_bytes().to_vec())
}

/// A name of this computer as the machine has it; macOS finds a file by any form of its name, and Linux has the composed one.
#[cfg(target_os = "macos")]
pub(crate) fn name_from_host(name: &OsStr) -> Option<Vec<u8>> {
    use unicode_normalization::UnicodeNormalization as _;
    Some(name.to_str()?.nfc().collect::<String>().into_bytes())
}

/// A name of this computer as the machine has it; `None` for one that cannot be said there.
#[cfg(windows)]
pub(crate) fn name_from_host(name: &OsStr) -> Option<Vec<u8>> {
    Some(name.to_str()?.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_leads_out_or_nowhere_is_no_place() {
        for bad in [&b""[..], b"/", b"/etc", b"a/", b"a//b", b".", b"..", b"a/../b", b"../a", b"a/..", b"./a", b"a\0b"]
        {
            assert!(Place::new(bad).is_err(), "{bad:?}");
        }
        for good in [&b"a"[..], b"...", b"a/b", b" ", b"-rf", b"\xff\n", b"a/..b"] {
            assert!(Place::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_mark_stands_before_the_ending_of_a_name() {
        for (place, marked) in [
            ("notes.txt", "notes.M.txt"),
            ("a.b/file", "a.b/file.M"),
            ("a/.bashrc", "a/.bashrc.M"),
            ("x.tar.gz", "x.tar.M.gz"),
        ] {
            assert_eq!(Place::new(place).unwrap().marked("M").to_string(), marked);
        }
    }

    #[test]
    fn names_that_windows_cannot_hold_are_known() {
        for bad in ["a:b", "a\\b", "CON", "nul.txt", "com1", "x.", "x ", "a?b", "a\u{1}b"] {
            assert!(windows_refusal(bad).is_some(), "{bad}");
        }
        for good in ["a", "console", "com", "com10", ".a", "ä ö", "nul1"] {
            assert!(windows_refusal(good).is_none(), "{good}");
        }
    }

    proptest! {
        #[test]
        fn the_text_of_a_place_stands_for_exactly_its_bytes(bytes in proptest::collection::vec(1_u8.., 1..20)) {
            if let Ok(place) = Place::new(bytes) {
                let text = place.to_string();
                prop_assert!(!text.chars().any(char::is_control));
                prop_assert_eq!(Place::try_from(text).unwrap(), place);
            }
        }
    }
}
