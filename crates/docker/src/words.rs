//! Names of what an engine has, checked when they are read: nothing else gets into the path of a request.

use std::fmt;
use std::str::FromStr;

use machine_core::{Code, Error};
use serde::{Deserialize, Serialize};

macro_rules! checked_word {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(why) => Err(Error::new(Code::Usage, format!("{text:?} is no {}: {why}", $what))),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_word!(
    /// The name of a container, a volume or a network, as moby allows it (`RestrictedNameChars`).
    ObjectName,
    "name",
    |text| {
        let mut bytes = text.bytes();
        if !bytes.next().is_some_and(|first| first.is_ascii_alphanumeric()) {
            return Err("it begins with a letter or digit");
        }
        if bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) && text.len() <= 255 {
            return Ok(());
        }
        Err("it has letters, digits, hyphens, dots and underscores only")
    }
);

checked_word!(
    /// What a person calls an image: `alpine`, `ghcr.io/owner/app:1.2`, `alpine@sha256:...`
    /// (distribution's reference grammar; the engine has the last word).
    ImageReference,
    "name of an image",
    |text| {
        if !text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) {
            return Err("it begins with a letter or digit, such as alpine:3.20");
        }
        if text.contains("//") || text.contains("..") || text.ends_with(['/', ':', '@']) || text.len() > 512 {
            return Err("write it as name:tag, such as alpine:3.20");
        }
        if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/:@".contains(&byte)) {
            return Ok(());
        }
        Err("it has letters, digits and _ . - / : @ only, such as alpine:3.20")
    }
);

checked_word!(
    /// An engine's own name of an image: `sha256:` and 64 hexadecimal digits.
    ImageId,
    "identifier of an image",
    |text| {
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        if digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(());
        }
        Err("it is sha256: and 64 hexadecimal digits")
    }
);

impl ImageReference {
    /// Its repository, and its tag or digest; `latest` where neither is said, as the command line of Docker adds it.
    pub fn parts(&self) -> (&str, &str) {
        if let Some((repository, digest)) = self.0.split_once('@') {
            return (repository, digest);
        }
        let name = self.0.rfind('/').map_or(0, |slash| slash + 1);
        match self.0[name..].find(':') {
            Some(colon) => (&self.0[..name + colon], &self.0[name + colon + 1..]),
            None => (&self.0, "latest"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_means_its_latest_and_a_port_is_no_tag() {
        for (text, parts) in [
            ("alpine", ("alpine", "latest")),
            ("alpine:3.20", ("alpine", "3.20")),
            ("localhost:5000/app", ("localhost:5000/app", "latest")),
            ("localhost:5000/app:1", ("localhost:5000/app", "1")),
            ("alpine@sha256:ab", ("alpine", "sha256:ab")),
        ] {
            assert_eq!(text.parse::<ImageReference>().unwrap().parts(), parts);
        }
    }

    #[test]
    fn words_that_would_lead_a_request_elsewhere_are_refused() {
        for bad in ["", "-x", "a b", "a/../b", "a?x=1", "a//b", "a:", "é"] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad}");
        }
        for bad in ["", "-x", "a/b", "a b", "a?force=1", "/etc"] {
            assert!(bad.parse::<ObjectName>().is_err(), "{bad}");
        }
        assert!("my_data-1.0".parse::<ObjectName>().is_ok());
        assert!(format!("sha256:{}", "a".repeat(64)).parse::<ImageId>().is_ok());
        assert!("sha256:ab/../x".parse::<ImageId>().is_err());
    }
}
