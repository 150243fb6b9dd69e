//! Facts of the computer itself.

use std::num::NonZero;

use machine_images::Arch;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::facts::{DeviceFact, HostFacts, HostOs};

/// Looks at this computer, not at QEMU: `qemu` of the result is none. Takes a few milliseconds.
pub fn probe_host() -> HostFacts {
    let memory = MemoryRefreshKind::nothing().with_ram();
    let system = System::new_with_specifics(RefreshKind::nothing().with_memory(memory)).ok();
    // A container may have less than the computer.
    let limit = system.as_ref().and_then(System::cgroup_limits).map_or(u64::MAX, |limits| limits.total_memory);
    let mut facts = HostFacts {
        os: HostOs::CURRENT,
        os_version: System::os_version().unwrap_or_default(),
        kernel: System::kernel_version().unwrap_or_default(),
        arch: if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::Amd64 },
        cpus: std::thread::available_parallelism().map_or(1, NonZero::get).try_into().unwrap_or(u32::MAX),
        memory_mib: system.as_ref().map_or(0, System::total_memory).min(limit) / (1024 * 1024),
        apple_sme: false,
        rosetta: false,
        kvm: kvm(),
        hv_support: None,
        qemu: None,
        virtiofsd: None,
    };
    if facts.os == HostOs::MacOs {
        apply_sysctl(&mut facts, &sysctl());
    }
    facts
}

/// Opening is the only honest question: groups, ACLs and containers all have a say.
fn kvm() -> DeviceFact {
    if HostOs::CURRENT != HostOs::Linux {
        return DeviceFact::Absent;
    }
    match std::fs::File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => DeviceFact::Present,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => DeviceFact::NotPermitted,
        Err(_) => DeviceFact::Absent,
    }
}

/// `name: value` lines; a name that this Mac does not know is left out (with a message on standard error).
fn sysctl() -> String {
    let mut command = std::process::Command::new("/usr/sbin/sysctl");
    command.args(["kern.hv_support", "hw.optional.arm.FEAT_SME", "sysctl.proc_translated"]);
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn apply_sysctl(facts: &mut HostFacts, lines: &str) {
    for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
        let on = value.trim() == "1";
        match name {
            "kern.hv_support" => facts.hv_support = Some(on),
            "hw.optional.arm.FEAT_SME" => facts.apple_sme = on,
            "sysctl.proc_translated" if on => {
                facts.rosetta = true;
                facts.arch = Arch::Arm64;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_known_by_its_sysctl_lines() {
        let mut facts = probe_host();
        facts.arch = Arch::Amd64;
        apply_sysctl(&mut facts, "kern.hv_support: 1\nhw.optional.arm.FEAT_SME: 1\nsysctl.proc_translated: 1\n");
        assert_eq!(
            (facts.hv_support, facts.apple_sme, facts.rosetta, facts.arch),
            (Some(true), true, true, Arch::Arm64)
        );

        let mut intel = probe_host();
        intel.arch = Arch::Amd64;
        apply_sysctl(&mut intel, "kern.hv_support: 0\n");
        assert_eq!(
            (intel.hv_support, intel.apple_sme, intel.rosetta, intel.arch),
            (Some(false), false, false, Arch::Amd64)
        );
    }

    #[test]
    fn this_computer_has_cpus_memory_and_a_kernel() {
        let facts = probe_host();
        assert!(facts.cpus > 0 && facts.memory_mib > 0 && !facts.kernel.is_empty(), "{facts:?}");
        assert!(facts.qemu.is_none());
    }
}
