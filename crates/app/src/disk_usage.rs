//! `df`: what of this computer's disk lies where.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_core::{MachineName, Result};
use machine_qemu::WarmRow;
use machine_ssh::Session;
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::store::does_not_exist;

/// How long it may take to let us in.
const LOGIN_LIMIT: Duration = Duration::from_secs(5);
/// How long a machine may take to say what is in it.
const INSIDE_LIMIT: Duration = Duration::from_secs(20);
/// Disks of machines, in the order in which they are shown.
const DISKS: [&str; 3] = ["os.qcow2", "data.qcow2", "os.next.qcow2"];
/// What a running machine is asked: its file system, and Docker's own account of it where a client is there.
const ASK: &str =
    "df -B1 -P /var/lib/docker 2>/dev/null | tail -n 1; docker system df --format '{{json .}}' 2>/dev/null; true";

/// What lies where; all sizes in bytes, as taken on the disk.
#[derive(Clone, Debug, Serialize)]
pub struct DiskUsage {
    /// The store.
    pub store: PathBuf,
    /// What its volume has left.
    pub free: Option<u64>,
    /// All of the store and of the images.
    pub total: u64,
    /// Images that are here.
    pub images: Vec<ImageUse>,
    /// Saved states that machines begin from.
    pub warm: Vec<WarmRow>,
    /// Machines.
    pub machines: Vec<MachineUse>,
    /// Everything else: certificates, locks, downloads under way.
    pub other: u64,
}

/// What an image takes.
#[derive(Clone, Debug, Serialize)]
pub struct ImageUse {
    /// Its name and the beginning of its digest.
    pub reference: String,
    /// Its size.
    pub bytes: u64,
    /// Whether new machines of its name are made from it.
    pub current: bool,
    /// The machines that need it.
    pub machines: Vec<String>,
}

/// What a machine takes.
#[derive(Clone, Debug, Serialize)]
pub struct MachineUse {
    /// Its name.
    pub name: String,
    /// All of its folder.
    pub bytes: u64,
    /// Its disks.
    pub disks: Vec<DiskUse>,
    /// What it says of its inside, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<Inside>,
}

/// What a disk takes.
#[derive(Clone, Debug, Serialize)]
pub struct DiskUse {
    /// Its file.
    pub file: &'static str,
    /// What it takes.
    pub bytes: u64,
    /// What it could come to, as the guest sees it.
    pub virtual_bytes: Option<u64>,
}

/// What a running machine says of the file system that has containers, images and volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inside {
    /// What is used of it.
    pub used: u64,
    /// Its size.
    pub size: u64,
    /// `docker system df`, line by line, where the machine has a Docker client.
    pub docker: Vec<Value>,
}

impl App {
    /// What lies where. Of `names`, or all machines when there are none; those that run are asked side by side, each within twenty
    /// seconds, and one that does not answer costs only its own inside.
    ///
    /// # Errors
    /// A machine that does not exist, or a store that cannot be listed.
    pub async fn disk_usage(&self, names: &[MachineName]) -> Result<DiskUsage> {
        if let Some(name) = names.iter().find(|name| !self.store.exists(name)) {
            return Err(does_not_exist(name));
        }
        let all = self.names()?;
        let chosen = |name: &String| names.is_empty() || names.iter().any(|chosen| chosen.as_str() == name);
        let asked: Vec<_> = all
            .iter()
            .filter(|name| chosen(name))
            .map(|name| {
                let (app, name) = (self.clone(), name.clone());
                tokio::spawn(async move { app.machine_use(name).await })
            })
            .collect();
        let mut machines = Vec::new();
        for machine in asked {
            machines.extend(machine.await.ok());
        }
        let images = self.images().unwrap_or_default();
        let warm = self.warm_states().list();
        let images: Vec<ImageUse> = images
            .into_iter()
            .filter_map(|image| {
                let digest = image.digest?;
                let reference = format!("{}@{digest}", image.name);
                Some(ImageUse {
                    reference,
                    bytes: image.size.unwrap_or_default(),
                    current: image.current,
                    machines: image.machines,
                })
            })
            .collect();
        let store = &self.environment.store;
        let outside = if self.environment.images.starts_with(store) { 0 } else { taken(&self.environment.images) };
        let total = taken(store) + outside;
        let named: u64 = images.iter().map(|image| image.bytes).sum::<u64>()
            + warm.iter().map(|state| state.bytes).sum::<u64>()
            + taken(&store.join("machines"));
        Ok(DiskUsage {
            store: store.clone(),
            free: machine_qemu::free_space(store),
            total,
            images,
            warm,
            machines,
            other: total.saturating_sub(named),
        })
    }

    async fn machine_use(&self, name: String) -> MachineUse {
        let folder = self.environment.store.join("machines").join(&name);
        let inside = match name.parse() {
            Ok(name) => self.inside(&name).await,
            Err(_) => None,
        };
        MachineUse { bytes: taken(&folder), disks: disks(&folder), name, inside }
    }

    /// What a machine says of its inside; nothing where it is off or does not say.
    async fn inside(&self, name: &MachineName) -> Option<Inside> {
        let target = self.ssh_target(name).ok()?;
        let asked = machine_ssh::blocking(move || {
            let mut session = Session::connect(&target, LOGIN_LIMIT)?;
            session.exec(ASK, INSIDE_LIMIT)?.text("cannot ask what is in it")
        });
        Inside::parse(&tokio::time::timeout(INSIDE_LIMIT, asked).await.ok()?.ok()?)
    }
}

impl Inside {
    /// Reads what [`ASK`] prints: a line of `df -B1 -P`, then JSON lines.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut words = lines.next()?.split_ascii_whitespace().skip(1);
        let (size, used) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { used, size, docker: lines.filter_map(|line| serde_json::from_str(line).ok()).collect() })
    }
}

/// The disks in a machine's folder.
pub(crate) fn disks(folder: &Path) -> Vec<DiskUse> {
    let there = DISKS.into_iter().filter_map(|file| {
        let path = folder.join(file);
        let facts = path.symlink_metadata().ok()?;
        Some(DiskUse { file, bytes: allocated(&facts), virtual_bytes: virtual_size(&path) })
    });
    there.collect()
}

/// The size of a qcow2 disk as its guest sees it (QEMU, docs/interop/qcow2.txt: bytes 24 to 31 of the header).
fn virtual_size(path: &Path) -> Option<u64> {
    let mut head = [0; 32];
    fs::File::open(path).ok()?.read_exact(&mut head).ok()?;
    let size = u64::from_be_bytes(head[24..].try_into().ok()?);
    head.starts_with(b"QFI\xfb").then_some(size)
}

/// What everything below a folder takes, bytes. Links are not followed.
fn taken(root: &Path) -> u64 {
    let mut total = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(facts) = entry.path().symlink_metadata() else { continue };
            total += allocated(&facts);
            if facts.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    total
}

/// What a file takes on its disk: a sparse one less than its length.
#[cfg(unix)]
fn allocated(facts: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    facts.blocks() * 512
}

#[cfg(not(unix))]
fn allocated(facts: &fs::Metadata) -> u64 {
    facts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_says_of_its_inside_is_read_with_and_without_a_docker_client() {
        let line = "/dev/vdb 20957446144 1073741824 18786398208 6% /var/lib/docker\n";
        let inside = Inside::parse(line).unwrap();
        assert_eq!((inside.size, inside.used, inside.docker.len()), (20_957_446_144, 1_073_741_824, 0));
        let docker = format!("{line}{{\"Type\":\"Images\",\"Size\":\"1GB\",\"Reclaimable\":\"500MB\"}}\nwarning: x\n");
        assert_eq!(Inside::parse(&docker).unwrap().docker[0]["Type"], "Images");
        for wrong in ["", "df: no such folder", "a b c"] {
            assert_eq!(Inside::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_size_that_a_guest_sees_stands_in_the_header() {
        let folder = tempfile::tempdir().unwrap();
        let mut head = vec![0; 512];
        head[..4].copy_from_slice(b"QFI\xfb");
        head[24..32].copy_from_slice(&(20_u64 << 30).to_be_bytes());
        fs::write(folder.path().join("data.qcow2"), &head).unwrap();
        fs::write(folder.path().join("os.qcow2"), "no disk").unwrap();
        let found = disks(folder.path());
        assert_eq!(found.iter().map(|disk| disk.virtual_bytes).collect::<Vec<_>>(), [None, Some(20 << 30)]);
    }
}
