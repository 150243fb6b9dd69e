//! Watches folders of this computer with what its system has for that (inotify, FSEvents, ReadDirectoryChangesW).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::ModifyKind;
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::changes::{Change, Changes};
use super::news::Told;
use super::watched::Watched;

/// What is shared with the thread that hears of changes.
#[derive(Default)]
pub(super) struct Heard {
    state: Mutex<State>,
    /// There are changes.
    pub(super) changes: Notify,
    /// What is watched has to be looked at again.
    pub(super) look: Notify,
}

#[derive(Default)]
struct State {
    changes: Changes,
    shares: Vec<Told>,
    watched: BTreeSet<Watched>,
    /// Folders that were watched and went.
    went: BTreeSet<PathBuf>,
    full: bool,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these are what is listened for.
    pub(super) fn expect(&self, shares: Vec<Told>, watched: BTreeSet<Watched>) {
        let mut state = self.lock();
        (state.shares, state.watched) = (shares, watched);
    }

    pub(super) fn shares(&self) -> Vec<Told> {
        self.lock().shares.clone()
    }

    /// The folders that are watched.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.lock().watched.iter().map(|watched| watched.watch().0.to_owned()).collect()
    }

    /// The next changes; whether more were lost.
    pub(super) fn take(&self, most: usize) -> (Vec<(PathBuf, Change)>, bool) {
        let mut state = self.lock();
        (state.changes.take(most), state.changes.take_lost())
    }

    /// Keeps what could not be told.
    pub(super) fn put_back(&self, changes: &[(PathBuf, Change)], lost: bool) {
        let mut state = self.lock();
        changes.iter().for_each(|(path, change)| state.changes.note(path, *change));
        if lost {
            state.changes.lose();
        }
    }

    /// Called by the system's thread: does nothing that takes time.
    fn hear(&self, event: notify::Result<Event>) {
        let mut state = self.lock();
        match event {
            Ok(event) => {
                if event.need_rescan() {
                    state.changes.lose();
                }
                let change = match event.kind {
                    // To open, read and close changes nothing.
                    EventKind::Access(_) => None,
                    EventKind::Modify(ModifyKind::Name(_)) | EventKind::Create(_) | EventKind::Remove(_) => {
                        Some(Change::Entry)
                    }
                    EventKind::Modify(_) => Some(Change::Content),
                    EventKind::Any | EventKind::Other => Some(Change::Entry),
                };
                for path in event.paths.iter().filter(|_| change.is_some()) {
                    state.note(path, change.unwrap_or(Change::Entry));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "file events may be missing");
                state.full |= is_full(&error);
                state.changes.lose();
            }
        }
        let (news, look) = (!state.changes.is_empty(), state.full || !state.went.is_empty());
        drop(state);
        if news {
            self.changes.notify_one();
        }
        if look {
            self.look.notify_one();
        }
    }
}

impl State {
    fn note(&mut self, path: &Path, change: Change) {
        if change == Change::Entry && self.watched.iter().any(|watched| watched.watch().0 == path) {
            self.went.insert(path.to_owned());
        }
        if !self.watched.iter().any(|watched| watched.holds(path)) {
            return;
        }
        let is_of_guest =
            |told: &Told| path.strip_prefix(&told.root).is_ok_and(|place| told.folder.is_change_of_guest(place));
        if self.shares.iter().any(is_of_guest) {
            return;
        }
        self.changes.note(path, change);
    }
}

fn is_full(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::MaxFilesWatch => true,
        // ENOSPC, by which inotify says it (inotify_add_watch(2)); EMFILE: too many of its instances.
        ErrorKind::Io(error) => cfg!(target_os = "linux") && matches!(error.raw_os_error(), Some(28 | 24)),
        _ => false,
    }
}

/// What is watched now.
pub(super) struct Watcher {
    heard: Arc<Heard>,
    /// None while there is nothing to watch.
    system: Option<RecommendedWatcher>,
    watching: BTreeMap<PathBuf, bool>,
}

/// Why a folder is not watched.
#[derive(Debug)]
pub(super) struct Unwatched {
    pub(super) folder: PathBuf,
    pub(super) why: String,
}

impl Watcher {
    pub(super) fn new(heard: Arc<Heard>) -> Self {
        Self { heard, system: None, watching: BTreeMap::new() }
    }

    /// Watches these and nothing else. Blocks: large folders take their time. Tells what it cannot watch.
    pub(super) fn watch(&mut self, wanted: &BTreeSet<Watched>) -> Vec<Unwatched> {
        let mut folders = BTreeMap::new();
        for (folder, all) in wanted.iter().map(Watched::watch) {
            *folders.entry(folder.to_owned()).or_insert(false) |= all;
        }
        let (went, full) = {
            let mut state = self.heard.lock();
            (std::mem::take(&mut state.went), std::mem::take(&mut state.full))
        };
        let leave: Vec<_> = self
            .watching
            .iter()
            .filter(|(folder, all)| full || went.contains(*folder) || folders.get(*folder) != Some(all))
            .map(|(folder, _)| folder.clone())
            .collect();
        for folder in leave {
            self.watching.remove(&folder);
            if let Some(system) = &mut self.system {
                // One that is gone is not watched any more.
                let _ = system.unwatch(&folder);
            }
        }
        if folders.is_empty() {
            self.system = None;
            return Vec::new();
        }
        let mut unwatched = Vec::new();
        for (folder, all) in folders {
            if self.watching.contains_key(&folder) {
                continue;
            }
            match self.begin(&folder, all) {
                Ok(()) => {
                    self.watching.insert(folder, all);
                }
                Err(error) => {
                    // What was watched of it before the failure is let go of: others need it too.
                    if let Some(system) = &mut self.system {
                        let _ = system.unwatch(&folder);
                    }
                    unwatched.push(Unwatched { folder, why: explain(&error) });
                }
            }
        }
        unwatched
    }

    fn begin(&mut self, folder: &Path, all: bool) -> notify::Result<()> {
        let system = match &mut self.system {
            Some(system) => system,
            none => {
                let heard = Arc::clone(&self.heard);
                let config = notify::Config::default().with_follow_symlinks(false);
                none.insert(RecommendedWatcher::new(move |event| heard.hear(event), config)?)
            }
        };
        system.watch(folder, if all { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive })
    }
}

/// The reason for a person, with what to do about it.
fn explain(error: &notify::Error) -> String {
    if !is_full(error) {
        return error.to_string();
    }
    let now = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").unwrap_or_default();
    format!(
        "this system lets you watch {} folders at once, and that is not enough: `sudo sysctl fs.inotify.max_user_watches=524288 \
         fs.inotify.max_user_instances=512` raises the limit until the next boot (a file in /etc/sysctl.d for good)",
        now.trim()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use machine_core::SharedFolder;

    use super::*;
    use crate::share::sftp::{Access, Folder};

    fn heard(folder: &Path) -> (Arc<Heard>, Watcher, Arc<Folder>, PathBuf) {
        let root = folder.canonicalize().unwrap();
        let share = SharedFolder { folder: folder.into(), guest: "/src".into(), read_only: false, events: true };
        let opened = Arc::new(Folder::open(folder, Access::ReadWrite).unwrap().with_events(true));
        let heard = Arc::new(Heard::default());
        let watched = BTreeSet::from([Watched::Folder(root.clone())]);
        heard.expect(vec![Told { share, folder: Arc::clone(&opened), root: root.clone() }], watched.clone());
        let mut watcher = Watcher::new(Arc::clone(&heard));
        assert!(watcher.watch(&watched).is_empty());
        (heard, watcher, opened, root)
    }

    async fn until(heard: &Heard, path: &Path) -> Change {
        let wait = async {
            loop {
                heard.changes.notified().await;
                let found = heard.take(usize::MAX).0.into_iter().find(|(changed, _)| changed == path);
                if let Some((_, change)) = found {
                    return change;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap()
    }

    #[tokio::test]
    async fn changes_of_this_computer_are_heard_also_in_new_folders() {
        let dir = tempfile::tempdir().unwrap();
        let (heard, _watcher, _, root) = heard(dir.path());
        fs::write(root.join("file"), "one").unwrap();
        assert_eq!(until(&heard, &root.join("file")).await, Change::Entry);
        fs::create_dir(root.join("deep")).unwrap();
        assert_eq!(until(&heard, &root.join("deep")).await, Change::Entry);
        fs::remove_file(root.join("file")).unwrap();
        assert_eq!(until(&heard, &root.join("file")).await, Change::Entry);
    }

    #[tokio::test]
    async fn what_the_guest_itself_changed_is_no_news() {
        let dir = tempfile::tempdir().unwrap();
        let (heard, _watcher, folder, root) = heard(dir.path());
        folder.signs.note(Path::new("by-guest"));
        fs::write(root.join("by-guest"), "x").unwrap();
        fs::write(root.join("other"), "x").unwrap();
        let wait = async {
            let mut seen = Vec::new();
            while !seen.contains(&root.join("other")) {
                heard.changes.notified().await;
                seen.extend(heard.take(usize::MAX).0.into_iter().map(|(path, _)| path));
            }
            seen
        };
        let seen = tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
        assert!(!seen.contains(&root.join("by-guest")), "{seen:?}");
    }

    #[test]
    fn a_limit_that_is_reached_is_explained_with_what_to_do() {
        let text = explain(&notify::Error::new(ErrorKind::MaxFilesWatch));
        assert!(text.contains("sudo sysctl fs.inotify.max_user_watches="), "{text}");
        assert!(!explain(&notify::Error::path_not_found()).contains("sysctl"));
    }
}
