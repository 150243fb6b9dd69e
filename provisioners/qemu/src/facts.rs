//! What is true of this computer and of the QEMU on it: data, so that a plan can be made for any host anywhere.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use machine_core::Error;
use machine_images::Arch;
use serde::{Deserialize, Serialize};

/// The operating system of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostOs {
    /// Linux.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

impl HostOs {
    /// The one this program was built for. Other Unix systems are treated as Linux without KVM.
    pub const CURRENT: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Linux
    };
}

impl fmt::Display for HostOs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux => "Linux",
            Self::MacOs => "macOS",
            Self::Windows => "Windows",
        })
    }
}

/// What there is of a device file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceFact {
    /// It does not exist.
    Absent,
    /// It exists and this user may not open it.
    NotPermitted,
    /// It can be opened for reading and writing; whether it works is another question.
    Present,
}

/// What QEMU runs a guest's instructions with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Linux's KVM.
    Kvm,
    /// macOS' Hypervisor.framework.
    Hvf,
    /// Windows Hypervisor Platform.
    Whpx,
    /// Translation in software: works everywhere, many times slower.
    Tcg,
}

impl Accelerator {
    /// QEMU's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Whpx => "whpx",
            Self::Tcg => "tcg",
        }
    }

    /// Whether the host's own CPU runs the guest.
    pub fn is_hardware(self) -> bool {
        self != Self::Tcg
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Accelerator {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        [Self::Kvm, Self::Hvf, Self::Whpx, Self::Tcg].into_iter().find(|known| known.name() == name).ok_or_else(|| {
            Error::new(machine_core::Code::Usage, format!("{name:?} is no accelerator"))
                .hint("use kvm, hvf, whpx or tcg")
        })
    }
}

/// A version with up to three numbers, such as QEMU's 10.0.2 or macOS' 15.3; what is not said is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl Version {
    /// A version of three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// The version that `text` begins with (`6.12.48+deb13-amd64` is 6.12.48); none when it begins with no number.
    pub fn leading(text: &str) -> Option<Self> {
        let mut numbers = [0; 3];
        let mut rest = text;
        for (place, number) in numbers.iter_mut().enumerate() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            match rest[..digits].parse() {
                Ok(value) => *number = value,
                Err(_) if place == 0 => return None,
                Err(_) => break,
            }
            match rest[digits..].strip_prefix('.') {
                Some(next) => rest = next,
                None => break,
            }
        }
        Some(Self::new(numbers[0], numbers[1], numbers[2]))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl TryFrom<String> for Version {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::leading(&text).ok_or_else(|| format!("{text:?} is no version"))
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// The program that serves folders by virtiofs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Virtiofsd {
    /// Its file.
    pub program: PathBuf,
    /// Its version. Up to QEMU 7.2 there was another program of this name, with QEMU's versions.
    pub version: Version,
}

/// What is true of this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its operating system.
    pub os: HostOs,
    /// That system's version as it calls itself: `15.3.1` on macOS, `11 (26100)` on Windows, `12` on Debian 12.
    pub os_version: String,
    /// Its kernel's release (`uname -r`).
    pub kernel: String,
    /// The architecture of its CPU, also when this program is translated (Rosetta).
    pub arch: Arch,
    /// Logical CPUs.
    pub cpus: u32,
    /// Physical memory, MiB; 0 when the system does not say.
    pub memory_mib: u64,
    /// What serves folders by virtiofs (Linux).
    #[serde(default)]
    pub virtiofsd: Option<Virtiofsd>,
    /// The CPU has Arm's SME (`hw.optional.arm.FEAT_SME`): Apple M4 and later.
    #[serde(default)]
    pub apple_sme: bool,
    /// This program itself runs under Rosetta.
    #[serde(default)]
    pub rosetta: bool,
    /// `/dev/kvm`.
    pub kvm: DeviceFact,
    /// `kern.hv_support` of macOS; none elsewhere.
    #[serde(default)]
    pub hv_support: Option<bool>,
    /// The QEMU that was found for the architecture asked for.
    pub qemu: Option<QemuFacts>,
}

/// What is true of one QEMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QemuFacts {
    /// `qemu-system-x86_64` or its like.
    pub program: PathBuf,
    /// What changes when the program file changes: its size and modification time (see [`crate::fingerprint`]).
    pub fingerprint: String,
    /// `qemu-img`.
    pub img: PathBuf,
    /// The architecture of its guests.
    pub guest: Arch,
    /// Its version.
    pub version: Version,
    /// The first line of `--version`, with the packager's own version.
    pub version_text: String,
    /// What it was built with; whether they work here is another question.
    pub accelerators: BTreeSet<Accelerator>,
    /// It has the user-mode network (`libslirp`).
    pub user_network: bool,
    /// It can forbid itself system calls (`-sandbox`, Linux).
    #[serde(default)]
    pub sandbox: bool,
    /// It shares folders by 9p (virtfs).
    #[serde(default)]
    pub nine_p: bool,
    /// It has a device for folders that another process serves by virtiofs.
    #[serde(default)]
    pub virtiofs: bool,
    /// The UEFI code for its guests, looked for on arm64 only: x86 guests start with QEMU's own BIOS.
    #[serde(default)]
    pub firmware: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_beginning_of_a_text() {
        assert_eq!(Version::leading("10.0.2 (Debian 1:10.0.2+ds)"), Some(Version::new(10, 0, 2)));
        assert_eq!(Version::leading("6.12.48+deb13-amd64"), Some(Version::new(6, 12, 48)));
        assert_eq!(Version::leading("15.3"), Some(Version::new(15, 3, 0)));
        assert_eq!(Version::leading("11 (26100)"), Some(Version::new(11, 0, 0)));
        assert_eq!(Version::leading("11.0.rc1"), Some(Version::new(11, 0, 0)));
        assert_eq!(Version::leading("v1"), None);
        assert_eq!(Version::leading(""), None);
        assert!(Version::new(10, 0, 2) < Version::new(10, 1, 0));
    }
}
