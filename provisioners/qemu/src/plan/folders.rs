//! Folders of this computer as devices, by 9p or virtiofs. They are known before the start: QEMU plugs none in later.

use std::path::{Path, PathBuf};

use machine_core::{Carrier, Code, Error, Result, SharedFolder};

use super::arguments::Line;
use super::request::{FolderDaemon, PlanInput};
use crate::facts::{HostFacts, HostOs, Version};
use crate::option_string::{escaped, text};

/// Each device takes one of 32 places on the bus, which has others too.
pub const MOST_FOLDERS: usize = 16;

/// The first virtiofsd that can make all files this user's (`--translate-uid`).
const OLDEST_VIRTIOFSD: Version = Version::new(1, 13, 0);

/// The socket of the folder of that number.
pub fn folder_socket(prefix: &Path, number: usize) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(number.to_string());
    name.into()
}

/// Refuses a kind of device by which QEMU cannot carry a folder.
///
/// # Errors
/// Why, and what to do, with the code [`Code::PreCreate`].
pub fn check_carrier(facts: &HostFacts, carrier: Carrier) -> Result<()> {
    match why_not(facts, carrier) {
        Some(why) => Err(Error::new(Code::PreCreate, format!("no folder can be shared by {carrier}: {why}"))
            .hint("leave --share-type out: SFTP carries folders everywhere")),
        None => Ok(()),
    }
}

/// Those of `wanted` that become devices, and what to tell of the others: SFTP carries them.
pub fn carried<'a>(
    facts: &HostFacts,
    carrier: Carrier,
    wanted: &'a [SharedFolder],
) -> (&'a [SharedFolder], Option<String>) {
    if wanted.is_empty() {
        return (wanted, None);
    }
    if let Some(why) = why_not(facts, carrier) {
        return (&[], Some(format!("SFTP carries the machine's folders, not {carrier}: {why}")));
    }
    match wanted.split_at_checked(MOST_FOLDERS) {
        Some((first, rest)) if !rest.is_empty() => (
            first,
            Some(format!(
                "{carrier} carries the first {MOST_FOLDERS} folders of the machine, SFTP the other {}",
                rest.len()
            )),
        ),
        _ => (wanted, None),
    }
}

/// Adds the devices of `folders`.
///
/// # Errors
/// A path that is not Unicode.
pub fn add(line: &mut Line, input: &PlanInput<'_>, folders: &[SharedFolder]) -> Result<()> {
    for (number, share) in folders.iter().enumerate() {
        match input.carrier {
            Carrier::Virtiofs => {
                let socket = folder_socket(&input.paths.folder_socket, number);
                line.add("-chardev", format!("socket,id=folder{number},path={}", escaped(text(&socket)?)));
                line.add("-device", format!("vhost-user-fs-pci,chardev=folder{number},tag={}", share.tag()));
            }
            Carrier::NineP | Carrier::Sftp => add_nine_p(line, number, share)?,
        }
    }
    Ok(())
}

/// - `security_model=none`: files belong to the user who runs QEMU, with modes and links as they are on this computer. The
///   models that map owners would hide modes from this computer and write links as files that only they understand.
/// - Links are followed by the guest alone: QEMU opens each part of a path with `O_NOFOLLOW` (hw/9pfs/9p-local.c and 9p-util.h,
///   since 2.9 and CVE-2016-9602).
/// - `multidevs=remap`: folders may hold mounts, whose files may have numbers in common (since 4.2).
fn add_nine_p(line: &mut Line, number: usize, share: &SharedFolder) -> Result<()> {
    let path = escaped(text(&share.folder)?);
    let read_only = if share.read_only { ",readonly=on" } else { "" };
    line.add("-fsdev", format!("local,id=folder{number},path={path},security_model=none,multidevs=remap{read_only}"));
    line.add("-device", format!("virtio-9p-pci,fsdev=folder{number},mount_tag={}", share.tag()));
    Ok(())
}

/// What has to run for the devices of `folders`.
pub fn daemons(input: &PlanInput<'_>, folders: &[SharedFolder]) -> Vec<FolderDaemon> {
    let (Carrier::Virtiofs, Some(virtiofsd)) = (input.carrier, &input.facts.virtiofsd) else { return Vec::new() };
    let daemon = |(number, share): (usize, &SharedFolder)| FolderDaemon {
        program: virtiofsd.program.clone(),
        folder: share.folder.clone(),
        read_only: share.read_only,
        socket: folder_socket(&input.paths.folder_socket, number),
    };
    folders.iter().enumerate().map(daemon).collect()
}

fn why_not(facts: &HostFacts, carrier: Carrier) -> Option<String> {
    let qemu = facts.qemu.as_ref()?;
    let program = qemu.program.display();
    match carrier {
        Carrier::Sftp => None,
        Carrier::NineP if facts.os == HostOs::Windows => Some("QEMU for Windows has no 9p server".to_owned()),
        Carrier::NineP => (!qemu.nine_p).then(|| format!("{program} was built without it (virtfs)")),
        Carrier::Virtiofs if facts.os != HostOs::Linux => Some("only Linux has virtiofsd, which serves it".to_owned()),
        Carrier::Virtiofs if !qemu.virtiofs => Some(format!("{program} has no device for it (vhost-user-fs-pci)")),
        Carrier::Virtiofs => match &facts.virtiofsd {
            Some(found) if found.version >= OLDEST_VIRTIOFSD => None,
            Some(found) => Some(format!(
                "{} is too old: virtiofsd {OLDEST_VIRTIOFSD} or newer is needed (Debian 13 has it)",
                found.program.display()
            )),
            None => Some("virtiofsd is not installed (the package is called virtiofsd)".to_owned()),
        },
    }
}
