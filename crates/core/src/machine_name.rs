//! The name of a machine: a host name, and the name of its folder.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Code, Error};

/// A machine's name, checked once, at the edge.
///
/// docker-machine's rule (letters, digits, `.` and `-`, a letter or digit first), narrowed to what is also a valid host
/// name and folder on the three systems: 1 to 63 characters (RFC 1123 label), no `..`, no `.` or `-` at the end, and no
/// device name of Windows (`con`, `nul`, `com1`, ...; they cannot be folders there, and machines move between computers).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineName(String);

impl MachineName {
    /// The most characters a name may have: one label of a host name (RFC 1123).
    pub const MAX: usize = 63;
    /// The machine that is meant when no name is given.
    pub const DEFAULT: &'static str = "default";

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MachineName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let refuse = |why: &str| {
            Err(Error::new(Code::Usage, format!("invalid machine name {name:?}: {why}"))
                .hint("use 1 to 63 letters, digits, '.' or '-', beginning and ending with a letter or digit"))
        };
        if name.is_empty() {
            return refuse("it is empty");
        }
        if let Some(bad) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-')) {
            return refuse(&format!("{bad:?} is not allowed. Allowed hostname chars are: 0-9a-zA-Z . -"));
        }
        if name.len() > Self::MAX {
            return refuse(&format!("it has {} characters, {} at most", name.len(), Self::MAX));
        }
        if name.starts_with(['.', '-']) || name.ends_with(['.', '-']) {
            return refuse("it must begin and end with a letter or digit");
        }
        if name.contains("..") {
            return refuse("it contains '..'");
        }
        let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
        let numbered = |prefix: &str| stem.strip_prefix(prefix).is_some_and(|n| matches!(n.as_bytes(), [b'1'..=b'9']));
        if matches!(stem.as_str(), "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt") {
            return refuse("it is a device name on Windows");
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for MachineName {
    type Error = Error;
    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<MachineName> for String {
    fn from(name: MachineName) -> Self {
        name.0
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_are_taken_and_others_are_refused_with_the_reason() {
        for name in ["dev", "a", "A1", "web-1.lab", &"x".repeat(63)] {
            assert_eq!(name.parse::<MachineName>().unwrap().as_str(), name);
        }
        for (name, why) in [
            ("", "empty"),
            ("a/b", "'/'"),
            ("..", "begin and end"),
            ("a..b", "'..'"),
            ("-a", "begin and end"),
            ("a b", "' '"),
            ("naïve", "'ï'"),
            ("a_b", "'_'"),
            ("con", "device name"),
            ("LPT1.x", "device name"),
            (&"x".repeat(64), "64 characters, 63 at most"),
        ] {
            let error = name.parse::<MachineName>().unwrap_err();
            assert!(error.to_string().contains(why), "{name}: {error}");
            assert_eq!(error.code(), Code::Usage);
        }
    }

    proptest! {
        #[test]
        fn a_name_is_always_one_plain_path_component(name in "\\PC{0,70}") {
            if let Ok(name) = name.parse::<MachineName>() {
                let path = std::path::Path::new(name.as_str());
                prop_assert_eq!(path.components().count(), 1);
                prop_assert!(matches!(path.components().next(), Some(std::path::Component::Normal(_))));
                prop_assert!(name.as_str().len() <= MachineName::MAX);
            }
        }
    }
}
