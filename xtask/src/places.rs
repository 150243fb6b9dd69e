//! Where things are: the clone, and the cache outside it.

use std::env;
use std::path::{Path, PathBuf};

use crate::Result;

/// The root of the clone that this program was built from, or of the one it is run in if that has moved.
pub fn root() -> Result<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let here = env::current_dir().ok();
    let is_root = |folder: &&Path| folder.join("xtask").is_dir() && folder.join("Cargo.lock").is_file();
    here.iter()
        .flat_map(|here| here.ancestors())
        .find(is_root)
        .or(built.filter(is_root))
        .map(Path::to_path_buf)
        .ok_or_else(|| "this is not inside a clone of the project: cd into one".to_owned())
}

/// The cache of this project's tools and built images: `$MACHINE_CACHE`, or `machine-dev` in the user's cache folder.
///
/// It may be removed at any time; everything in it is made again when it is missing.
pub fn cache() -> Result<PathBuf> {
    let from = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("MACHINE_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|folder| folder.join("machine-dev")))
        .or_else(|| env::home_dir().map(|home| home.join(".cache").join("machine-dev")))
        .filter(|folder| folder.is_absolute())
        .ok_or_else(|| "no cache folder: set MACHINE_CACHE to an absolute path".to_owned())
}

/// Whether a continuous integration system runs us: nobody is there to be asked.
pub fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// Makes a folder and those above it.
pub fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))
}

/// Removes a folder and all in it; one that is not there is fine.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Where a program is, on `PATH` or in the folders for administration that an ordinary user's `PATH` often lacks.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
