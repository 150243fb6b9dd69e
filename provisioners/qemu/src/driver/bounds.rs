//! How large a machine may be on this computer: what a front end offers before anybody asks for too much.

use machine_core::{EngineSpec, MachineSpec};
use serde::Serialize;

use super::preflight;
use crate::facts::HostFacts;
use crate::plan::LEAST_MEMORY_MIB;

/// The range of one wish, and what is taken where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// Less does not work.
    pub least: u64,
    /// More makes no sense here.
    pub most: u64,
    /// What `create` takes by itself.
    pub usual: u64,
}

/// The ranges of a machine's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizeBounds {
    /// Virtual CPUs: this computer's at most.
    pub cpus: Range,
    /// Memory, MiB: three quarters of this computer's at most; beyond that `create` warns.
    pub memory_mib: Range,
    /// Size of the disk, MiB: no more than can fill up here.
    pub disk_mib: Range,
}

/// The ranges on a computer with `room` bytes free where machines are kept (`None` when that is unknown).
pub fn size_bounds(facts: &HostFacts, room: Option<u64>) -> SizeBounds {
    let mut usual = MachineSpec {
        cpus: 0,
        memory_mib: 0,
        disk_mib: 0,
        image: None,
        ssh_user: String::new(),
        tls_san: Vec::new(),
        publish: Default::default(),
        shares: Vec::new(),
        share_type: Default::default(),
        engine: EngineSpec::default(),
        options: serde_json::Map::new(),
    };
    preflight::fill_in(&mut usual, facts);
    let range = |least: u64, most: u64, usual: u64| Range { least, most: most.max(usual), usual };
    let memory = if facts.memory_mib == 0 { usual.memory_mib } else { facts.memory_mib / 4 * 3 };
    let room_mib = room.map_or(usual.disk_mib, |room| room >> 20);
    SizeBounds {
        cpus: range(1, facts.cpus.into(), usual.cpus.into()),
        memory_mib: range(LEAST_MEMORY_MIB, memory, usual.memory_mib),
        disk_mib: range(preflight::LEAST_DISK_MIB, room_mib.min(preflight::MOST_DISK_MIB), usual.disk_mib),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::probe_host;

    #[test]
    fn what_create_takes_by_itself_is_within_the_ranges_of_every_computer() {
        for (cpus, memory_mib, room) in [(1, 1024, Some(0)), (2, 8192, Some(30 << 30)), (64, 0, None)] {
            let facts = HostFacts { cpus, memory_mib, ..probe_host() };
            let bounds = size_bounds(&facts, room);
            for range in [bounds.cpus, bounds.memory_mib, bounds.disk_mib] {
                assert!(range.usual <= range.most, "{cpus} CPUs, {memory_mib} MiB: {range:?}");
            }
            assert_eq!(bounds.cpus.most, u64::from(cpus));
        }
    }

    #[test]
    fn a_disk_that_could_not_fill_up_is_not_offered() {
        let bounds = size_bounds(&probe_host(), Some(100 << 30));
        assert_eq!(bounds.disk_mib, Range { least: 1024, most: 100 << 10, usual: 20 << 10 });
    }
}
