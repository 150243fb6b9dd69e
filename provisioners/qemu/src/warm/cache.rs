//! The cache of warm states: a folder each, whole or absent, the least recently used go first.
//!
//! ```text
//! ROOT/lock                 shared by whoever uses a state, exclusive for whoever removes one
//! ROOT/KEY/entry.json       what it is of, and the sizes and checksums of the three files
//! ROOT/KEY/state            memory and devices
//! ROOT/KEY/os.qcow2, data.qcow2
//! ROOT/KEY.failed           how often, and why, this shape could not be used: twice is enough
//! ROOT/.new-UUID            one that is being made
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use machine_core::{Error, Result, ResultExt as _};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::Shape;
use crate::free_space::free_space;
use crate::json_file;
use crate::machine_files::gone;

/// What all states together may take, bytes.
pub(crate) const LIMIT: u64 = 4 << 30;
/// After so many failures a shape boots.
const PATIENCE: u32 = 2;
/// The form of `entry.json`.
const SCHEMA: u32 = 1;
/// A half state that nobody holds and that was not touched for so long is nobody's.
const UNTOUCHED: Duration = Duration::from_secs(30);
/// The files of a state.
const STATE: &str = "state";
const OS_DISK: &str = "os.qcow2";
const DATA_DISK: &str = "data.qcow2";
const ENTRY: &str = "entry.json";
/// The lock of one that is being made.
const HELD: &str = "held";

/// The cache in one folder.
#[derive(Clone, Debug)]
pub struct WarmStates {
    root: PathBuf,
}

/// One state, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WarmRow {
    /// Its name.
    pub key: String,
    /// What it is of.
    pub title: String,
    /// The image that it is of: SHA-256 of its disk.
    pub image_digest: String,
    /// What it takes, bytes.
    pub bytes: u64,
    /// When it was made.
    pub made: Timestamp,
    /// When a machine last began from it.
    pub used: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    schema: u32,
    shape: Shape,
    made: Timestamp,
    files: BTreeMap<String, FileFacts>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileFacts {
    size: u64,
    crc32: u32,
}

/// How often a shape failed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Failures {
    count: u32,
    reason: String,
}

/// A state that can be used; while this lives nobody removes it.
pub(crate) struct SavedState {
    folder: PathBuf,
    entry: Entry,
    _shared: File,
}

/// A state that is being made; without [`NewState::keep`] it leaves nothing.
pub(crate) struct NewState {
    // Let go of before the folder is removed: Windows removes no file that is open.
    held: File,
    folder: TempDir,
    shape: Shape,
    root: PathBuf,
}

impl WarmStates {
    /// The cache in `root`, which need not exist.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The states that are there, the last used first.
    pub fn list(&self) -> Vec<WarmRow> {
        let mut rows: Vec<_> = self.folders().iter().filter_map(|folder| row(folder)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.used));
        rows
    }

    /// What is free where they are kept, bytes, when the system says so.
    pub(crate) fn room(&self) -> Option<u64> {
        free_space(&self.root)
    }

    /// Removes states that `chosen` chooses, unless a machine is just beginning from one; returns those removed. What was
    /// learned of shapes that fail is forgotten with all states.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn remove(&self, chosen: impl Fn(&WarmRow) -> bool) -> Result<Vec<WarmRow>> {
        let Some(_lock) = self.exclusive()? else { return Ok(Vec::new()) };
        let mut removed = Vec::new();
        for row in self.list().into_iter().filter(|row| chosen(row)) {
            self.remove_folder(&row.key)?;
            removed.push(row);
        }
        if self.list().is_empty() {
            for file in self.names().into_iter().filter(|name| name.ends_with(".failed")) {
                gone(fs::remove_file(self.root.join(&file))).context(|| format!("cannot remove {file}"))?;
            }
        }
        Ok(removed)
    }

    /// The state of `shape`, if there is one that is whole.
    pub(crate) fn find(&self, shape: &Shape) -> Option<SavedState> {
        let shared = machine_files::open_lock(&self.root.join("lock")).ok()?;
        shared.try_lock_shared().ok()?;
        let folder = self.root.join(&shape.key);
        let entry = read_entry(&folder).filter(|entry| entry.shape.key == shape.key)?;
        let whole = entry
            .files
            .iter()
            .all(|(name, facts)| fs::metadata(folder.join(name)).is_ok_and(|found| found.len() == facts.size));
        if !whole {
            drop(shared);
            self.failed(shape, "a file of it is not whole");
            return None;
        }
        // Its modification time says when it was last of use.
        let _only_the_order_of_removal =
            File::options().append(true).open(folder.join(ENTRY)).and_then(|file| file.set_modified(SystemTime::now()));
        Some(SavedState { folder, entry, _shared: shared })
    }

    /// Why `shape` is not worth another attempt, if it is not.
    pub(crate) fn refusal(&self, shape: &Shape) -> Option<String> {
        let failures: Failures = json_file::read(&self.failures(shape))?;
        (failures.count >= PATIENCE).then_some(failures.reason)
    }

    /// Notes that a state of `shape` could not be made or used, and removes it: it is never used twice.
    pub(crate) fn failed(&self, shape: &Shape, reason: &str) {
        let path = self.failures(shape);
        let before: Failures = json_file::read(&path).unwrap_or_default();
        let _later_attempts_only_lose_time =
            json_file::write(&path, &Failures { count: before.count + 1, reason: reason.to_owned() });
        if let Err(error) = self.remove_folder(&shape.key) {
            tracing::warn!(%error, "a warm state that failed stays");
        }
    }

    /// Begins a state of `shape`.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub(crate) fn begin(&self, shape: &Shape) -> Result<NewState> {
        machine_files::make_private_folder(&self.root)
            .context(|| format!("cannot make the folder {}", self.root.display()))?;
        self.sweep();
        let folder = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&self.root)
            .context(|| format!("cannot make a folder in {}", self.root.display()))?;
        let held = hold(folder.path()).context(|| format!("cannot lock {}", folder.path().display()))?;
        Ok(NewState { folder, shape: shape.clone(), root: self.root.clone(), held })
    }

    /// Removes the least recently used until all fit.
    fn make_room(&self, keep: &str) -> Result<()> {
        let mut left = LIMIT;
        let rows = self.list();
        let (kept, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.key == keep);
        left = left.saturating_sub(kept.iter().map(|row| row.bytes).sum());
        let mut too_much = Vec::new();
        for row in rows {
            match left.checked_sub(row.bytes) {
                Some(rest) if too_much.is_empty() => left = rest,
                _ => too_much.push(row.key),
            }
        }
        self.remove(|row| too_much.contains(&row.key)).map(drop)
    }

    fn exclusive(&self) -> Result<Option<File>> {
        if !self.root.is_dir() {
            return Ok(None);
        }
        let path = self.root.join("lock");
        let file = machine_files::open_lock(&path).context(|| format!("cannot open {}", path.display()))?;
        Ok(file.try_lock().is_ok().then_some(file))
    }

    fn remove_folder(&self, key: &str) -> Result<()> {
        let folder = self.root.join(key);
        // Without this it is no state any more, however far the removal comes.
        gone(fs::remove_file(folder.join(ENTRY)))
            .and_then(|()| gone(fs::remove_dir_all(&folder)))
            .context(|| format!("cannot remove {}", folder.display()))
    }

    fn failures(&self, shape: &Shape) -> PathBuf {
        self.root.join(format!("{}.failed", shape.key))
    }

    fn names(&self) -> Vec<String> {
        let listed = fs::read_dir(&self.root).into_iter().flatten().flatten();
        listed.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn folders(&self) -> Vec<PathBuf> {
        let names = self.names().into_iter().filter(|name| !name.starts_with('.'));
        names.map(|name| self.root.join(name)).filter(|path| path.is_dir()).collect()
    }

    /// What saves that were killed left behind.
    fn sweep(&self) {
        for name in self.names().into_iter().filter(|name| name.starts_with(".new-")) {
            let path = self.root.join(name);
            let newest = newest_in(&path).and_then(|time| time.elapsed().ok());
            if newest.is_some_and(|age| age > UNTOUCHED) && hold(&path).is_ok() {
                let _it_is_tried_again_the_next_time = fs::remove_dir_all(&path);
            }
        }
    }
}

impl SavedState {
    /// The file of memory and devices.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join(STATE)
    }

    /// Gives a machine copies of the disks.
    ///
    /// # Errors
    /// What cannot be copied: nothing that the state could be blamed for.
    pub(crate) fn copy_disks(&self, os_disk: &Path, data_disk: &Path) -> Result<()> {
        for (name, to) in [(OS_DISK, os_disk), (DATA_DISK, data_disk)] {
            fs::copy(self.folder.join(name), to).context(|| format!("cannot copy {name} to {}", to.display()))?;
        }
        Ok(())
    }

    /// Reads all of it and compares it with what was saved.
    ///
    /// # Errors
    /// When it is damaged.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, saved) in &self.entry.files {
            let path = self.folder.join(name);
            if facts_of(&path).context(|| format!("cannot read {}", path.display()))? != *saved {
                return Err(Error::other(format!("{} is not what was saved", path.display())));
            }
        }
        Ok(())
    }
}

impl NewState {
    /// Where memory and devices go.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join(STATE)
    }

    /// Completes it with copies of the disks, which nobody may write to meanwhile, and puts it into the cache.
    ///
    /// # Errors
    /// What cannot be written; the cache is then as it was.
    pub(crate) fn keep(self, os_disk: &Path, data_disk: &Path) -> Result<()> {
        let failed = || format!("cannot keep a warm state in {}", self.root.display());
        let folder = self.folder.path();
        for (name, from) in [(OS_DISK, os_disk), (DATA_DISK, data_disk)] {
            fs::copy(from, folder.join(name)).context(failed)?;
        }
        let mut files = BTreeMap::new();
        for name in [STATE, OS_DISK, DATA_DISK] {
            files.insert(name.to_owned(), facts_of(&folder.join(name)).context(failed)?);
        }
        // No fsync of hundreds of megabytes: sizes and checksums tell what a crash of the computer took.
        let entry = Entry { schema: SCHEMA, shape: self.shape.clone(), made: Timestamp::now(), files };
        json_file::write(&folder.join(ENTRY), &entry)?;
        let states = WarmStates::at(self.root.clone());
        let target = self.root.join(&self.shape.key);
        if target.exists() {
            // Somebody was faster.
            return Ok(());
        }
        // Windows renames no folder in which a file is open.
        drop(self.held);
        gone(fs::remove_file(folder.join(HELD))).context(failed)?;
        fs::rename(folder, &target).context(failed)?;
        // What the guard would remove has moved.
        let _ = self.folder.keep();
        states.make_room(&self.shape.key)
    }
}

/// Holds a state that is being made: the system lets go of it with the process.
fn hold(folder: &Path) -> std::io::Result<File> {
    let file = machine_files::open_lock(&folder.join(HELD))?;
    file.try_lock().map_err(std::io::Error::from)?;
    Ok(file)
}

fn row(folder: &Path) -> Option<WarmRow> {
    let entry = read_entry(folder)?;
    let used = fs::metadata(folder.join(ENTRY)).ok()?.modified().ok()?;
    Some(WarmRow {
        key: entry.shape.key,
        title: entry.shape.title,
        image_digest: entry.shape.image_digest,
        bytes: entry.files.values().map(|file| file.size).sum(),
        made: entry.made,
        used: Timestamp::try_from(used).ok()?,
    })
}

fn read_entry(folder: &Path) -> Option<Entry> {
    json_file::read::<Entry>(&folder.join(ENTRY)).filter(|entry| entry.schema == SCHEMA)
}

pub(crate) fn facts_of(path: &Path) -> std::io::Result<FileFacts> {
    let mut file = File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(FileFacts { size, crc32: hasher.finalize() });
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}

fn newest_in(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok());
    let newest = entries.filter_map(|facts| facts.modified().ok()).max();
    newest.or_else(|| fs::metadata(folder).ok()?.modified().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(key: &str) -> Shape {
        Shape { key: key.into(), title: format!("shape {key}"), image_digest: "d".repeat(64) }
    }

    struct Disks {
        folder: TempDir,
        states: WarmStates,
    }

    impl Disks {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("os"), "os").unwrap();
            fs::write(folder.path().join("data"), "data").unwrap();
            let states = WarmStates::at(folder.path().join("warm"));
            Self { folder, states }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn save(&self, key: &str, bytes: u64) {
            let new = self.states.begin(&shape(key)).unwrap();
            File::create(new.state()).unwrap().set_len(bytes).unwrap();
            new.keep(&self.path("os"), &self.path("data")).unwrap();
        }
    }

    #[test]
    fn a_state_is_found_by_its_shape_with_its_disks_and_only_while_it_is_whole() {
        let disks = Disks::new();
        assert!(disks.states.find(&shape("a")).is_none());
        disks.save("a", 1000);
        let saved = disks.states.find(&shape("a")).unwrap();
        saved.check().unwrap();
        saved.copy_disks(&disks.path("os2"), &disks.path("data2")).unwrap();
        assert_eq!(fs::read(disks.path("data2")).unwrap(), b"data");
        assert!(disks.states.find(&shape("b")).is_none());
        assert_eq!(disks.states.list().len(), 1);

        fs::write(saved.state(), vec![1; 1000]).unwrap();
        assert!(saved.check().unwrap_err().to_string().contains("is not what was saved"));
        drop(saved);
        File::options().write(true).open(disks.path("warm/a/state")).unwrap().set_len(999).unwrap();
        assert!(disks.states.find(&shape("a")).is_none());
        assert!(disks.states.list().is_empty(), "it is gone");
        assert_eq!(disks.states.refusal(&shape("a")), None);
        disks.states.failed(&shape("a"), "twice");
        assert_eq!(disks.states.refusal(&shape("a")).as_deref(), Some("twice"));
        disks.states.remove(|_| true).unwrap();
        assert_eq!(disks.states.refusal(&shape("a")), None, "forgotten with everything");
    }

    #[test]
    fn one_that_is_not_kept_leaves_nothing_and_one_in_use_is_not_removed() {
        let disks = Disks::new();
        let new = disks.states.begin(&shape("a")).unwrap();
        fs::write(new.state(), "half").unwrap();
        drop(new);
        assert_eq!(fs::read_dir(disks.path("warm")).unwrap().count(), 0);

        disks.save("a", 10);
        let used = disks.states.find(&shape("a")).unwrap();
        assert!(disks.states.remove(|_| true).unwrap().is_empty());
        drop(used);
        assert_eq!(disks.states.remove(|_| true).unwrap().len(), 1);
        assert!(disks.states.list().is_empty());
    }

    #[test]
    fn what_a_killed_save_left_is_swept_and_one_under_way_is_not() {
        let disks = Disks::new();
        let under_way = disks.states.begin(&shape("a")).unwrap();
        let left = disks.path("warm/.new-left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(STATE), "half").unwrap();
        let old = SystemTime::now() - 2 * UNTOUCHED;
        for path in [left.join(STATE), under_way.folder.path().join(HELD)] {
            File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
        }
        disks.save("b", 10);
        assert!(!left.exists());
        under_way.keep(&disks.path("os"), &disks.path("data")).unwrap_err();
        assert!(disks.states.find(&shape("b")).is_some());
    }

    #[test]
    fn the_least_recently_used_go_when_the_limit_is_reached() {
        let disks = Disks::new();
        for (key, age) in [("a", 30), ("b", 20), ("c", 10)] {
            // Files of holes: sizes count, not blocks.
            let new = disks.states.begin(&shape(key)).unwrap();
            fs::write(new.state(), key).unwrap();
            new.keep(&disks.path("os"), &disks.path("data")).unwrap();
            let path = disks.path(&format!("warm/{key}/entry.json"));
            let mut entry: Entry = json_file::read(&path).unwrap();
            entry.files.get_mut(STATE).unwrap().size = LIMIT / 3;
            json_file::write(&path, &entry).unwrap();
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        disks.save("d", 10);
        let keys: Vec<_> = disks.states.list().into_iter().map(|row| row.key).collect();
        assert_eq!(keys, ["d", "c", "b"]);
    }
}
