//! The store: one folder per machine, records written whole, one lock per machine that the system releases.
//!
//! ```text
//! STORE/store.json              {schema, id}
//!       certs/                  the CA and the client certificate (certificates.rs)
//!       machines/NAME/          machine.json and everything else of one machine
//!       locks/NAME.lock         held by the process that works on the machine
//!       verdicts.json           what hardware acceleration did on this computer
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine_core::{Code, Error, MachineName, MachineRecord, Phase, Reporter, Result, ResultExt as _};
use serde::{Deserialize, Serialize};

use crate::files;

/// Locks of the store itself; no machine can have these names, for `_` is not allowed in them.
const STORE_LOCK: &str = "_store";
pub(crate) const CERTIFICATES_LOCK: &str = "_certs";
/// A machine's record, in its folder.
const RECORD: &str = "machine.json";
/// The record that it has under another name, while it gets that: counts once the folder has that name.
const RENAMED: &str = "machine.renamed.json";

/// Where machines are kept.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

/// The right to change a machine, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct MachineLock {
    _file: File,
}

/// What the store itself remembers.
#[derive(Serialize, Deserialize)]
struct StoreFile {
    schema: u32,
    id: uuid::Uuid,
}

impl Store {
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn certificates(&self) -> PathBuf {
        self.root.join("certs")
    }

    pub(crate) fn verdicts(&self) -> PathBuf {
        self.root.join("verdicts.json")
    }

    fn machines(&self) -> PathBuf {
        self.root.join("machines")
    }

    /// The folder of a machine, whether or not it exists.
    pub(crate) fn folder(&self, name: &MachineName) -> PathBuf {
        self.machines().join(name.as_str())
    }

    fn record_path(&self, name: &MachineName) -> PathBuf {
        self.folder(name).join(RECORD)
    }

    /// The store's own identity: marks what it makes outside (contexts) as its own.
    pub(crate) fn id(&self) -> Result<uuid::Uuid> {
        let path = self.root.join("store.json");
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice::<StoreFile>(&text)
                .map(|file| file.id)
                .map_err(|e| Error::other(format!("{} is broken", path.display())).because(e)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                machine_files::make_private_folder(&self.root)?;
                let _lock = self.lock_file(STORE_LOCK, Duration::from_secs(10))?;
                if path.exists() {
                    return self.id();
                }
                let file = StoreFile { schema: 1, id: uuid::Uuid::new_v4() };
                machine_files::write_whole(&path, &json(&file), machine_files::PRIVATE)?;
                Ok(file.id)
            }
            Err(error) => Err(files::explain(error, "cannot read", &path)),
        }
    }

    /// Every machine's folder name, in natural order. No I/O but one listing.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let folder = self.machines();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(files::explain(error, "cannot list", &folder)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().to_string_lossy().into_owned();
                (!name.starts_with('.') && entry.file_type().is_ok_and(|kind| kind.is_dir())).then_some(name)
            })
            .collect();
        names.sort_by_cached_key(|name| natural_key(name));
        Ok(names)
    }

    /// Whether anything of that name is there.
    pub(crate) fn exists(&self, name: &MachineName) -> bool {
        fs::symlink_metadata(self.folder(name)).is_ok()
    }

    /// Whether a machine is known to have no record; one that merely cannot be looked at may have.
    pub(crate) fn record_is_absent(&self, name: &MachineName) -> bool {
        fs::symlink_metadata(self.record_path(name)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// The text of a folder's record, whatever is in it and whatever the folder is called; none where that cannot be read.
    pub(crate) fn raw_record(&self, folder: &str) -> Option<String> {
        let text = fs::read(self.machines().join(folder).join(RECORD)).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// Whether another process works on a machine. Unlike a lock taken and dropped, nobody notices the question.
    pub(crate) fn is_being_worked_on(&self, name: &MachineName) -> bool {
        File::open(self.root.join("locks").join(format!("{name}.lock")))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Code::NotFound`] in docker-machine's words when there is no such machine.
    pub(crate) fn load(&self, name: &MachineName) -> Result<MachineRecord> {
        let path = self.record_path(name);
        let within = || format!("machine {:?}: {}", name.as_str(), path.display());
        match fs::read(&path) {
            Ok(text) => {
                let record = MachineRecord::parse(&text).map_err(|error| error.within(within()))?;
                if record.name != *name {
                    if let Some(renamed) = self.renamed(name) {
                        return Ok(renamed);
                    }
                    return Err(Error::other(within())
                        .because(Error::other(format!("the record is of a machine called {:?}", record.name.as_str())))
                        .hint("the folder was renamed by hand: give it its old name back"));
                }
                Ok(record)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.exists(name) => Err(Error::other(format!(
                "machine {:?} has a folder but no record: its creation was interrupted",
                name.as_str()
            ))
            .hint(format!("`machine rm {name}` removes what is left, `machine create {name}` begins anew"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(does_not_exist(name)),
            Err(error) => Err(files::explain(error, "cannot read", &path)),
        }
    }

    /// Writes a record; it is on the disk when this returns.
    pub(crate) fn save(&self, record: &MachineRecord) -> Result<()> {
        machine_files::make_private_folder(&self.folder(&record.name))?;
        machine_files::write_whole(&self.record_path(&record.name), &json(record), machine_files::PRIVATE)
    }

    /// Gives a machine the name that `record` has. Killed at any moment, the machine has one of the two.
    ///
    /// `done` hears of each step that is on the disk.
    pub(crate) fn rename(&self, from: &MachineName, record: &MachineRecord, done: impl Fn(&str)) -> Result<()> {
        let (old, new) = (self.folder(from), self.folder(&record.name));
        machine_files::write_whole(&old.join(RENAMED), &json(record), machine_files::PRIVATE)?;
        done("rename-begun");
        let moving = || format!("cannot rename {} to {}", old.display(), new.display());
        fs::rename(&old, &new).context(moving)?;
        machine_files::sync_folder(&self.machines()).context(moving)?;
        done("rename-moved");
        self.save(record)?;
        // It says what the record says by now.
        let _ = fs::remove_file(new.join(RENAMED));
        done("renamed");
        Ok(())
    }

    /// The record of a machine whose renaming broke off when the folder had its new name.
    fn renamed(&self, name: &MachineName) -> Option<MachineRecord> {
        let text = fs::read(self.folder(name).join(RENAMED)).ok()?;
        MachineRecord::parse(&text).ok().filter(|record| record.name == *name)
    }

    /// Removes a machine's folder. It is moved away first: from then on the name is free, whatever happens to the rest.
    pub(crate) fn remove_folder(&self, name: &MachineName) -> Result<()> {
        let folder = self.folder(name);
        let going = self.machines().join(format!(".removed-{}", uuid::Uuid::new_v4().simple()));
        match fs::rename(&folder, &going) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(files::explain(error, "cannot remove", &folder)),
        }
        match fs::remove_dir_all(&going) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(files::explain(error, "cannot remove all of", &going))
            }
            _ => Ok(()),
        }
    }

    /// Finishes removals that a crash interrupted. One that cannot be finished now stands in nobody's way.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.machines()) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".removed-")
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(folder = %entry.path().display(), %error, "what was removed is not all gone");
            }
        }
    }

    /// Takes the right to change a machine; waits for `patience` while another process has it, and says so.
    ///
    /// # Errors
    /// [`Code::Busy`], naming the process that works on it.
    pub(crate) async fn lock(
        &self,
        name: &MachineName,
        patience: Duration,
        reporter: &Reporter,
    ) -> Result<MachineLock> {
        let begun = Instant::now();
        let mut told = false;
        loop {
            match self.try_lock(name.as_str())? {
                Ok(lock) => return Ok(lock),
                Err(holder) if begun.elapsed() >= patience => return Err(busy(&holder, name.as_str())),
                Err(holder) => {
                    if !told {
                        reporter.info(format!("Waiting for {holder}, which is working on {:?}...", name.as_str()));
                        told = true;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Takes a lock of the store itself, which is held for milliseconds. Blocks.
    pub(crate) fn lock_file(&self, name: &str, patience: Duration) -> Result<MachineLock> {
        let begun = Instant::now();
        loop {
            match self.try_lock(name)? {
                Ok(lock) => return Ok(lock),
                Err(holder) if begun.elapsed() >= patience => return Err(busy(&holder, name)),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The lock, or who has it.
    pub(crate) fn try_lock(&self, name: &str) -> Result<Result<MachineLock, String>> {
        let folder = self.root.join("locks");
        machine_files::make_private_folder(&folder)?;
        let path = folder.join(format!("{name}.lock"));
        let mut file =
            machine_files::open_lock(&path).map_err(|error| files::explain(error, "cannot open the lock", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let holder = holder.trim();
                return Ok(Err(if holder.is_empty() { "another process".to_owned() } else { holder.to_owned() }));
            }
            Err(fs::TryLockError::Error(error)) => return Err(files::explain(error, "cannot lock", &path)),
        }
        // For the message of whoever waits; a failure to write it changes nothing.
        let _ =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "process {}", std::process::id()));
        Ok(Ok(MachineLock { _file: file }))
    }
}

fn busy(holder: &str, name: &str) -> Error {
    Error::new(Code::Busy, format!("{holder} is working on {name:?}"))
        .hint("wait for it to end, or end it; the lock goes with its process")
}

/// docker-machine's text, which scripts match on.
pub(crate) fn does_not_exist(name: &MachineName) -> Error {
    Error::new(
        Code::NotFound,
        format!(
            "Docker machine \"{name}\" does not exist. Use \"machine ls\" to list machines. Use \"machine create\" to add a new one."
        ),
    )
}

/// A record for a machine whose own cannot be read: enough for its driver to find what runs.
pub(crate) fn remains(name: &MachineName, driver: &str) -> MachineRecord {
    MachineRecord {
        schema: machine_core::RECORD_SCHEMA,
        name: name.clone(),
        driver: driver.to_owned(),
        created: jiff::Timestamp::UNIX_EPOCH,
        spec: machine_core::MachineSpec {
            cpus: 0,
            memory_mib: 0,
            disk_mib: 0,
            image: None,
            ssh_user: String::new(),
            tls_san: Vec::new(),
            publish: Default::default(),
            shares: Vec::new(),
            share_type: Default::default(),
            engine: machine_core::EngineSpec::default(),
            options: serde_json::Map::new(),
        },
        phase: Phase::Creating,
        certificate_ends: None,
        host_key: None,
        driver_state: serde_json::Value::Null,
    }
}

/// JSON as people read it, with a newline at the end.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Compares runs of digits as numbers and the rest without case, as docker-machine's `ls` did.
fn natural_key(name: &str) -> Vec<(u128, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, numbered) = rest.split_at(text_end);
        let digits_end = numbered.find(|c: char| !c.is_ascii_digit()).unwrap_or(numbered.len());
        let (digits, tail) = numbered.split_at(digits_end);
        parts.push((0, text.to_lowercase()));
        parts.push((digits.parse().unwrap_or(0), String::new()));
        rest = tail;
    }
    parts
}

/// Reads at most the last `limit` bytes of a file, from a line's beginning, as text.
pub(crate) fn tail(path: &Path, limit: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(length.saturating_sub(limit)))?;
        let mut text = Vec::new();
        file.take(limit).read_to_end(&mut text)?;
        if length > limit {
            let line = text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            text.drain(..line);
        }
        Ok(text)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_natural_order_and_hidden_folders_and_files_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_owned());
        assert!(store.names().unwrap().is_empty(), "a store that does not exist yet has no machines");
        for name in ["web10", "web9", "Alpha", ".removed-1"] {
            fs::create_dir_all(folder.path().join("machines").join(name)).unwrap();
        }
        fs::write(folder.path().join("machines/file"), "").unwrap();
        assert_eq!(store.names().unwrap(), ["Alpha", "web9", "web10"]);
        store.sweep();
        assert!(!folder.path().join("machines/.removed-1").exists());
    }

    #[tokio::test]
    async fn a_lock_held_elsewhere_is_busy_and_free_again_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_owned());
        let name: MachineName = "dev".parse().unwrap();
        assert!(!store.is_being_worked_on(&name));
        let held = store.lock(&name, Duration::ZERO, &Reporter::silent()).await.unwrap();
        assert!(store.is_being_worked_on(&name));
        let busy = store.lock(&name, Duration::ZERO, &Reporter::silent()).await.unwrap_err();
        assert_eq!(busy.code(), Code::Busy);
        assert!(busy.to_string().contains(&std::process::id().to_string()), "{busy}");
        drop(held);
        store.lock(&name, Duration::ZERO, &Reporter::silent()).await.unwrap();
    }

    #[test]
    fn a_folder_without_record_and_a_renamed_one_say_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_owned());
        let name: MachineName = "dev".parse().unwrap();
        assert_eq!(store.load(&name).unwrap_err().code(), Code::NotFound);
        fs::create_dir_all(store.folder(&name)).unwrap();
        assert!(store.load(&name).unwrap_err().to_string().contains("interrupted"));
        let record = remains(&name, "qemu");
        store.save(&record).unwrap();
        assert_eq!(store.load(&name).unwrap(), record);
        let other: MachineName = "other".parse().unwrap();
        fs::rename(store.folder(&name), store.folder(&other)).unwrap();
        assert!(store.load(&other).unwrap_err().to_string().contains("\"dev\""));
        store.remove_folder(&other).unwrap();
        assert!(!store.exists(&other));
    }
}
