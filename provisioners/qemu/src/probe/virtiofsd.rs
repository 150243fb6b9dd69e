//! The program that serves folders by virtiofs.

use std::path::{Path, PathBuf};

use super::places::Search;
use crate::facts::{HostOs, Version, Virtiofsd};
use crate::qemu_command::ask;

/// Where distributions put it, which is not in `PATH`: Debian and Fedora, Arch, and the Debian of QEMU's own one.
const FOLDERS: [&str; 3] = ["/usr/libexec", "/usr/lib", "/usr/lib/qemu"];

/// Looks for it; starts it once, for its version. Only Linux has one.
pub fn find(search: &Search, os: HostOs) -> Option<Virtiofsd> {
    if os != HostOs::Linux {
        return None;
    }
    let places = search.folders(os).into_iter().chain(FOLDERS.map(PathBuf::from));
    let programs = places.map(|folder| folder.join("virtiofsd")).filter(|program| program.is_file());
    programs
        .filter_map(|program| Some(Virtiofsd { version: version(&program)?, program }))
        .max_by_key(|found| found.version)
}

/// "virtiofsd 1.13.2", or "virtiofsd version 7.2.19 (Debian ...)" of the older program.
fn version(program: &Path) -> Option<Version> {
    let answer = ask(program, &["--version"]).ok()?;
    let words = answer.text.lines().find_map(|line| line.trim().strip_prefix("virtiofsd "))?;
    match words.strip_prefix("version ") {
        // QEMU's own had QEMU's versions, up to 7.2: older than any of this one.
        Some(_) => Some(Version::new(0, 0, 0)),
        None => Version::leading(words),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_newest_is_taken_and_qemus_own_counts_as_older_than_any() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str, says: &str| {
            let folder = dir.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("virtiofsd"), format!("#!/bin/sh\necho '{says}'\n")).unwrap();
            std::fs::set_permissions(folder.join("virtiofsd"), std::fs::Permissions::from_mode(0o755)).unwrap();
            folder
        };
        let of_qemu = folder("a", "virtiofsd version 7.2.19 (Debian 1:7.2+dfsg-7+deb12u16)");
        let found = |folders: &[&PathBuf]| {
            let path = std::env::join_paths(folders).unwrap();
            version(&folders[0].join("virtiofsd")).unwrap();
            find(&Search { path: Some(path), ..Search::default() }, HostOs::Linux).unwrap()
        };
        let new = folder("b", "virtiofsd 1.13.2");
        assert_eq!(version(&of_qemu.join("virtiofsd")), Some(Version::new(0, 0, 0)));
        assert!(found(&[&of_qemu, &new]).version >= Version::new(1, 13, 2));
        assert_eq!(find(&Search::default(), HostOs::MacOs), None);
    }
}
