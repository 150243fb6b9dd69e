//! How a folder of this computer gets into a machine.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is asked for when a machine is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareType {
    /// What keeps all promises; see [`ShareType::carrier`].
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// SFTP, backwards through the machine's own sshd.
    #[serde(rename = "sftp")]
    Sftp,
    /// 9p, a device of the virtual machine.
    #[serde(rename = "9p")]
    NineP,
    /// virtiofs, a device of the virtual machine and a process beside it. Linux.
    #[serde(rename = "virtiofs")]
    Virtiofs,
}

/// What carries a folder into a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Carrier {
    /// SFTP, backwards through the machine's own sshd.
    #[serde(rename = "sftp")]
    Sftp,
    /// 9p, a device of the virtual machine.
    #[default]
    #[serde(rename = "9p")]
    NineP,
    /// virtiofs, a device of the virtual machine and a process beside it.
    #[serde(rename = "virtiofs")]
    Virtiofs,
}

impl Carrier {
    /// Whether it is a device: known before the start, and QEMU saves no guest that has a folder of it mounted.
    pub fn is_device(self) -> bool {
        self != Self::Sftp
    }
}

impl ShareType {
    /// What carries the machine's folders, where it can.
    ///
    /// `Auto` is SFTP, on every computer: with it folders come and go while the machine runs, a machine can be suspended and begin
    /// from a warm state (QEMU saves no guest that has a 9p folder mounted), whoever a container runs as may work in the folder,
    /// and a container can make no set-user-ID program on this computer. 9p and virtiofs give up each of these for their speed.
    pub fn carrier(self) -> Carrier {
        match self {
            Self::Auto | Self::Sftp => Carrier::Sftp,
            Self::NineP => Carrier::NineP,
            Self::Virtiofs => Carrier::Virtiofs,
        }
    }

    /// Whether nothing was asked for.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sftp => "sftp",
            Self::NineP => "9p",
            Self::Virtiofs => "virtiofs",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_device_that_was_asked_for_is_one_and_records_have_the_words_of_the_command_line() {
        let read = |word: &str| serde_json::from_str::<ShareType>(&format!("{word:?}")).unwrap();
        let carriers = ["auto", "sftp", "9p", "virtiofs"].map(|word| read(word).carrier());
        assert_eq!(carriers, [Carrier::Sftp, Carrier::Sftp, Carrier::NineP, Carrier::Virtiofs]);
        assert_eq!(carriers.map(Carrier::is_device), [false, false, true, true]);
        assert_eq!(serde_json::to_string(&Carrier::NineP).unwrap(), "\"9p\"");
        assert!(ShareType::default().is_auto() && !ShareType::Sftp.is_auto());
    }
}
