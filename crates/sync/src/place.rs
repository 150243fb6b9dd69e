//! Where something is, below the folders that are kept alike.

use std::fmt;
use std::path::PathBuf;

use machine_files::from_guest;
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
        self.0.split(|byte| *byte == b'/').map(from_guest).collect()
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
