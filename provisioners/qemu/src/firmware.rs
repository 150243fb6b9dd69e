//! Where the UEFI code for arm64 guests lies. X86 guests start with the BIOS that QEMU finds itself.

use std::path::{Path, PathBuf};

use machine_images::Arch;

use crate::facts::HostOs;

/// The places to look at, best first. Source: Lima's list, and the packages of Homebrew, Debian, Fedora, Arch and openSUSE.
pub fn places(os: HostOs, program: &Path, guest: Arch) -> Vec<PathBuf> {
    if guest != Arch::Arm64 {
        return Vec::new();
    }
    let mut places = Vec::new();
    // Beside the program as it was found, and beside the file that it links to (Homebrew, Nix).
    let resolved = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    for folder in [program.parent(), resolved.parent()].into_iter().flatten() {
        if os == HostOs::Windows {
            places.push(folder.join("share").join("edk2-aarch64-code.fd"));
            places.push(folder.join("share").join("qemu").join("edk2-aarch64-code.fd"));
        }
        if let Some(prefix) = folder.parent() {
            places.push(prefix.join("share").join("qemu").join("edk2-aarch64-code.fd"));
        }
    }
    if os == HostOs::Linux {
        places.extend(
            [
                "/usr/share/qemu/edk2-aarch64-code.fd",
                "/usr/share/AAVMF/AAVMF_CODE.fd",
                "/usr/share/edk2/aarch64/QEMU_EFI.fd",
                "/usr/share/edk2/aarch64/QEMU_CODE.fd",
                "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
                "/usr/share/qemu/aavmf-aarch64-code.bin",
            ]
            .map(PathBuf::from),
        );
    }
    places
}

/// The firmware file, if there is one.
pub fn find(os: HostOs, program: &Path, guest: Arch) -> Option<PathBuf> {
    places(os, program, guest).into_iter().find(|place| place.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_lies_beside_the_program_or_where_a_distribution_puts_it_and_x86_needs_none() {
        let brew = places(HostOs::MacOs, Path::new("/opt/homebrew/bin/qemu-system-aarch64"), Arch::Arm64);
        assert_eq!(brew[0], Path::new("/opt/homebrew/share/qemu/edk2-aarch64-code.fd"));
        let linux = places(HostOs::Linux, Path::new("/usr/bin/qemu-system-aarch64"), Arch::Arm64);
        assert!(linux.contains(&"/usr/share/AAVMF/AAVMF_CODE.fd".into()), "{linux:?}");
        assert!(places(HostOs::Linux, Path::new("/usr/bin/qemu-system-x86_64"), Arch::Amd64).is_empty());

        let temp = tempfile::tempdir().unwrap();
        let (bin, share) = (temp.path().join("bin"), temp.path().join("share/qemu"));
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(&share).unwrap();
        let firmware = share.join("edk2-aarch64-code.fd");
        std::fs::write(&firmware, "code").unwrap();
        let program = bin.join("qemu-system-aarch64");
        assert_eq!(find(HostOs::MacOs, &program, Arch::Arm64), Some(firmware));
    }
}
