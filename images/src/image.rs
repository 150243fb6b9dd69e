//! One image of the store, as everybody else sees it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use machine_core::{Code, Error};
use serde::{Deserialize, Serialize};

/// A CPU architecture, under Docker's and Debian's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86_64.
    Amd64,
    /// AArch64.
    Arm64,
}

/// How a machine of this image starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Boot {
    /// QEMU loads the kernel itself: no firmware boot menu, no boot loader.
    Direct {
        /// The kernel (`vmlinuz`).
        kernel: PathBuf,
        /// The initial RAM disk.
        initrd: PathBuf,
        /// The kernel's command line, complete.
        args: String,
    },
    /// The disk brings a boot loader.
    Firmware,
}

/// How the first boot learns who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeedKind {
    /// Our guest service reads a tar archive from a disk (see `images/recipe/README.md`).
    Machine,
    /// cloud-init reads a NoCloud file system labelled `cidata`.
    NoCloud,
}

/// An image in the store: verified, complete, read-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name in the catalog, or the one given at import.
    pub name: String,
    /// SHA-256 of the disk file, hexadecimal: what makes it this image and no other.
    pub digest: String,
    /// The architecture of its guest.
    pub arch: Arch,
    /// The disk, a qcow2 or raw file without backing file.
    pub disk: PathBuf,
    /// `qcow2` or `raw`.
    pub format: String,
    /// The size that the guest sees, bytes.
    pub virtual_size: u64,
    /// How it starts.
    pub boot: Boot,
    /// How it learns who it is.
    pub seed: SeedKind,
    /// Docker Engine inside, when it is known.
    pub engine_version: Option<String>,
    /// Version of the kernel inside (`6.12.48+deb13-amd64`), when it is known.
    pub kernel_version: Option<String>,
    /// The version of the channel on which its guest service does what this computer asks for, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u32>,
}

impl Arch {
    /// The architecture of this computer's processor, as this program was built for it.
    pub fn of_this_computer() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }

    /// `amd64` or `arm64`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Arch {
    type Err = Error;

    /// Reads Docker's and Debian's names, and those that `uname -m` prints.
    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "amd64" | "x86_64" => Ok(Self::Amd64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            _ => Err(Error::new(Code::Usage, format!("unknown architecture {name:?}")).hint("use amd64 or arm64")),
        }
    }
}
