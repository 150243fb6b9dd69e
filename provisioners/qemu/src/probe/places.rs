//! Where QEMU may be.

use std::ffi::OsString;
use std::path::PathBuf;

use machine_images::Arch;

use crate::facts::HostOs;

/// Where to look for QEMU: what the environment says, handed in by whoever may read it.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The program that the user named: this one or none.
    pub explicit: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<OsString>,
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// `%ProgramFiles%` of Windows.
    pub program_files: Option<PathBuf>,
}

impl Search {
    /// The folders to look in: those of `PATH`, then those in which QEMU's packages lie. A desktop app does not inherit the
    /// shell's `PATH` on macOS, and QEMU's installer does not extend it on Windows.
    pub fn folders(&self, os: HostOs) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = self.path.as_deref().map(std::env::split_paths).into_iter().flatten().collect();
        let at_home = |relative: &str| self.home.as_ref().map(|home| home.join(relative));
        match os {
            HostOs::Linux => {
                folders.extend(["/usr/bin", "/usr/local/bin", "/run/current-system/sw/bin"].map(PathBuf::from));
                folders.extend(at_home(".nix-profile/bin"));
                folders.push("/home/linuxbrew/.linuxbrew/bin".into());
                // RHEL and its kin keep `qemu-kvm` here.
                folders.push("/usr/libexec".into());
            }
            HostOs::MacOs => {
                // Homebrew on Apple silicon and on Intel, MacPorts, Nix.
                folders.extend(
                    ["/opt/homebrew/bin", "/usr/local/bin", "/opt/local/bin", "/run/current-system/sw/bin"]
                        .map(PathBuf::from),
                );
                folders.extend(at_home(".nix-profile/bin"));
            }
            HostOs::Windows => {
                folders.extend(installed_by_setup());
                folders.extend(self.program_files.as_ref().map(|folder| folder.join("qemu")));
                folders.extend(
                    [r"C:\msys64\ucrt64\bin", r"C:\msys64\clang64\bin", r"C:\msys64\mingw64\bin"].map(PathBuf::from),
                );
                folders.extend(at_home(r"scoop\apps\qemu\current"));
            }
        }
        // An entry like `.` would mean another program in each folder.
        folders.retain(|folder| folder.is_absolute());
        let mut seen = std::collections::HashSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        folders
    }
}

/// The names that QEMU for guests of `guest` goes by.
pub fn program_names(os: HostOs, guest: Arch) -> &'static [&'static str] {
    match (os, guest) {
        (HostOs::Windows, Arch::Amd64) => &["qemu-system-x86_64.exe"],
        (HostOs::Windows, Arch::Arm64) => &["qemu-system-aarch64.exe"],
        (HostOs::Linux, Arch::Amd64) if cfg!(target_arch = "x86_64") => &["qemu-system-x86_64", "qemu-kvm"],
        (HostOs::Linux, Arch::Arm64) if cfg!(target_arch = "aarch64") => &["qemu-system-aarch64", "qemu-kvm"],
        (HostOs::Linux | HostOs::MacOs, Arch::Amd64) => &["qemu-system-x86_64"],
        (HostOs::Linux | HostOs::MacOs, Arch::Arm64) => &["qemu-system-aarch64"],
    }
}

/// The name of `qemu-img`.
pub fn img_name(os: HostOs) -> &'static str {
    if os == HostOs::Windows { "qemu-img.exe" } else { "qemu-img" }
}

/// The folder that QEMU's Windows installer wrote down (`InstallDirRegKey` in QEMU's own `qemu.nsi`).
#[cfg(windows)]
fn installed_by_setup() -> Option<PathBuf> {
    let key = windows_registry::LOCAL_MACHINE.open(r"SOFTWARE\QEMU").ok()?;
    key.get_string("Install_Dir").ok().map(PathBuf::from)
}

#[cfg(not(windows))]
fn installed_by_setup() -> Option<PathBuf> {
    None
}
