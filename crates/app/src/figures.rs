//! What a container uses, from the engine's counters.

use machine_docker::ContainerStatsResponse;
use serde::Serialize;

/// What a container uses now, and has moved since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Of one CPU, in thousandths: 2000 is two CPUs.
    pub cpu_permille: u64,
    /// Without what the kernel keeps of files that it may drop, bytes.
    pub memory_bytes: u64,
    /// What it may use, bytes.
    pub memory_limit_bytes: u64,
    /// Received, bytes.
    pub network_in_bytes: u64,
    /// Sent, bytes.
    pub network_out_bytes: u64,
    /// Read from disks, bytes.
    pub disk_read_bytes: u64,
    /// Written to disks, bytes.
    pub disk_write_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
}

/// As `docker stats` computes them (docker/cli, `cli/command/container/stats_helpers.go`). None before the second measurement, and
/// of a container that does not run.
pub(crate) fn figures(stats: &ContainerStatsResponse) -> Option<Figures> {
    let total = |stats: &Option<machine_docker::ContainerCpuStats>| {
        stats.as_ref().and_then(|cpu| Some((cpu.cpu_usage.as_ref()?.total_usage?, cpu.system_cpu_usage?)))
    };
    let (used, system) = total(&stats.cpu_stats)?;
    let (used_before, system_before) = total(&stats.precpu_stats)?;
    let cpus = stats.cpu_stats.as_ref().and_then(|cpu| cpu.online_cpus).unwrap_or(1).max(1);
    let elapsed = system.checked_sub(system_before).filter(|elapsed| *elapsed > 0)?;
    let spent = used.saturating_sub(used_before);
    let memory = stats.memory_stats.as_ref();
    let kept = memory.and_then(|memory| memory.stats.as_ref()).and_then(|of| {
        // cgroup v1 and v2.
        of.get("total_inactive_file").or_else(|| of.get("inactive_file")).copied()
    });
    let usage = memory.and_then(|memory| memory.usage).unwrap_or(0);
    let networks = || stats.networks.iter().flat_map(|networks| networks.values());
    let moved = |what: &str| {
        let entries = stats.blkio_stats.iter().flat_map(|disk| disk.io_service_bytes_recursive.iter().flatten());
        entries
            .filter(|entry| entry.op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case(what)))
            .filter_map(|entry| entry.value)
            .sum()
    };
    Some(Figures {
        cpu_permille: spent.saturating_mul(u64::from(cpus)).saturating_mul(1000) / elapsed,
        memory_bytes: usage.saturating_sub(kept.unwrap_or(0)),
        memory_limit_bytes: memory.and_then(|memory| memory.limit).unwrap_or(0),
        network_in_bytes: networks().filter_map(|network| network.rx_bytes).sum(),
        network_out_bytes: networks().filter_map(|network| network.tx_bytes).sum(),
        disk_read_bytes: moved("read"),
        disk_write_bytes: moved("write"),
        processes: stats.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_those_of_docker_stats() {
        let cpu = |total: u64, system: u64| json!({"cpu_usage": {"total_usage": total}, "system_cpu_usage": system, "online_cpus": 4});
        let stats = json!({
            "cpu_stats": cpu(300, 5000), "precpu_stats": cpu(100, 1000),
            "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"inactive_file": 400}},
            "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
            "blkio_stats": {"io_service_bytes_recursive": [
                {"op": "Read", "value": 5}, {"op": "write", "value": 7}, {"op": "read", "value": 1}]},
            "pids_stats": {"current": 3},
        });
        let seen = figures(&serde_json::from_value(stats).unwrap()).unwrap();
        assert_eq!((seen.cpu_permille, seen.memory_bytes, seen.memory_limit_bytes), (200, 600, 4000));
        assert_eq!((seen.network_in_bytes, seen.network_out_bytes), (11, 22));
        assert_eq!((seen.disk_read_bytes, seen.disk_write_bytes, seen.processes), (6, 7, 3));
    }

    #[test]
    fn a_container_that_does_not_run_has_none() {
        let stats = json!({"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "precpu_stats": {}, "memory_stats": {}});
        assert_eq!(figures(&serde_json::from_value(stats).unwrap()), None);
    }
}
