//! Which Linux a host runs, read from its os-release(5).

use std::fmt;

/// Distributions that are provisioned alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Debian and what calls itself like it.
    Debian,
    /// Ubuntu and what is built on it.
    Ubuntu,
    /// Fedora.
    Fedora,
    /// RHEL, CentOS Stream, Rocky, Alma, Oracle Linux.
    Rhel,
    /// Amazon Linux 2 and 2023.
    Amazon,
    /// openSUSE and SLES.
    Suse,
    /// Alpine.
    Alpine,
    /// Arch and what is built on it.
    Arch,
}

/// A distribution and its release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// How it is provisioned.
    pub family: Family,
    /// `ID`, such as `rocky`.
    pub id: String,
    /// `VERSION_ID`, such as `9.4`; empty for those that have none.
    pub version: String,
    /// The code name of the Debian or Ubuntu release that its packages fit, such as `trixie`; empty elsewhere.
    pub codename: String,
    /// `PRETTY_NAME`, for messages.
    pub pretty: String,
}

impl Distribution {
    /// Reads the text of os-release. `None` for one that nothing is known of.
    pub fn of(os_release: &str) -> Option<Self> {
        let value = |key: &str| values(os_release, key);
        let id = value("ID").unwrap_or_else(|| "linux".to_owned());
        let like = value("ID_LIKE").unwrap_or_default();
        // The name itself counts more than what it says it is like.
        let family = std::iter::once(id.as_str()).chain(like.split_whitespace()).find_map(family_of)?;
        let ubuntu = value("UBUNTU_CODENAME");
        let family = if family == Family::Debian && ubuntu.is_some() { Family::Ubuntu } else { family };
        // Derivatives have code names of their own beside that of the release they are built on.
        let codename = match family {
            Family::Ubuntu => ubuntu.or_else(|| value("VERSION_CODENAME")),
            Family::Debian => value("DEBIAN_CODENAME").or_else(|| value("VERSION_CODENAME")),
            _ => None,
        };
        let version = value("VERSION_ID").unwrap_or_default();
        let pretty = value("PRETTY_NAME").unwrap_or_else(|| format!("{id} {version}"));
        Some(Self { family, codename: codename.unwrap_or_default(), id, version, pretty })
    }

    /// The first number of the version: `9` of `9.4`.
    pub fn major(&self) -> &str {
        self.version.split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pretty)
    }
}

fn family_of(id: &str) -> Option<Family> {
    Some(match id {
        "debian" | "raspbian" => Family::Debian,
        "ubuntu" => Family::Ubuntu,
        "fedora" => Family::Fedora,
        "rhel" | "centos" | "rocky" | "almalinux" | "ol" => Family::Rhel,
        "amzn" => Family::Amazon,
        "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" | "sles" | "suse" => Family::Suse,
        "alpine" => Family::Alpine,
        "arch" | "archarm" => Family::Arch,
        _ => return None,
    })
}

/// A value of os-release: shell quoting of one word (os-release(5)).
fn values(text: &str, key: &str) -> Option<String> {
    let raw = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?.trim();
    let mut value = String::new();
    let mut characters = raw.chars();
    let mut quote = None;
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => value.extend(characters.next()),
            (None, c) if c.is_whitespace() => break,
            _ => value.push(c),
        }
    }
    Some(value).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn derivatives_are_provisioned_as_what_they_are_built_on() {
        let of = |text: &str| Distribution::of(text).map(|found| (found.family, found.codename));
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n";
        assert_eq!(of(mint), Some((Family::Ubuntu, "noble".into())));
        let lmde = "ID=linuxmint\nID_LIKE=debian\nVERSION_CODENAME=gigi\nDEBIAN_CODENAME=trixie\n";
        assert_eq!(of(lmde), Some((Family::Debian, "trixie".into())));
        assert_eq!(of("ID=eurolinux\nID_LIKE=\"rhel centos fedora\"\n"), Some((Family::Rhel, String::new())));
        assert_eq!(of("ID=manjaro\nID_LIKE=arch"), Some((Family::Arch, String::new())));
        assert_eq!(of("ID=nixos\n"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn values_are_read_as_a_shell_would() {
        assert_eq!(values("A=\"x \\\"y\\\"\"\n", "A").unwrap(), "x \"y\"");
        assert_eq!(values("B='a b'\nAB=no\n", "B").unwrap(), "a b");
        assert_eq!(values("A=\n", "A"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_distribution_or_none_and_never_a_panic(text in "[A-Z_=\"'\\\\a-z0-9 \n]{0,200}") {
            let _ = Distribution::of(&text);
        }
    }
}
