//! Folders of this computer that a container mounts and the machine does not see: Docker makes an empty folder in their place,
//! without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use machine_core::SharedFolder;
use machine_docker::ContainerSummary;
use serde_json::json;
use tokio::sync::watch;

use crate::bridge::Events;

/// How long a container that does not run any more, or not yet, is told of.
const MEMORY: Duration = Duration::from_secs(600);

/// So many containers are told of.
const MOST: usize = 50;

/// Where a machine has files of its own: a container that mounts these means the machine's.
const OF_THE_MACHINE: [&str; 17] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/opt/containerd",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/cache",
    "/var/spool",
];

/// Where people have their files on this computer or another.
const OF_PEOPLE: [&str; 4] = ["/Users/", "/home/", "/Volumes/", "/private/"];

/// Containers, and what they mount of this computer although it is not shared.
#[derive(Clone)]
pub(crate) struct Unshared {
    shares: watch::Receiver<Vec<SharedFolder>>,
    seen: Arc<Mutex<BTreeMap<String, Seen>>>,
    events: Option<Events>,
}

struct Seen {
    sources: BTreeSet<String>,
    runs: bool,
    last: Instant,
}

impl Unshared {
    pub(crate) fn new(shares: watch::Receiver<Vec<SharedFolder>>) -> Self {
        Self { shares, seen: Arc::default(), events: None }
    }

    /// The same, which tells the machine's log as well.
    pub(crate) fn telling(&self, events: Events) -> Self {
        Self { events: Some(events), ..self.clone() }
    }

    /// Takes note of the containers that run.
    pub(crate) fn running(&self, containers: &[ContainerSummary]) {
        let mut seen = self.lock();
        for known in seen.values_mut() {
            known.runs = false;
        }
        drop(seen);
        for container in containers {
            let binds = container.mounts.iter().flatten().filter(|mount| mount.typ.as_deref() == Some("bind"));
            self.note(crate::ports::name_of(container), binds.filter_map(|mount| mount.source.clone()), true);
        }
        self.lock().retain(|_, known| known.runs || known.last.elapsed() < MEMORY);
    }

    /// Takes note of a container that was made and mounts these folders of the machine.
    pub(crate) fn made(&self, container: String, binds: Vec<String>) {
        self.note(container, binds.into_iter(), false);
    }

    fn note(&self, container: String, binds: impl Iterator<Item = String>, runs: bool) {
        let shares = self.shares.borrow().clone();
        let exists = |path: &Path| path.symlink_metadata().is_ok();
        let sources: BTreeSet<String> = binds.filter(|source| is_missing(source, &shares, exists)).collect();
        let mut seen = self.lock();
        if sources.is_empty() {
            return;
        }
        if !seen.contains_key(&container) {
            if seen.len() >= MOST {
                return;
            }
            for source in &sources {
                if let Some(events) = &self.events {
                    // Nobody may be listening.
                    let _ =
                        events.send(("folder not shared".into(), json!({ "container": container, "folder": source })));
                }
            }
        }
        let runs = runs || seen.get(&container).is_some_and(|known| known.runs);
        seen.insert(container, Seen { sources, runs, last: Instant::now() });
    }

    /// What the user should know. What was shared meanwhile is told too: the container has the empty folder all the same.
    pub(crate) fn warnings(&self, machine: &str) -> Vec<String> {
        let seen = self.lock();
        let each = seen.iter().flat_map(|(container, seen)| seen.sources.iter().map(move |source| (container, source)));
        each.map(|(container, source)| {
            format!(
                "container {container} mounts {source}, which the machine does not see: it has an empty folder there \
                 (`machine share add {machine} {source}`, then restart the container)"
            )
        })
        .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody who says `source` means a folder of this computer that is not shared.
fn is_missing(source: &str, shares: &[SharedFolder], exists: impl Fn(&Path) -> bool) -> bool {
    let path = Path::new(source);
    if source == "/"
        || shares.iter().any(|share| path.starts_with(&share.guest))
        || OF_THE_MACHINE.iter().any(|own| path.starts_with(own))
    {
        return false;
    }
    OF_PEOPLE.iter().any(|people| source.starts_with(people))
        || of_this_computer(source).is_some_and(|path| exists(&path))
}

/// The path of this computer that a path of the guest speaks of. On Windows nothing but a drive's: a name such as `//host/share`
/// must not lead there (with this user's name and the digest of a password).
fn of_this_computer(source: &str) -> Option<PathBuf> {
    if !cfg!(windows) {
        return Some(PathBuf::from(source));
    }
    let [b'/', drive, rest @ ..] = source.as_bytes() else { return None };
    let is_drive = drive.is_ascii_alphabetic() && (rest.is_empty() || rest[0] == b'/');
    is_drive.then(|| PathBuf::from(format!("{}:{}\\", *drive as char, source[2..].replace('/', "\\"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> Vec<SharedFolder> {
        vec![SharedFolder {
            folder: "/home/me/src".into(),
            guest: "/home/me/src".into(),
            read_only: false,
            events: false,
        }]
    }

    #[test]
    fn a_folder_that_is_here_and_not_shared_is_missing() {
        let here = |path: &Path| path.starts_with("/home/me") || path.starts_with("/data") || path.starts_with("/etc");
        for missing in ["/home/me", "/home/me/other", "/Users/somebody/x", "/home/me/srcs"] {
            assert!(is_missing(missing, &shares(), here), "{missing}");
        }
        if cfg!(windows) {
            assert!(is_missing("/d/x", &shares(), |path| path == Path::new("d:\\x")));
            assert!(!is_missing("//host/share", &shares(), |path| panic!("{} was looked at", path.display())));
        } else {
            assert!(is_missing("/data/x", &shares(), here));
        }
        for fine in
            ["/home/me/src", "/home/me/src/deep/er", "/etc/localtime", "/var/run/docker.sock", "/", "/srv/only/there"]
        {
            assert!(!is_missing(fine, &shares(), here), "{fine}");
        }
    }

    #[test]
    fn a_container_is_told_of_while_it_runs() {
        let (_keep, shares) = watch::channel(shares());
        let unshared = Unshared::new(shares);
        let container = |source: &str| {
            let json = serde_json::json!({ "Names": ["/web"], "Mounts": [{ "Type": "bind", "Source": source }] });
            serde_json::from_value::<ContainerSummary>(json).unwrap()
        };
        unshared.running(&[container("/Users/me/not-shared")]);
        let [warning] = unshared.warnings("dev").try_into().unwrap();
        assert!(warning.contains("container web mounts /Users/me/not-shared"), "{warning}");
        assert!(warning.contains("machine share add dev /Users/me/not-shared"), "{warning}");
        unshared.running(&[]);
        assert_eq!(unshared.warnings("dev").len(), 1, "just ended");
        unshared.lock().values_mut().for_each(|seen| seen.last = Instant::now().checked_sub(MEMORY).unwrap());
        unshared.running(&[]);
        assert!(unshared.warnings("dev").is_empty());
        unshared.running(&[container("/home/me/src")]);
        assert!(unshared.warnings("dev").is_empty());
    }
}
