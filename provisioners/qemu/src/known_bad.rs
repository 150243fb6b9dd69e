//! What is known not to work, and what to do instead: a table with sources, used by the plan and by `doctor`.

use machine_images::Arch;

use crate::facts::{Accelerator, HostFacts, HostOs, Version};

/// What is done about a known fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// This is appended to the CPU model.
    CpuFeatures(&'static str),
    /// This CPU model is used instead.
    CpuModel(&'static str),
    /// The guest gets no more memory than this, MiB.
    MemoryAtMost(u64),
    /// Its state is neither saved nor gone on from: every start is a boot.
    Boot,
    /// Nothing but another version of QEMU (or of the host's system) helps: the user is told so.
    Upgrade,
}

/// One combination that is known to fail. A condition that is `None` holds always.
#[derive(Clone, Copy, Debug)]
pub struct KnownBad {
    /// A stable name.
    pub id: &'static str,
    /// What goes wrong.
    pub what: &'static str,
    /// Where this is known from.
    pub source: &'static str,
    /// What is done about it.
    pub remedy: Remedy,
    /// What the user can do; none where the remedy costs nothing and nobody needs to know.
    pub advice: Option<&'static str>,
    accelerator: Option<Accelerator>,
    qemu_from: Option<Version>,
    qemu_before: Option<Version>,
    host_os: Option<HostOs>,
    host_from: Option<Version>,
    host_before: Option<Version>,
    apple_sme: Option<bool>,
    guest: Option<Arch>,
    guest_kernel_from: Option<Version>,
}

/// The run that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The host and its QEMU.
    pub facts: &'a HostFacts,
    /// What the guest's instructions run on.
    pub accelerator: Accelerator,
    /// The guest's architecture.
    pub guest: Arch,
    /// The release of the guest's kernel; what is not known is taken for recent.
    pub guest_kernel: Option<&'a str>,
}

const ANYTHING: KnownBad = KnownBad {
    id: "",
    what: "",
    source: "",
    remedy: Remedy::Upgrade,
    advice: None,
    accelerator: None,
    qemu_from: None,
    qemu_before: None,
    host_os: None,
    host_from: None,
    host_before: None,
    apple_sme: None,
    guest: None,
    guest_kernel_from: None,
};

/// Everything that is known.
pub const KNOWN_BAD: &[KnownBad] = &[
    KnownBad {
        id: "tcg-cmpxchg16b",
        what: "guests with recent kernels panic under software emulation: QEMU before 8.0 corrupts the flags in cmpxchg16b",
        source: "measured with QEMU 7.2.22 and Linux 6.12.95 under memory allocation load: 6 of 6 boots panicked within 25 s with \
                 `-cpu max`, 0 of 6 with `max,-cx16`; Linux 6.1.192 did not panic in 3; QEMU 10.0.2 does not panic; that 8.0 is the first good one follows from its new code for the instruction (target/i386: Inline cmpxchg16b) and was not tried",
        remedy: Remedy::CpuFeatures(",-cx16"),
        advice: Some(
            "the instruction is hidden from the guest, so programs that insist on x86-64-v2 will not run in it: install QEMU 8.0 or \
             later (Debian 12 has 10.0 in bookworm-backports)",
        ),
        accelerator: Some(Accelerator::Tcg),
        qemu_before: Some(Version::new(8, 0, 0)),
        guest: Some(Arch::Amd64),
        guest_kernel_from: Some(Version::new(6, 2, 0)),
        ..ANYTHING
    },
    KnownBad {
        id: "whpx-saved-states",
        what: "WHPX cannot save the state of a guest's CPUs",
        source: "target/i386/whpx/whpx-all.c of QEMU 2.12 to 10.1 adds a migration blocker (\"State blocked due to non-migratable CPUID \
                 feature support, dirty memory tracking support, and XSAVE/XRSTOR support\"); not tried here",
        remedy: Remedy::Boot,
        advice: None,
        accelerator: Some(Accelerator::Whpx),
        ..ANYTHING
    },
    KnownBad {
        id: "states-in-files",
        what: "QEMU saves states to plain files since 8.2",
        source: "`file:` among the URIs of migration, QEMU 8.2 (https://wiki.qemu.org/ChangeLog/8.2)",
        remedy: Remedy::Boot,
        advice: None,
        qemu_before: Some(Version::new(8, 2, 0)),
        ..ANYTHING
    },
    KnownBad {
        id: "tcg-windows-11.0.0",
        what: "the first packages of QEMU 11.0.0 for Windows break systemd under software emulation",
        source: "https://github.com/lima-vm/lima/issues/4880",
        remedy: Remedy::Upgrade,
        advice: Some("install QEMU 11.1.1 or later"),
        accelerator: Some(Accelerator::Tcg),
        qemu_from: Some(Version::new(11, 0, 0)),
        qemu_before: Some(Version::new(11, 0, 1)),
        host_os: Some(HostOs::Windows),
        ..ANYTHING
    },
    KnownBad {
        id: "whpx-cpu-host",
        what: "`-cpu host` and `-cpu max` fail under WHPX before QEMU 11.1.1 (\"Unexpected VP exit code 4\")",
        source: "https://github.com/lima-vm/lima/issues/5455",
        // QEMU's most modest 64-bit model, which Lima runs under WHPX, with what makes it x86-64-v2.
        remedy: Remedy::CpuModel("qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt"),
        advice: None,
        accelerator: Some(Accelerator::Whpx),
        qemu_before: Some(Version::new(11, 1, 1)),
        guest: Some(Arch::Amd64),
        ..ANYTHING
    },
    KnownBad {
        id: "hvf-intel-avx512vl",
        what: "AVX-512VL and 1 GiB pages are offered to guests on Intel Macs although HVF cannot run them",
        source: "Lima's QEMU driver, which leaves both out on Intel Macs",
        remedy: Remedy::CpuFeatures(",-avx512vl,-pdpe1gb"),
        advice: None,
        accelerator: Some(Accelerator::Hvf),
        guest: Some(Arch::Amd64),
        ..ANYTHING
    },
    KnownBad {
        id: "hvf-sme",
        what: "`-cpu host` fails or misbehaves on Apple M4 and later, whose CPU has SME",
        source: "https://gitlab.com/qemu-project/qemu/-/issues/2665, https://gitlab.com/qemu-project/qemu/-/issues/2721",
        remedy: Remedy::CpuModel("max"),
        advice: None,
        accelerator: Some(Accelerator::Hvf),
        apple_sme: Some(true),
        guest: Some(Arch::Arm64),
        ..ANYTHING
    },
    KnownBad {
        id: "hvf-sme-9.2.1",
        what: "QEMU 9.2.1 as packaged for macOS does not start guests on Apple M4 and later",
        source: "https://github.com/lima-vm/lima/issues/3226",
        remedy: Remedy::Upgrade,
        advice: Some("install QEMU 10 or later (`brew upgrade qemu`) and keep macOS at 15.3 or later"),
        accelerator: Some(Accelerator::Hvf),
        qemu_from: Some(Version::new(9, 2, 1)),
        qemu_before: Some(Version::new(10, 0, 0)),
        apple_sme: Some(true),
        guest: Some(Arch::Arm64),
        ..ANYTHING
    },
    KnownBad {
        id: "hvf-sdk-11.0",
        what: "QEMU 11.0 that was built with an SDK older than macOS 15 ends with an assertion in hvf_arch_init_vcpu",
        source: "https://github.com/NixOS/nixpkgs/issues/532038",
        remedy: Remedy::Upgrade,
        advice: Some("if it does, install QEMU from Homebrew, or a later version"),
        accelerator: Some(Accelerator::Hvf),
        qemu_from: Some(Version::new(11, 0, 0)),
        qemu_before: Some(Version::new(11, 1, 0)),
        host_from: Some(Version::new(15, 2, 0)),
        guest: Some(Arch::Arm64),
        ..ANYTHING
    },
    KnownBad {
        id: "hvf-3-gib",
        what: "a guest with more than 3 GiB makes macOS 12.3 and earlier panic on Apple silicon",
        source: "Lima's QEMU driver, which caps memory there",
        remedy: Remedy::MemoryAtMost(3072),
        advice: Some("upgrade macOS"),
        accelerator: Some(Accelerator::Hvf),
        host_before: Some(Version::new(12, 4, 0)),
        guest: Some(Arch::Arm64),
        ..ANYTHING
    },
];

impl KnownBad {
    fn applies(&self, now: &Situation<'_>) -> bool {
        let Some(qemu) = &now.facts.qemu else { return false };
        let host = Version::leading(&now.facts.os_version);
        // What is not known does not keep an entry from applying.
        let from = |bound: Option<Version>, value: Option<Version>| {
            bound.is_none_or(|bound| value.is_none_or(|value| value >= bound))
        };
        let before = |bound: Option<Version>, value: Option<Version>| {
            bound.is_none_or(|bound| value.is_none_or(|value| value < bound))
        };
        self.accelerator.is_none_or(|accelerator| accelerator == now.accelerator)
            && from(self.qemu_from, Some(qemu.version))
            && before(self.qemu_before, Some(qemu.version))
            && self.host_os.is_none_or(|os| os == now.facts.os)
            && from(self.host_from, host)
            && before(self.host_before, host)
            && self.apple_sme.is_none_or(|sme| sme == now.facts.apple_sme)
            && self.guest.is_none_or(|guest| guest == now.guest)
            && from(self.guest_kernel_from, now.guest_kernel.and_then(Version::leading))
    }
}

/// The known faults that the run `now` would meet.
pub fn matches(now: &Situation<'_>) -> Vec<&'static KnownBad> {
    KNOWN_BAD.iter().filter(|known| known.applies(now)).collect()
}

/// The oldest QEMU that is used on a host; the reasons are beside it.
pub fn oldest_supported(os: HostOs, _arch: Arch) -> Version {
    match os {
        // Debian 12's, and the oldest that this program was run with.
        HostOs::Linux => Version::new(7, 2, 0),
        // Lima's limit for Apple silicon, which it advises on Intel too.
        HostOs::MacOs => Version::new(8, 2, 1),
        // Lima's limit: 11.0 made WHPX work with the interrupt controller in the hypervisor.
        HostOs::Windows => Version::new(11, 0, 0),
    }
}

/// Why nothing older is used, for people.
pub fn why_oldest(os: HostOs) -> &'static str {
    match os {
        HostOs::Linux => "the oldest that `machine` was tried with",
        HostOs::MacOs => "earlier ones fail on recent macOS",
        HostOs::Windows => "earlier ones do not run Linux guests reliably under Windows' hypervisor",
    }
}

/// The hypervisor of an operating system.
pub fn hypervisor_of(os: HostOs) -> Accelerator {
    match os {
        HostOs::Linux => Accelerator::Kvm,
        HostOs::MacOs => Accelerator::Hvf,
        HostOs::Windows => Accelerator::Whpx,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_named_once_and_has_a_source_and_a_reason() {
        let mut ids = std::collections::HashSet::new();
        for known in KNOWN_BAD {
            assert!(ids.insert(known.id), "{} is there twice", known.id);
            assert!(known.what.len() > 20 && known.source.len() > 10, "{known:?}");
            assert!(known.remedy != Remedy::Upgrade || known.advice.is_some(), "{}: an upgrade is advice", known.id);
        }
    }
}
