//! What a machine uses of this computer.

use std::path::Path;

use machine_core::Usage;

use crate::machine_files::{data_disk, os_disk};
use crate::run_file::RunFile;

/// What the machine in `dir` uses: of its process while that lives, of its disks always.
pub(super) fn of(dir: &Path) -> Usage {
    let running = RunFile::read(dir).and_then(|run| run.qemu.usage());
    Usage {
        cpu_time: running.map(|(cpu_time, _)| cpu_time),
        memory: running.map(|(_, memory)| memory),
        disk: [os_disk(dir), data_disk(dir)].iter().map(|disk| allocated(disk)).sum(),
    }
}

/// What a file takes on its disk, bytes: a sparse one less than its length.
#[cfg(unix)]
fn allocated(file: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    // In units of 512 bytes on every system (POSIX leaves it open; Linux and macOS agree: stat(2)).
    std::fs::metadata(file).map_or(0, |facts| facts.blocks() * 512)
}

/// A qcow2 file is not sparse: its length is what it takes.
#[cfg(not(unix))]
fn allocated(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |facts| facts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_does_not_run_uses_what_its_disks_take() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of(folder.path()), Usage { cpu_time: None, memory: None, disk: 0 });
        std::fs::write(data_disk(folder.path()), vec![1; 1 << 20]).unwrap();
        let usage = of(folder.path());
        assert!(usage.disk >= 1 << 20 && usage.memory.is_none(), "{usage:?}");
    }
}
