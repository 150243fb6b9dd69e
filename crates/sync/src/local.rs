//! The folder of this computer, and nothing outside it: every path is resolved by `cap-std` from the open folder down.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions};
use machine_core::{Code, Error, Result, ResultExt as _};
use machine_files::to_guest;

use crate::entry::{Entry, Time, Tree, same};
use crate::exclusions::{Exclusions, RULES};
use crate::place::{OWN, Place};
use crate::report::Problem;
use crate::system::{
    make_link, mode_of, set_file_mode, set_mode, system_time, target_to_machine, time_of, without_waiting,
};

/// Rules longer than this are nobody's, bytes.
const RULES_LIMIT: u64 = 1 << 20;

/// A folder of this computer.
#[derive(Debug)]
pub(crate) struct LocalFolder {
    path: PathBuf,
    pub(crate) dir: Dir,
    /// What unfinished files are called.
    own: String,
}

/// What is in it.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) tree: Tree,
    pub(crate) problems: Vec<Problem>,
    pub(crate) special: Vec<Problem>,
    /// What an earlier run of the same pair of folders left unfinished.
    leftovers: Vec<PathBuf>,
}

impl LocalFolder {
    /// Opens the folder.
    ///
    /// # Errors
    /// No folder there, or one that may not be read.
    pub(crate) fn open(path: &Path, own: &str) -> Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| match path.metadata() {
            Ok(found) if !found.is_dir() => {
                Error::new(Code::Usage, format!("{} is a file, and `sync` copies folders", path.display()))
                    .hint("name the folder that it is in, and leave others out with --exclude")
            }
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => {
                Error::new(Code::NotFound, format!("there is no folder {}", path.display()))
                    .hint("the folder that is copied must be there")
            }
            _ => Error::other(format!("cannot open the folder {}", path.display())).because(error),
        })?;
        Ok(Self { path: path.to_owned(), dir, own: own.to_owned() })
    }

    /// Looks at all that is in it.
    ///
    /// # Errors
    /// A folder that cannot be read: nobody knows what is in it, and to take it for empty would remove it elsewhere.
    pub(crate) fn scan(&self, exclusions: &mut Exclusions) -> Result<Scan> {
        let mut scan = Scan::default();
        let mut folders: Vec<(Option<Place>, PathBuf)> = vec![(None, PathBuf::from("."))];
        while let Some((place, path)) = folders.pop() {
            let reading = || format!("cannot read the folder {}", self.path.join(&path).display());
            let dir = match &place {
                None => self.dir.try_clone(),
                Some(_) => self.dir.open_dir_nofollow(&path),
            }
            .context(reading)?;
            if exclusions.reads_files()
                && let Some(text) = rules(&dir)
            {
                exclusions.learn(place.as_ref(), &text);
            }
            for entry in dir.entries().context(reading)? {
                let entry = entry.context(reading)?;
                let name = entry.file_name();
                let path = if place.is_none() { PathBuf::from(&name) } else { path.join(&name) };
                if name.as_encoded_bytes().starts_with(OWN.as_bytes()) {
                    if name.as_encoded_bytes().starts_with(self.own.as_bytes()) {
                        scan.leftovers.push(path);
                    }
                    continue;
                }
                let within = to_guest(&name).and_then(|name| Place::within(place.as_ref(), &name).ok());
                let Some(here) = within else {
                    let why = "the machine has no such name".to_owned();
                    scan.problems.push(Problem { place: path.to_string_lossy().escape_debug().to_string(), why });
                    continue;
                };
                let metadata = match dir.symlink_metadata(&name) {
                    Ok(metadata) => metadata,
                    // It is gone again.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => {
                        return Err(error).context(|| format!("cannot look at {}", self.path.join(&path).display()));
                    }
                };
                if exclusions.has(&here, metadata.is_dir()) {
                    continue;
                }
                match self.entry_of(&path, &metadata).context(reading)? {
                    Some(entry) => {
                        if entry.is_folder() {
                            folders.push((Some(here.clone()), path));
                        }
                        scan.tree.insert(here, entry);
                    }
                    None => scan.special.push(Problem::new(&here, "neither a file, a folder nor a link")),
                }
            }
        }
        Ok(scan)
    }

    /// Removes what an earlier run left unfinished. What cannot go is seen by nothing.
    pub(crate) fn sweep(&self, scan: &Scan) {
        for path in &scan.leftovers {
            let _ = self.dir.remove_file_or_symlink(path);
        }
    }

    /// What is there now.
    pub(crate) fn look(&self, path: &Path) -> io::Result<Option<Entry>> {
        match self.dir.symlink_metadata(path) {
            Ok(metadata) => self.entry_of(path, &metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn entry_of(&self, path: &Path, metadata: &Metadata) -> io::Result<Option<Entry>> {
        Ok(Some(if metadata.is_dir() {
            Entry::Folder { mode: mode_of(metadata) }
        } else if metadata.is_symlink() {
            let target = self.dir.read_link_contents(path)?;
            Entry::Link { target: target_to_machine(&target) }
        } else if metadata.is_file() {
            let modified = time_of(metadata.modified()?.into_std());
            Entry::File { mode: mode_of(metadata), size: metadata.len(), modified }
        } else {
            return Ok(None);
        }))
    }

    /// Opens a file to read it, with what is true of it.
    pub(crate) fn open_file(&self, place: &Place) -> io::Result<(File, Entry)> {
        let path = place.to_host().map_err(io::Error::other)?;
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No);
        without_waiting(&mut options);
        let file = self.dir.open_with(&path, &options)?;
        let metadata = file.metadata()?;
        match self.entry_of(&path, &metadata)? {
            Some(entry @ Entry::File { .. }) => Ok((file.into_std(), entry)),
            _ => Err(io::Error::other("no file any more")),
        }
    }

    /// Removes what was seen there, and nothing else. A folder in which something is stays.
    ///
    /// # Errors
    /// Why it is still there.
    pub(crate) fn remove(&self, place: &Place, seen: &Entry) -> Result<(), String> {
        let path = place.to_host()?;
        let now = self.look(&path).map_err(|error| error.to_string())?;
        let done = match now {
            None => return Ok(()),
            Some(Entry::Folder { .. }) if seen.is_folder() => self.dir.remove_dir(&path),
            Some(now) if now.is_same(seen) => self.dir.remove_file_or_symlink(&path),
            Some(_) => return Err(CHANGED.to_owned()),
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            done => done.map_err(|error| error.to_string()),
        }
    }

    /// Makes a folder, or a link, in place of what was seen there. Permissions of folders come last: [`Self::permit`].
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) fn make(&self, place: &Place, entry: &Entry, seen: Option<&Entry>) -> Result<(), String> {
        let path = place.to_host()?;
        let text = |error: io::Error| error.to_string();
        let now = self.look(&path).map_err(text)?;
        match (entry, now) {
            (Entry::Folder { .. }, Some(Entry::Folder { .. })) => Ok(()),
            (Entry::Folder { .. }, None) => self.dir.create_dir(&path).map_err(text),
            (Entry::Link { target }, now) if same(now.as_ref(), seen) => {
                let temporary = self.beside(&path);
                let _ = self.dir.remove_file_or_symlink(&temporary);
                make_link(&self.dir, target, &temporary, &path).map_err(text)?;
                self.put_in_place(&temporary, &path)
            }
            _ => Err(CHANGED.to_owned()),
        }
    }

    /// Writes a file beside its place and puts it there when it is whole, if what is there is still what was seen.
    ///
    /// # Errors
    /// Why it is not there; an error of `content` is one of the connection.
    pub(crate) fn write(
        &self,
        place: &Place,
        entry: &Entry,
        seen: Option<&Entry>,
        content: &mut dyn Read,
    ) -> io::Result<Result<Entry, String>> {
        let (Ok(path), Entry::File { mode, size, modified }) = (place.to_host(), entry) else {
            return Ok(Err("this computer has no such name".to_owned()));
        };
        let temporary = self.beside(&path);
        let _ = self.dir.remove_file_or_symlink(&temporary);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut file = match self.dir.open_with(&temporary, &options) {
            Ok(file) => file.into_std(),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut write = || -> io::Result<io::Result<()>> {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let count = content.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                if let Err(error) = io::Write::write_all(&mut file, &buffer[..count]) {
                    return Ok(Err(error));
                }
            }
            Ok(finish(&file, *mode, *modified))
        };
        let written = write();
        let length = file.metadata().map(|metadata| metadata.len());
        drop(file);
        let result = match written {
            Ok(Ok(())) if length.as_ref().is_ok_and(|length| length == size) => match self.look(&path) {
                Ok(now) if same(now.as_ref(), seen) => self.put_in_place(&temporary, &path),
                Ok(_) => Err(CHANGED.to_owned()),
                Err(error) => Err(error.to_string()),
            },
            Ok(Ok(())) => Err("it came in another length than was said".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => {
                let _ = self.dir.remove_file(&temporary);
                return Err(error);
            }
        };
        if let Err(why) = result {
            let _ = self.dir.remove_file(&temporary);
            return Ok(Err(why));
        }
        match self.look(&path)? {
            Some(now) => Ok(Ok(now)),
            None => Ok(Err(CHANGED.to_owned())),
        }
    }

    fn put_in_place(&self, temporary: &Path, path: &Path) -> Result<(), String> {
        self.dir.rename(temporary, &self.dir, path).map_err(|error| {
            let _ = self.dir.remove_file_or_symlink(temporary);
            error.to_string()
        })
    }

    /// Gives a folder its permissions.
    ///
    /// # Errors
    /// Why it has others.
    pub(crate) fn permit(&self, place: &Place, entry: &Entry) -> Result<(), String> {
        let Entry::Folder { mode: Some(mode) } = entry else { return Ok(()) };
        let path = place.to_host()?;
        set_mode(&self.dir, &path, *mode).map_err(|error| error.to_string())
    }

    fn beside(&self, path: &Path) -> PathBuf {
        path.with_file_name(&self.own)
    }
}

/// What was there when both sides were compared is not there any more.
pub(crate) const CHANGED: &str = "it changed meanwhile; the next run takes it up";

fn rules(dir: &Dir) -> Option<String> {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No);
    without_waiting(&mut options);
    let file = dir.open_with(str::from_utf8(RULES).ok()?, &options).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(RULES_LIMIT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn finish(file: &File, mode: Option<u32>, modified: Time) -> io::Result<()> {
    if let Some(mode) = mode {
        set_file_mode(file, mode)?;
    }
    if let Some(time) = system_time(modified) {
        file.set_times(std::fs::FileTimes::new().set_modified(time))?;
    }
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;

    use super::*;
    use crate::trials::{NOW, file, link, place};

    /// A folder, and one outside it.
    fn folders() -> (tempfile::TempDir, LocalFolder) {
        let base = tempfile::tempdir().unwrap();
        for name in ["in", "out"] {
            fs::create_dir(base.path().join(name)).unwrap();
        }
        let folder = LocalFolder::open(&base.path().join("in"), ".machine-sync-test").unwrap();
        (base, folder)
    }

    fn sized(size: u64) -> Entry {
        Entry::File { mode: Some(0o640), size, modified: NOW }
    }

    #[test]
    fn nothing_is_written_or_removed_through_a_link_that_leads_out() {
        let (base, folder) = folders();
        let out = base.path().join("out");
        fs::write(out.join("x"), "mine").unwrap();
        std::os::unix::fs::symlink(&out, base.path().join("in/l")).unwrap();
        std::os::unix::fs::symlink("../out", base.path().join("in/m")).unwrap();
        for through in ["l/x", "m/x"] {
            let there = folder.look(Path::new(through)).ok().flatten();
            assert_eq!(there, None, "not even seen");
            let written = folder.write(&place(through), &sized(3), None, &mut &b"abc"[..]).unwrap();
            assert!(written.is_err());
            assert!(folder.make(&place(through).marked("new"), &link("y"), None).is_err());
            assert!(folder.make(&place(through).marked("d"), &Entry::Folder { mode: None }, None).is_err());
            assert!(folder.remove(&place(through), &file(4)).is_err());
            assert!(folder.open_file(&place(through)).is_err());
        }
        assert_eq!(fs::read_to_string(out.join("x")).unwrap(), "mine");
        assert_eq!(fs::read_dir(out).unwrap().count(), 1);
        let scan = folder.scan(&mut Exclusions::new(&[], false).unwrap()).unwrap();
        assert_eq!(scan.tree.len(), 2, "links are looked at and not followed: {:?}", scan.tree);
    }

    #[test]
    fn what_changed_after_it_was_seen_is_neither_replaced_nor_removed() {
        let (base, folder) = folders();
        let path = base.path().join("in/x");
        fs::write(&path, "seen").unwrap();
        let seen = folder.look(Path::new("x")).unwrap().unwrap();
        fs::write(&path, "changed").unwrap();
        assert_eq!(folder.remove(&place("x"), &seen).unwrap_err(), CHANGED);
        assert_eq!(folder.write(&place("x"), &sized(3), Some(&seen), &mut &b"abc"[..]).unwrap().unwrap_err(), CHANGED);
        assert_eq!(folder.make(&place("x"), &link("y"), Some(&seen)).unwrap_err(), CHANGED);
        assert_eq!(folder.write(&place("x"), &sized(3), None, &mut &b"abc"[..]).unwrap().unwrap_err(), CHANGED);
        assert_eq!(fs::read_to_string(&path).unwrap(), "changed");
        let now = folder.look(Path::new("x")).unwrap().unwrap();
        assert_eq!(folder.write(&place("x"), &sized(3), Some(&now), &mut &b"abc"[..]).unwrap().unwrap(), sized(3));
        assert_eq!(fs::read_dir(base.path().join("in")).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_file_that_comes_in_another_length_or_breaks_off_takes_no_place() {
        let (base, folder) = folders();
        assert!(folder.write(&place("x"), &sized(9), None, &mut &b"abc"[..]).unwrap().is_err());
        struct Breaks;
        impl Read for Breaks {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken off"))
            }
        }
        assert!(folder.write(&place("x"), &sized(9), None, &mut Breaks).is_err());
        assert_eq!(fs::read_dir(base.path().join("in")).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_with_something_in_it_is_not_removed_and_a_pipe_is_not_waited_for() {
        let (base, folder) = folders();
        fs::create_dir(base.path().join("in/d")).unwrap();
        fs::write(base.path().join("in/d/left out"), "x").unwrap();
        folder.remove(&place("d"), &crate::trials::folder()).unwrap();
        assert!(base.path().join("in/d/left out").exists());
        rustix::fs::mkfifoat(rustix::fs::CWD, base.path().join("in/pipe"), rustix::fs::Mode::RWXU).unwrap();
        assert!(folder.open_file(&place("pipe")).is_err());
        let scan = folder.scan(&mut Exclusions::new(&[], false).unwrap()).unwrap();
        assert_eq!((scan.tree.len(), scan.special.len()), (2, 1));
    }
}
