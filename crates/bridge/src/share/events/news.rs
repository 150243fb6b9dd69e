//! What the guest is told of changes, decided from what is here now: what an event was called says less, and not the same on
//! each system.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use machine_core::SharedFolder;
use machine_files::to_guest;

use crate::share::sftp::Folder;

use super::changes::Change;

/// So much of a folder that has come is told of: it may have been filled before anybody watched it.
const MOST_WITHIN: usize = 1000;

/// A share with events.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) share: SharedFolder,
    pub(super) folder: Arc<Folder>,
    /// Where it really is.
    pub(super) root: PathBuf,
}

/// One thing to tell; paths are the guest's.
#[derive(Debug, Default)]
pub(super) struct News {
    /// These have changed.
    pub(super) changed: Vec<Vec<u8>>,
    /// These are gone.
    pub(super) gone: Vec<Gone>,
    /// Folders in which something is gone.
    pub(super) poorer: Vec<Vec<u8>>,
}

/// Something that is gone.
#[derive(Debug)]
pub(super) struct Gone {
    /// Where it was, for the guest.
    pub(super) path: Vec<u8>,
    /// The share's place in the guest.
    pub(super) share: String,
    pub(super) folder: Arc<Folder>,
    /// Where it was in the folder.
    pub(super) place: PathBuf,
}

/// The share that a path is in, and the place in it.
pub(super) fn share_of<'t, 'p>(shares: &'t [Told], path: &'p Path) -> Option<(&'t Told, &'p Path)> {
    let found = shares.iter().filter_map(|told| Some((told, path.strip_prefix(&told.root).ok()?)));
    found.min_by_key(|(_, place)| place.as_os_str().len())
}

/// What to tell of these changes.
pub(super) fn news(changes: &[(PathBuf, Change)], shares: &[Told]) -> News {
    let mut news = News::default();
    let mut folders = Vec::new();
    for (path, change) in changes {
        for told in shares {
            let Ok(place) = path.strip_prefix(&told.root) else { continue };
            let parent = || place.parent().and_then(|parent| guest_path(&told.share, parent));
            let Some(guest) = guest_path(&told.share, place) else { continue };
            match path.symlink_metadata() {
                Ok(metadata) => {
                    if *change == Change::Entry {
                        // The folder first: who lists it then has forgotten the old list.
                        folders.extend(parent());
                        if metadata.is_dir() {
                            within(path, &mut |inner| {
                                let inner = inner.strip_prefix(&told.root).ok();
                                news.changed.extend(inner.and_then(|inner| guest_path(&told.share, inner)));
                            });
                        }
                    }
                    news.changed.push(guest);
                }
                // What was in a folder that is gone is not told besides.
                Err(error) if error.kind() == io::ErrorKind::NotFound && has_parent(path) => {
                    news.poorer.extend(parent());
                    news.gone.push(Gone {
                        path: guest,
                        share: told.share.guest.clone(),
                        folder: Arc::clone(&told.folder),
                        place: place.to_owned(),
                    });
                }
                Err(_) => {}
            }
        }
    }
    news.poorer.sort();
    news.poorer.dedup();
    folders.extend(news.poorer.iter().cloned());
    folders.sort();
    folders.dedup();
    news.changed.retain(|path| folders.binary_search(path).is_err());
    folders.append(&mut news.changed);
    news.changed = folders;
    news
}

/// Tells of the folders alone.
pub(super) fn of_folders<'a>(folders: impl Iterator<Item = &'a Path>, shares: &[Told]) -> News {
    let changed = folders.filter_map(|folder| {
        let (told, place) = share_of(shares, folder)?;
        guest_path(&told.share, place)
    });
    News { changed: changed.collect(), ..News::default() }
}

fn has_parent(path: &Path) -> bool {
    path.parent().is_some_and(|parent| parent.symlink_metadata().is_ok())
}

/// Everything in a folder, without following links; up to a limit.
fn within(folder: &Path, tell: &mut impl FnMut(&Path)) {
    let mut waiting = vec![folder.to_owned()];
    let mut told = 0;
    while let Some(folder) = waiting.pop() {
        // What cannot be read, or is gone meanwhile, has nothing to tell.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if told == MOST_WITHIN {
                return;
            }
            told += 1;
            tell(&entry.path());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
        }
    }
}

/// A place in a share as the guest calls it, if it can.
fn guest_path(share: &SharedFolder, place: &Path) -> Option<Vec<u8>> {
    let mut path = share.guest.clone().into_bytes();
    for component in place.components() {
        let Component::Normal(name) = component else { return None };
        path.push(b'/');
        path.extend(to_guest(OsStr::new(name))?);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::sftp::Access;

    fn told(folder: &Path, guest: &str) -> Told {
        Told {
            share: SharedFolder { folder: folder.into(), guest: guest.into(), read_only: false, events: true },
            folder: Arc::new(Folder::open(folder, Access::ReadWrite).unwrap().with_events(true)),
            root: folder.canonicalize().unwrap(),
        }
    }

    fn words(paths: &[Vec<u8>]) -> Vec<&str> {
        paths.iter().map(|path| str::from_utf8(path).unwrap()).collect()
    }

    #[test]
    fn what_is_told_is_what_is_there_now() {
        let dir = tempfile::tempdir().unwrap();
        let shares = [told(dir.path(), "/src")];
        let root = shares[0].root.clone();
        fs::create_dir_all(root.join("new/deep")).unwrap();
        fs::write(root.join("new/deep/file"), "").unwrap();
        fs::write(root.join("grüße"), "").unwrap();
        let changes = [
            (root.join("gone"), Change::Content),
            (root.join("grüße"), Change::Content),
            (root.join("new"), Change::Entry),
            (root.join("went/with its folder"), Change::Entry),
            (PathBuf::from("/elsewhere"), Change::Entry),
        ];
        let news = news(&changes, &shares);
        assert_eq!(words(&news.changed), ["/src", "/src/grüße", "/src/new/deep", "/src/new/deep/file", "/src/new"]);
        assert_eq!(words(&news.poorer), ["/src"]);
        let [gone] = news.gone.try_into().unwrap();
        assert_eq!((gone.path.as_slice(), gone.place), (&b"/src/gone"[..], PathBuf::from("gone")));
    }

    #[test]
    fn a_change_is_told_in_each_share_that_has_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        let shares = [told(dir.path(), "/all"), told(&dir.path().join("in"), "/part")];
        fs::write(dir.path().join("in/file"), "").unwrap();
        let news = news(&[(shares[1].root.join("file"), Change::Content)], &shares);
        assert_eq!(words(&news.changed), ["/all/in/file", "/part/file"]);
        let root = shares[1].root.clone();
        assert_eq!(words(&of_folders([root.as_path()].into_iter(), &shares).changed), ["/part"]);
    }
}
