//! What is needed, and why: a table.

use std::path::Path;

use clap::ValueEnum;

use super::docker;
use crate::command::Program;
use crate::places::find_program;

/// Packages that are needed together, for one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// To compile the workspace
    Build,
    /// To run virtual machines
    Vm,
    /// To build the project's own image
    Image,
    /// To talk to Docker Engine in a machine
    Docker,
    /// To test `machine env` in the shells it speaks to, and the manual pages
    Shells,
    /// For what comes from PyPI: moto, which plays EC2, and the C compiler for macOS
    Python,
    /// To check and test for Windows and macOS
    Cross,
    /// To compile and test the desktop app
    Desktop,
}

/// How one sees that a package is not needed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The package itself is installed.
    Package,
    /// This program is found, wherever it comes from.
    Program(&'static str),
    /// This file exists.
    File(&'static str),
    /// QEMU of at least [`OLDEST_QEMU`] is found.
    Qemu,
    /// A Docker command line is found, on `PATH` or in our cache.
    Docker,
    /// Python can make virtual environments.
    PythonVenv,
}

/// A package of Debian and Ubuntu.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    pub name: &'static str,
    pub proof: Proof,
}

const fn package(name: &'static str) -> Package {
    Package { name, proof: Proof::Package }
}

const fn program(name: &'static str, program: &'static str) -> Package {
    Package { name, proof: Proof::Program(program) }
}

/// The oldest major version of QEMU that tests run with.
///
/// 7.2 panics Linux 6.12 guests under TCG (seen with Debian 12's: the cmpxchg16b path of the slab allocator); 8.2 brought
/// the `file:` migration that saved states use.
pub const OLDEST_QEMU: u32 = 8;

#[cfg(target_arch = "aarch64")]
pub const QEMU_PROGRAM: &str = "qemu-system-aarch64";
#[cfg(target_arch = "aarch64")]
const QEMU_PACKAGE: &str = "qemu-system-arm";
#[cfg(not(target_arch = "aarch64"))]
pub const QEMU_PROGRAM: &str = "qemu-system-x86_64";
#[cfg(not(target_arch = "aarch64"))]
const QEMU_PACKAGE: &str = "qemu-system-x86";

impl Group {
    /// The groups that the parts of this clone make use of.
    pub fn of_this_clone(root: &Path) -> Vec<Self> {
        let mut groups =
            vec![Self::Build, Self::Vm, Self::Image, Self::Docker, Self::Shells, Self::Python, Self::Cross];
        if root.join("src-tauri").is_dir() {
            groups.push(Self::Desktop);
        }
        groups
    }

    /// Why it is needed.
    pub fn why(self) -> &'static str {
        match self {
            Self::Build => "to compile; libssl-dev brings the OpenSSL that is linked into the program",
            Self::Vm => "to run machines: QEMU 8 or newer; two libraries for virtiofsd, which tests build",
            Self::Image => "to build the machine image from Debian's packages",
            Self::Docker => "a Docker command line, to talk to the engines in machines (no daemon)",
            Self::Shells => "to try `machine env` in every shell it speaks to, and to read the manual pages",
            Self::Python => "for what comes from PyPI: moto, which plays EC2, and the C compiler for macOS",
            Self::Cross => "to check for Windows and macOS: Debian's current Rust, MinGW, Wine",
            Self::Desktop => "to compile the desktop app and to drive its window in tests",
        }
    }

    /// Its packages.
    pub fn packages(self) -> &'static [Package] {
        match self {
            Self::Build => {
                const {
                    &[
                        program("gcc", "gcc"),
                        package("libc6-dev"),
                        package("libssl-dev"),
                        program("make", "make"),
                        program("pkg-config", "pkg-config"),
                        program("git", "git"),
                    ]
                }
            }
            // Both of one version: the tools' package of one QEMU is not co-installable with the emulator of another.
            Self::Vm => {
                const {
                    &[
                        Package { name: QEMU_PACKAGE, proof: Proof::Qemu },
                        Package { name: "qemu-utils", proof: Proof::Qemu },
                        // To build virtiofsd.
                        package("libcap-ng-dev"),
                        package("libseccomp-dev"),
                    ]
                }
            }
            // What images/recipe/build.sh asks for, and busybox for the container that demo makes.
            Self::Image => {
                const {
                    &[
                        program("mmdebstrap", "mmdebstrap"),
                        program("e2fsprogs", "mkfs.ext4"),
                        program("cpio", "cpio"),
                        program("zstd", "zstd"),
                        program("xz-utils", "xz"),
                        program("kmod", "depmod"),
                        program("util-linux", "unshare"),
                        program("systemd", "systemctl"),
                        program("uidmap", "newuidmap"),
                        Package {
                            name: "debian-archive-keyring",
                            proof: Proof::File("/usr/share/keyrings/debian-archive-keyring.gpg"),
                        },
                        package("busybox-static"),
                    ]
                }
            }
            // The registry is Docker Hub to the tests' machines.
            Self::Docker => {
                const {
                    &[
                        Package { name: "docker.io", proof: Proof::Docker },
                        program("docker-registry", "docker-registry"),
                        program("openssh-server", "sshd"),
                        program("openssh-client", "ssh"),
                        program("rsync", "rsync"),
                    ]
                }
            }
            // Nushell comes from npm; mandoc and man read the manual pages.
            Self::Shells => {
                const {
                    &[
                        program("emacs-nox", "emacs"),
                        program("fish", "fish"),
                        program("mandoc", "mandoc"),
                        program("man-db", "man"),
                        program("nodejs", "node"),
                        program("npm", "npm"),
                        program("tcsh", "tcsh"),
                        program("zsh", "zsh"),
                    ]
                }
            }
            Self::Python => const { &[Package { name: "python3-venv", proof: Proof::PythonVenv }] },
            Self::Cross => {
                const {
                    &[
                        package("cargo-web"),
                        package("rust-web-clippy"),
                        package("rust-web-src"),
                        package("rustc-web"),
                        package("llvm"),
                        package("g++-mingw-w64-x86-64-posix"),
                        package("gcc-mingw-w64-x86-64-posix"),
                        package("wine"),
                        package("wine64"),
                        program("cmake", "cmake"),
                        program("nasm", "nasm"),
                    ]
                }
            }
            Self::Desktop => {
                const {
                    &[
                        program("chromium", "chromium"),
                        package("libwebkit2gtk-4.1-dev"),
                        program("webkit2gtk-driver", "WebKitWebDriver"),
                        program("xvfb", "Xvfb"),
                    ]
                }
            }
        }
    }
}

impl Proof {
    /// Whether it holds. [`Proof::Package`] is answered by dpkg for many at once, not here.
    pub fn holds(self) -> bool {
        match self {
            Self::Package => false,
            Self::Program(name) => find_program(name).is_some(),
            Self::File(path) => Path::new(path).exists(),
            Self::Qemu => {
                find_program("qemu-img").is_some() && qemu_version().is_some_and(|found| found >= OLDEST_QEMU)
            }
            Self::Docker => docker::is_there(),
            Self::PythonVenv => Program::new("python3").args(["-c", "import ensurepip, venv"]).read().is_ok(),
        }
    }
}

/// The major version of QEMU on this computer.
pub fn qemu_version() -> Option<u32> {
    let text = Program::new(find_program(QEMU_PROGRAM)?).arg("--version").read().ok()?;
    major_version(text.strip_prefix("QEMU emulator version ")?)
}

/// The first number of a version; an epoch (`1:10.0`) is passed over.
pub fn major_version(text: &str) -> Option<u32> {
    let text = text.trim().split_once(':').map_or(text.trim(), |(_, version)| version);
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_found_behind_an_epoch() {
        assert_eq!(major_version("1:7.2+dfsg-7+deb12u16"), Some(7));
        assert_eq!(major_version("10.0.2 (Debian 1:10.0.2+ds-2)"), Some(10));
        assert_eq!(major_version("(none)"), None);
    }

    #[test]
    fn no_package_is_asked_for_twice() {
        let mut names: Vec<_> =
            Group::value_variants().iter().flat_map(|group| group.packages()).map(|package| package.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
    }

    #[test]
    fn the_desktop_group_waits_for_the_desktop_app() {
        let folder = std::env::temp_dir().join(format!("xtask-groups-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(!Group::of_this_clone(&folder).contains(&Group::Desktop));
        std::fs::create_dir_all(folder.join("src-tauri")).unwrap();
        assert!(Group::of_this_clone(&folder).contains(&Group::Desktop));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
