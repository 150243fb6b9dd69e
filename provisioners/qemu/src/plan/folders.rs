//! Folders of this computer as 9p devices. They are known before the start: QEMU plugs none in later.

use machine_core::{Code, Error, Result, SharedFolder};

use super::arguments::Line;
use crate::facts::{HostFacts, HostOs};
use crate::option_string::{escaped, text};

/// Each device takes one of 32 places on the bus, which has others too.
const MOST: usize = 16;

/// Refuses 9p where QEMU cannot carry a folder by it.
///
/// # Errors
/// Why, and what to do, with the code [`Code::PreCreate`].
pub fn check_nine_p(facts: &HostFacts) -> Result<()> {
    match why_not(facts) {
        Some(why) => Err(Error::new(Code::PreCreate, format!("no folder can be shared by 9p: {why}"))
            .hint("leave --share-type out: SFTP carries folders everywhere")),
        None => Ok(()),
    }
}

/// Those of `wanted` that become devices, and what to tell of the others: SFTP carries them.
pub fn carried<'a>(facts: &HostFacts, wanted: &'a [SharedFolder]) -> (&'a [SharedFolder], Option<String>) {
    if wanted.is_empty() {
        return (wanted, None);
    }
    if let Some(why) = why_not(facts) {
        return (&[], Some(format!("SFTP carries the machine's folders, not 9p: {why}")));
    }
    match wanted.split_at_checked(MOST) {
        Some((first, rest)) if !rest.is_empty() => {
            (first, Some(format!("9p carries the first {MOST} folders of the machine, SFTP the other {}", rest.len())))
        }
        _ => (wanted, None),
    }
}

/// Adds the devices of `folders`.
///
/// - `security_model=none`: files belong to the user who runs QEMU, with modes and links as they are on this computer. The
///   models that map owners would hide modes from this computer and write links as files that only they understand.
/// - Links are followed by the guest alone: QEMU opens each part of a path with `O_NOFOLLOW` (hw/9pfs/9p-local.c and 9p-util.h,
///   since 2.9 and CVE-2016-9602).
/// - `multidevs=remap`: folders may hold mounts, whose files may have numbers in common (since 4.2).
///
/// # Errors
/// A path that is not Unicode.
pub fn add(line: &mut Line, folders: &[SharedFolder]) -> Result<()> {
    for (number, share) in folders.iter().enumerate() {
        let path = escaped(text(&share.folder)?);
        let read_only = if share.read_only { ",readonly=on" } else { "" };
        line.add(
            "-fsdev",
            format!("local,id=folder{number},path={path},security_model=none,multidevs=remap{read_only}"),
        );
        line.add("-device", format!("virtio-9p-pci,fsdev=folder{number},mount_tag={}", share.tag()));
    }
    Ok(())
}

fn why_not(facts: &HostFacts) -> Option<String> {
    if facts.os == HostOs::Windows {
        return Some("QEMU for Windows has no 9p server".to_owned());
    }
    let qemu = facts.qemu.as_ref()?;
    (!qemu.nine_p).then(|| format!("{} was built without it (virtfs)", qemu.program.display()))
}
