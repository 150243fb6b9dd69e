//! A small file system, for stores that are full or read-only.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs that is unmounted when it is dropped.
pub struct Mount {
    folder: PathBuf,
}

impl Mount {
    /// Mounts a tmpfs of `size` (`4m`) on `folder`, which is made.
    ///
    /// # Panics
    /// When this user may not mount: the tests run as root, in a container of their own or on a computer of CI.
    pub fn tmpfs(folder: &Path, size: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"], folder);
        Self { folder: folder.to_owned() }
    }

    /// Makes it read-only.
    pub fn read_only(&self) {
        mount(&["-o", "remount,ro"], &self.folder);
    }

    /// Makes it smaller or larger; it cannot become smaller than what is in it.
    pub fn resize(&self, size: &str) {
        mount(&["-o", &format!("remount,size={size}")], &self.folder);
    }

    /// Makes it as small as what is in it: it is full.
    pub fn fill(&self) {
        let used = rustix::fs::statvfs(&self.folder).unwrap();
        self.resize(&((used.f_blocks - used.f_bfree) * used.f_frsize).to_string());
    }
}

#[track_caller]
fn mount(arguments: &[&str], folder: &Path) {
    let output = Command::new(crate::find_program("mount")).args(arguments).arg(folder).output().unwrap();
    assert!(
        output.status.success(),
        "cannot mount a file system of a few MiB ({}): this test needs to be root with CAP_SYS_ADMIN",
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _the_scene_tells_what_stays =
            Command::new(crate::find_program("umount")).arg("-l").arg(&self.folder).status();
    }
}
