//! An image made of nothing but busybox: no registry can be reached from the tests.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use crate::program::find_program;
use crate::scene::Scene;

/// The image as a tar archive, for `docker import`.
pub fn busybox(scene: &Scene) -> PathBuf {
    let path = scene.path("busybox.tar");
    let mut archive = tar::Builder::new(fs::File::create(&path).unwrap());
    archive.append_path_with_name(find_program("busybox"), "bin/busybox").unwrap();
    for name in ["sh", "cat", "echo", "ls", "sleep", "true", "wget", "nc", "ping"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        archive.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    archive.into_inner().unwrap().flush().unwrap();
    path
}
