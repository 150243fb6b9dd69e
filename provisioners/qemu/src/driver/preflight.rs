//! What is checked and filled in before anything is made.

use machine_core::{Code, Error, MachineSpec, Reporter, Result};
use machine_images::Image;
use std::path::Path;

use super::options::QemuOptions;
use crate::facts::HostFacts;
use crate::free_space::free_space;
use crate::machine_files::{MachineFiles, check_socket_length};
use crate::plan::{PlanInput, check_carrier, plan};
use crate::verdict::Verdicts;

/// The disk of containers, images and volumes, where nothing else is asked for, MiB. It takes space only as it fills.
const DISK_MIB: u64 = 20 * 1024;
/// The smallest one that is of use, MiB.
pub(super) const LEAST_DISK_MIB: u64 = 1024;
/// The largest one: ext4 with blocks of 4 KiB ends there, MiB.
pub(super) const MOST_DISK_MIB: u64 = 16 * 1024 * 1024;
/// Without this much room a machine does not get through its first boot, bytes.
const LEAST_ROOM: u64 = 1 << 30;

/// Fills in what `spec` left open (zeros).
pub(crate) fn fill_in(spec: &mut MachineSpec, facts: &HostFacts) {
    if spec.cpus == 0 {
        // Half of a large computer, at most four; two where there are two.
        spec.cpus = (facts.cpus / 2).clamp(2, 4).min(facts.cpus.max(1));
    }
    if spec.memory_mib == 0 {
        spec.memory_mib = (facts.memory_mib / 2).min(2048);
    }
    if spec.disk_mib == 0 {
        spec.disk_mib = DISK_MIB;
    }
}

/// Checks that this computer can carry `spec` on `image`, and warns of what it will be like.
pub(crate) fn check(
    spec: &MachineSpec,
    image: &Image,
    facts: &HostFacts,
    verdicts: &Verdicts,
    runtime: &Path,
    storage: &Path,
    reporter: &Reporter,
) -> Result<()> {
    let options = QemuOptions::of(spec)?;
    check_socket_length(runtime)?;
    check_disk(spec.disk_mib)?;
    let carrier = spec.share_type.carrier();
    if carrier.is_device() {
        check_carrier(facts, carrier)?;
    }
    // The names are those of a machine yet to be made; their lengths are right.
    let token = uuid::Uuid::nil().to_string();
    let files = MachineFiles::new(&storage.join("machine"), runtime, &token);
    let planned = plan(&PlanInput {
        facts,
        machine: "machine",
        cpus: spec.cpus,
        memory_mib: spec.memory_mib,
        image,
        paths: &files.for_qemu(),
        token: &token,
        accelerator: options.accelerator()?,
        verdicts,
        extra_arguments: &options.arguments,
        folders: if carrier.is_device() { &spec.shares } else { &[] },
        carrier,
    })?;
    if !planned.folders.is_empty() {
        reporter.info(format!(
            "{carrier} carries its folders: it boots instead of beginning from a warm state, and cannot be suspended (SFTP allows both)"
        ));
    }
    for warning in planned.warnings {
        reporter.warn(warning);
    }
    if let Some(room) = free_space(storage) {
        check_room(room, spec.disk_mib, storage, reporter)?;
    }
    Ok(())
}

fn check_disk(disk_mib: u64) -> Result<()> {
    if (LEAST_DISK_MIB..=MOST_DISK_MIB).contains(&disk_mib) {
        return Ok(());
    }
    Err(Error::new(Code::PreCreate, format!("a disk of {disk_mib} MiB is out of bounds"))
        .hint(format!("use {LEAST_DISK_MIB} to {MOST_DISK_MIB} MiB; it takes space only as it fills")))
}

fn check_room(room: u64, disk_mib: u64, storage: &Path, reporter: &Reporter) -> Result<()> {
    let room_mib = room >> 20;
    if room < LEAST_ROOM {
        return Err(Error::new(
            Code::PreCreate,
            format!(
                "only {room_mib} MiB are free at {}, a machine needs {} MiB to begin with",
                storage.display(),
                LEAST_ROOM >> 20
            ),
        )
        .hint("free some space there, or keep machines elsewhere with --storage-path"));
    }
    if room_mib < disk_mib {
        reporter.warn(format!(
            "{room_mib} MiB are free at {}: the machine's disk of {disk_mib} MiB cannot fill up",
            storage.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use machine_core::{EngineSpec, EventKind};

    use super::*;
    use crate::probe::probe_host;

    fn open() -> MachineSpec {
        MachineSpec {
            cpus: 0,
            memory_mib: 0,
            disk_mib: 0,
            image: None,
            ssh_user: "docker".into(),
            tls_san: Vec::new(),
            publish: Default::default(),
            shares: Vec::new(),
            share_type: Default::default(),
            engine: EngineSpec::default(),
            options: serde_json::Map::new(),
        }
    }

    #[test]
    fn what_was_left_open_fits_the_computer_and_what_was_asked_for_stays() {
        for (cpus, memory_mib, expected) in
            [(1, 1024, (1, 512)), (2, 8192, (2, 2048)), (6, 3000, (3, 1500)), (64, 65536, (4, 2048))]
        {
            let facts = HostFacts { cpus, memory_mib, ..probe_host() };
            let mut spec = open();
            fill_in(&mut spec, &facts);
            assert_eq!((spec.cpus, spec.memory_mib, spec.disk_mib), (expected.0, expected.1, 20480));
            let asked = MachineSpec { cpus: 7, memory_mib: 333, disk_mib: 4444, ..open() };
            let mut spec = asked.clone();
            fill_in(&mut spec, &facts);
            assert_eq!(spec, asked);
        }
    }

    #[test]
    fn disks_that_cannot_be_and_volumes_without_room_are_refused() {
        check_disk(1024).unwrap();
        assert_eq!(check_disk(1023).unwrap_err().code(), Code::PreCreate);
        assert_eq!(check_disk(u64::MAX).unwrap_err().code(), Code::PreCreate);

        let said = Arc::new(Mutex::new(Vec::new()));
        let reporter = Reporter::new({
            let said = said.clone();
            move |kind| {
                if let EventKind::Message { text, .. } = kind {
                    said.lock().unwrap().push(text);
                }
            }
        });
        let storage = Path::new("/s");
        check_room(3 << 30, 3072, storage, &reporter).unwrap();
        assert_eq!(said.lock().unwrap().len(), 0);
        check_room(3 << 30, 4096, storage, &reporter).unwrap();
        assert_eq!(*said.lock().unwrap(), ["3072 MiB are free at /s: the machine's disk of 4096 MiB cannot fill up"]);
        assert!(
            check_room(5 << 20, 4096, storage, &reporter)
                .unwrap_err()
                .to_string()
                .contains("only 5 MiB are free at /s")
        );
    }
}
