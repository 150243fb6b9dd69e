//! A file that is written piece by piece and appears whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{PRIVATE, beside, create_new, sync_folder};

/// A file on its way: under a hidden name beside its place until [`Self::finish`]; removed when it is dropped before.
#[derive(Debug)]
pub struct WholeFile {
    file: Option<File>,
    temporary: PathBuf,
    place: PathBuf,
}

impl WholeFile {
    /// Begins a file that shall be at `place`. Nobody else reads it before it is whole.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn begin(place: &Path) -> io::Result<Self> {
        let temporary = beside(place);
        // What is left of a dead process that had our process id.
        let _ = fs::remove_file(&temporary);
        Ok(Self { file: Some(create_new(&temporary, PRIVATE)?), temporary, place: place.to_owned() })
    }

    /// Puts it in place of whatever is there, with the permissions `mode` (which mean nothing on Windows).
    ///
    /// # Errors
    /// Whatever the file system says; what was there is then still there.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix has modes"))]
    pub fn finish(mut self, mode: u32) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            #[cfg(unix)]
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
            file.sync_all()?;
        }
        fs::rename(&self.temporary, &self.place)?;
        match self.place.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => sync_folder(folder),
            _ => Ok(()),
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().ok_or_else(|| io::Error::other("the file is finished"))?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        // Closed first: Windows removes no open file. After `finish` nothing has that name.
        drop(self.file.take());
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_file_that_is_broken_off_leaves_what_was_there_and_one_that_is_whole_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("f");
        fs::write(&place, "old").unwrap();
        let mut broken = WholeFile::begin(&place).unwrap();
        broken.write_all(b"ne").unwrap();
        drop(broken);
        assert_eq!(fs::read_to_string(&place).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mut whole = WholeFile::begin(&place).unwrap();
        whole.write_all(b"new").unwrap();
        whole.finish(0o754).unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "new");
        assert_eq!(fs::metadata(&place).unwrap().mode() & 0o777, 0o754);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
