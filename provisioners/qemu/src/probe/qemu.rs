//! Facts of the QEMU that is used.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use machine_core::{Code, Error, Result, ResultExt};
use machine_images::Arch;

use super::host::probe_host;
use super::places::{Search, img_name, program_names};
use super::virtiofsd;
use crate::facts::{Accelerator, HostFacts, HostOs, QemuFacts, Version};
use crate::known_bad::{Remedy, Situation, matches, oldest_supported};
use crate::qemu_command::{Answer, ask, install_hint_for};
use crate::{firmware, known_bad};

/// Looks at this computer and at the QEMU for guests of architecture `guest`. Blocking; starts a few short processes.
///
/// # Errors
/// As [`probe_qemu`].
pub fn probe(search: &Search, guest: Arch) -> Result<HostFacts> {
    let mut facts = probe_host();
    facts.qemu = probe_qemu(search, guest, &facts)?;
    facts.virtiofsd = virtiofsd::find(search, facts.os);
    Ok(facts)
}

/// Finds the QEMU for guests of architecture `guest` and asks it what it can do. Of several that were found the newest is
/// taken that is not known to be bad. No QEMU at all is a fact, not an error.
///
/// # Errors
/// When the program that the user named is not QEMU, the only ones that were found do not run, or there is no `qemu-img`.
pub fn probe_qemu(search: &Search, guest: Arch, host: &HostFacts) -> Result<Option<QemuFacts>> {
    let folders = search.folders(host.os);
    match &search.explicit {
        Some(program) => {
            let version = ask_version(program).map_err(|error| {
                error
                    .with_code(Code::PreCreate)
                    .hint("check the QEMU program that you named")
                    .hint(install_hint_for(host.os, guest))
            })?;
            Ok(Some(look_closer(program.clone(), version, &folders, guest, host.os)?))
        }
        None => probe_among(&programs(&folders, program_names(host.os, guest)), &folders, guest, host),
    }
}

/// The QEMU files in `folders`, each once even when it is linked to from several.
fn programs(folders: &[PathBuf], names: &[&str]) -> Vec<PathBuf> {
    let mut seen = std::collections::HashSet::new();
    let mut found: Vec<PathBuf> =
        folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))).collect();
    found.retain(|file| file.is_file() && seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    found
}

/// Chooses among the QEMU files that were found.
pub(super) fn probe_among(
    programs: &[PathBuf],
    folders: &[PathBuf],
    guest: Arch,
    host: &HostFacts,
) -> Result<Option<QemuFacts>> {
    struct Candidate {
        rank: (bool, Version),
        program: PathBuf,
        version: (Version, String),
    }
    let mut best: Option<Candidate> = None;
    let mut failure = None;
    for program in programs {
        match ask_version(program) {
            Ok(version) => {
                let rank = (is_good(version.0, guest, host), version.0);
                // The first of two equals stays: the order is that of `PATH`.
                if best.as_ref().is_none_or(|other| rank > other.rank) {
                    best = Some(Candidate { rank, program: program.clone(), version });
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    match (best, failure) {
        (Some(found), _) => look_closer(found.program, found.version, folders, guest, host.os).map(Some),
        (None, Some(error)) => Err(error.with_code(Code::PreCreate).hint(install_hint_for(host.os, guest))),
        (None, None) => Ok(None),
    }
}

/// Whether nothing but an upgrade would help a machine under this version.
fn is_good(version: Version, guest: Arch, host: &HostFacts) -> bool {
    let mut facts = host.clone();
    facts.qemu = Some(QemuFacts {
        program: PathBuf::new(),
        fingerprint: String::new(),
        img: PathBuf::new(),
        guest,
        version,
        version_text: String::new(),
        accelerators: BTreeSet::new(),
        user_network: true,
        sandbox: false,
        nine_p: false,
        virtiofs: false,
        firmware: None,
    });
    let bad = [Accelerator::Tcg, known_bad::hypervisor_of(host.os)].into_iter().any(|accelerator| {
        let now = Situation { facts: &facts, accelerator, guest, guest_kernel: None };
        matches(&now).iter().any(|known| known.remedy == Remedy::Upgrade)
    });
    version >= oldest_supported(host.os, host.arch) && !bad
}

/// Asks a program for its version. Returns it with the line it stands in.
fn ask_version(program: &Path) -> Result<(Version, String)> {
    let answer = ask(program, &["--version"])?;
    // "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)"; RHEL's and Xen's builds begin the same.
    let line = answer
        .text
        .lines()
        .find_map(|line| line.trim().strip_prefix("QEMU emulator version ").map(|rest| (line, rest)));
    line.and_then(|(line, rest)| Version::leading(rest).map(|version| (version, line.trim().to_owned()))).ok_or_else(
        || {
            let said = answer.text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing").to_owned();
            Error::other(format!("{} is no QEMU that works: it answered {said:?} to --version", program.display()))
        },
    )
}

/// Asks the program that was chosen for all that a plan depends on.
fn look_closer(
    program: PathBuf,
    (version, version_text): (Version, String),
    folders: &[PathBuf],
    guest: Arch,
    os: HostOs,
) -> Result<QemuFacts> {
    // The questions are independent: five processes at once take hardly longer than one.
    let (accelerators, networks, sandbox, nine_p, virtiofs) = std::thread::scope(|scope| {
        let accelerators = scope.spawn(|| ask(&program, &["-accel", "help"]));
        // Any machine will do; arm64 has none by default and some versions insist on one.
        let networks = scope.spawn(|| ask(&program, &["-machine", "none", "-netdev", "help"]));
        // The device is there where the server is (CONFIG_VIRTFS); a build without fails to find it, one with tells its properties.
        let nine_p = scope.spawn(|| ask(&program, &["-machine", "none", "-device", "virtio-9p-pci,help"]));
        let virtiofs = scope.spawn(|| ask(&program, &["-machine", "none", "-device", "vhost-user-fs-pci,help"]));
        // A build without libseccomp does not know the option.
        let sandbox =
            os == HostOs::Linux && ask(&program, &["-sandbox", "on", "--version"]).is_ok_and(|answer| answer.success);
        let failed = || Error::other("a question to QEMU failed");
        let accelerators = accelerators.join().unwrap_or_else(|_| Err(failed()));
        let says = |answer: Result<Answer>, property: &str| answer.is_ok_and(|answer| answer.text.contains(property));
        let nine_p = nine_p.join().is_ok_and(|answer| says(answer, "mount_tag"));
        let virtiofs = virtiofs.join().is_ok_and(|answer| says(answer, "chardev"));
        (accelerators, networks.join().unwrap_or_else(|_| Err(failed())), sandbox, nine_p, virtiofs)
    });
    let accelerators = accelerators?.text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let user_network = networks?.text.lines().any(|line| line.trim() == "user");
    Ok(QemuFacts {
        fingerprint: fingerprint(&program)?,
        img: find_img(&program, folders, guest, os)?,
        firmware: firmware::find(os, &program, guest),
        guest,
        version,
        version_text,
        accelerators,
        user_network,
        sandbox,
        nine_p,
        virtiofs,
        program,
    })
}

/// `qemu-img`: beside the program, beside the file that it links to, or anywhere else where QEMU may be.
fn find_img(program: &Path, folders: &[PathBuf], guest: Arch, os: HostOs) -> Result<PathBuf> {
    let resolved = program.canonicalize().ok();
    let beside = [Some(program), resolved.as_deref()].into_iter().flatten().filter_map(Path::parent);
    beside
        .chain(folders.iter().map(PathBuf::as_path))
        .map(|folder| folder.join(img_name(os)))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Error::new(Code::PreCreate, format!("{} is there, but no {}", program.display(), img_name(os)))
                .hint(install_hint_for(os, guest))
        })
}

/// Something that changes when the file at `program` changes: its size and modification time. Facts kept under it need
/// no new probe while it stays the same.
///
/// # Errors
/// When the file cannot be looked at.
pub fn fingerprint(program: &Path) -> Result<String> {
    let data = std::fs::metadata(program).context(|| format!("cannot look at {}", program.display()))?;
    let modified = data.modified().context(|| format!("cannot look at {}", program.display()))?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(format!("{}-{}.{:09}", data.len(), since.as_secs(), since.subsec_nanos()))
}
