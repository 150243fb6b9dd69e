//! Folders for sockets, and what went wrong with a file in the user's words.

use std::io;
use std::path::Path;

use machine_core::{Code, Error, Result};

/// Makes the folder for sockets, and refuses one that somebody else made or may enter: in `/tmp` anybody can be first.
pub(crate) fn runtime_folder(path: &Path) -> Result<()> {
    machine_files::make_private_folder(path)?;
    #[cfg(unix)]
    for folder in [path.parent(), Some(path)].into_iter().flatten() {
        use std::os::unix::fs::MetadataExt as _;
        let facts = std::fs::symlink_metadata(folder).map_err(|error| explain(error, "cannot look at", folder))?;
        if !facts.is_dir() || facts.uid() != rustix::process::getuid().as_raw() || facts.mode() & 0o077 != 0 {
            return Err(Error::other(format!("the folder {} is not this user's alone", folder.display()))
                .hint("remove it, or set XDG_RUNTIME_DIR to a folder of yours with mode 0700"));
        }
    }
    Ok(())
}

/// An I/O error in the user's words: which file, and what to do where that is known.
pub(crate) fn explain(error: io::Error, what: &str, path: &Path) -> Error {
    let hint = machine_core::io_hint(&error);
    let code = if error.kind() == io::ErrorKind::NotFound { Code::NotFound } else { Code::Other };
    let explained = Error::new(code, format!("{what} {}", path.display())).because(error);
    match hint {
        Some(hint) => explained.hint(hint),
        None => explained,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_runtime_folder_that_others_may_enter_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("m/1");
        runtime_folder(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(runtime_folder(&folder).unwrap_err().to_string().contains("alone"));
    }
}
