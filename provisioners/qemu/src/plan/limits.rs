//! What a host can carry: refused early and in plain words, rather than by QEMU after the start.

use machine_core::{Code, Error, Result};

use super::PlanInput;
use crate::facts::{HostOs, QemuFacts};
use crate::known_bad::{oldest_supported, why_oldest};
use crate::option_string::text;
use crate::qemu_command::install_hint_for;

/// Below this, MiB, Linux with systemd and Docker Engine does not come up.
pub(crate) const LEAST_MEMORY_MIB: u64 = 256;

/// The QEMU to run, if there is one that can be used.
pub fn usable_qemu<'a>(input: &PlanInput<'a>) -> Result<&'a QemuFacts> {
    let facts = input.facts;
    let install = install_hint_for(facts.os, input.image.arch);
    let Some(qemu) = &facts.qemu else {
        return Err(Error::new(Code::PreCreate, "QEMU was not found on this computer").hint(install));
    };
    let refuse = |why: String| Err(Error::new(Code::PreCreate, format!("{} {why}", qemu.program.display())));
    if qemu.guest != input.image.arch {
        return refuse(format!("cannot run the image {:?}: it is for another CPU architecture", input.image.name))
            .map_err(|error| error.hint(install));
    }
    let oldest = oldest_supported(facts.os, facts.arch);
    if qemu.version < oldest {
        let why = why_oldest(facts.os);
        return refuse(format!(
            "is QEMU {}, and {oldest} is the oldest supported on {}: {why}",
            qemu.version, facts.os
        ))
        .map_err(|error| error.hint(install));
    }
    if !qemu.user_network {
        return refuse("was built without the user network (libslirp), which machines are reached through".to_owned())
            .map_err(|error| error.hint("install a complete QEMU (RHEL's own qemu-kvm lacks it)"));
    }
    Ok(qemu)
}

/// Checks the wishes against the host; returns what the user should know.
pub fn check(input: &PlanInput<'_>) -> Result<Vec<String>> {
    let facts = input.facts;
    let refuse = |why: String, hint: String| Err(Error::new(Code::PreCreate, why).hint(hint));
    let mut warnings = Vec::new();
    if input.cpus == 0 {
        return refuse("a machine needs at least one CPU".into(), format!("this computer has {}", facts.cpus));
    }
    // More CPUs than there are only cost time; many times as many are a slip of the finger.
    if u64::from(input.cpus) > 4 * u64::from(facts.cpus) {
        return refuse(
            format!("{} CPUs are asked for, this computer has {}", input.cpus, facts.cpus),
            format!("use {} or fewer", facts.cpus),
        );
    }
    if input.cpus > facts.cpus {
        warnings.push(format!(
            "{} CPUs are more than the {} of this computer: the machine will be slower, not faster",
            input.cpus, facts.cpus
        ));
    }
    if input.memory_mib < LEAST_MEMORY_MIB {
        return refuse(
            format!("{} MiB of memory are too little for Docker Engine", input.memory_mib),
            format!("use {LEAST_MEMORY_MIB} MiB or more; 2048 is comfortable"),
        );
    }
    let memory_is_known = facts.memory_mib > 0;
    if memory_is_known && input.memory_mib > facts.memory_mib {
        return refuse(
            format!("{} MiB of memory are asked for, this computer has {} MiB", input.memory_mib, facts.memory_mib),
            format!("use {} MiB or less, so that this computer keeps some", facts.memory_mib / 2),
        );
    }
    if memory_is_known && input.memory_mib > facts.memory_mib / 4 * 3 {
        warnings.push(format!(
            "the machine may use {} of this computer's {} MiB of memory, which leaves little for everything else",
            input.memory_mib, facts.memory_mib
        ));
    }
    // `sun_path` holds 104 bytes on macOS and 108 elsewhere, with a zero at the end (QEMU refuses longer ones).
    let longest = if facts.os == HostOs::MacOs { 103 } else { 107 };
    let socket = text(&input.paths.qmp_socket)?;
    if socket.len() > longest {
        return refuse(
            format!(
                "the path of the control socket is {} bytes long, {longest} at most on {}: {socket}",
                socket.len(),
                facts.os
            ),
            "use a shorter store folder or machine name".into(),
        );
    }
    Ok(warnings)
}
