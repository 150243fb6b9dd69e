//! Programs of this computer that some commands need: found on `PATH`, or said to be missing with how to get them.

use std::ffi::OsStr;
use std::path::PathBuf;

use machine_core::{Error, Result};

use crate::app::App;

impl App {
    /// The program called `name`.
    ///
    /// # Errors
    /// It is not there: `what_for`, and how it is installed.
    pub(crate) fn program(&self, name: &str, what_for: &str) -> Result<PathBuf> {
        find(self.environment.path.as_deref(), name).ok_or_else(|| {
            Error::other(format!("{what_for} needs `{name}` on this computer, and there is none")).hint(install(name))
        })
    }
}

fn find(path: Option<&OsStr>, name: &str) -> Option<PathBuf> {
    let file = if cfg!(windows) { format!("{name}.exe") } else { name.to_owned() };
    std::env::split_paths(path?)
        // A relative entry would mean another program in every folder.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&file))
        .find(|candidate| is_program(candidate))
}

#[cfg(unix)]
fn is_program(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &std::path::Path) -> bool {
    path.is_file()
}

/// How people get it on this system.
fn install(name: &str) -> String {
    match name {
        "ssh" if cfg!(windows) => "Settings, Optional features, OpenSSH Client".to_owned(),
        "rsync" if cfg!(windows) => "rsync comes with MSYS2 (`pacman -S rsync`) or Cygwin".to_owned(),
        "sshfs" if cfg!(windows) => "`machine share` and `machine sync` do without it".to_owned(),
        "sshfs" if cfg!(target_os = "macos") => "`brew install --cask macfuse` and sshfs from its authors".to_owned(),
        "ssh" if !cfg!(target_os = "macos") => {
            "install it (Debian, Ubuntu: `sudo apt install openssh-client`)".to_owned()
        }
        name if cfg!(target_os = "macos") => format!("`brew install {name}`"),
        name => format!("install it (Debian, Ubuntu: `sudo apt install {name}`; Fedora: `sudo dnf install {name}`)"),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_program_is_found_on_the_path_and_not_what_only_looks_like_one() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        for place in [&first, &second] {
            std::fs::create_dir(place).unwrap();
            std::fs::write(place.join("tool"), "").unwrap();
        }
        let path = std::env::join_paths([std::path::Path::new("."), &first, &second]).unwrap();
        assert_eq!(find(Some(&path), "tool"), None, "nothing of that can be executed");
        std::fs::set_permissions(second.join("tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(Some(&path), "tool"), Some(second.join("tool")));
        assert_eq!((find(Some(&path), "other"), find(None, "tool")), (None, None));
    }
}
