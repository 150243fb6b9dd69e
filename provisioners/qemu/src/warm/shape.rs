//! What two machines must have in common for one to go on from the other's saved state.

use machine_images::{Arch, Boot, SeedKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::known_bad::{Remedy, Situation, matches};
use crate::plan::{AcceleratorChoice, MachinePaths, Plan, PlanInput, plan};
use crate::verdict::VerdictKey;

/// The size of a template's data disk, MiB. Disks grow and do not shrink: machines with less boot.
pub(crate) const TEMPLATE_DISK_MIB: u64 = 4096;
/// The channel of the guest service that this program speaks (`images/recipe/README.md`).
const CHANNEL: u32 = 1;
/// Changes when something else than QEMU's arguments makes older states useless.
const FORM: u32 = 1;

/// The shape of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// What names its state: 32 hexadecimal digits.
    pub(crate) key: String,
    /// For people: `machine, 2 CPUs, 2048 MiB, tcg, QEMU 10.0.2`.
    pub(crate) title: String,
    /// The image that it is a state of.
    pub(crate) image_digest: String,
}

impl Shape {
    /// The shape of the machine that `chosen` runs.
    ///
    /// # Errors
    /// Why it has to boot.
    pub(crate) fn of(input: &PlanInput<'_>, chosen: &Plan, disk_mib: u64, template: &[u8]) -> Result<Self, String> {
        let image = input.image;
        let qemu = input.facts.qemu.as_ref().ok_or("there is no QEMU")?;
        if image.seed != SeedKind::Machine || !matches!(image.boot, Boot::Direct { .. }) {
            return Err("it is not an image of ours".to_owned());
        }
        if image.channel != Some(CHANNEL) {
            return Err("the image is of an older recipe".to_owned());
        }
        if image.arch != Arch::Amd64 {
            // Two guests that go on from one state must not draw the same random numbers.
            return Err("QEMU can tell only x86 guests that they were started from a saved state".to_owned());
        }
        if !input.extra_arguments.is_empty() {
            return Err("it has QEMU arguments of its own".to_owned());
        }
        if !input.folders.is_empty() {
            let carrier = input.carrier;
            return Err(format!("{carrier} carries its folders, and QEMU saves no guest that has them mounted"));
        }
        if disk_mib < TEMPLATE_DISK_MIB {
            return Err(format!("its disk is smaller than {TEMPLATE_DISK_MIB} MiB"));
        }
        let key = digest(input, chosen, template)?;
        Ok(Self {
            key,
            title: format!(
                "{}, {} CPUs, {} MiB, {}, QEMU {}",
                image.name, input.cpus, input.memory_mib, chosen.accelerator, qemu.version
            ),
            image_digest: image.digest.clone(),
        })
    }
}

/// What QEMU must be like to go on from a state that the machine of `input`, as `chosen` runs it, is saved in.
///
/// # Errors
/// Why it cannot be saved at all.
pub(crate) fn state_key(input: &PlanInput<'_>, chosen: &Plan) -> Result<String, String> {
    digest(input, chosen, b"")
}

fn digest(input: &PlanInput<'_>, chosen: &Plan, more: &[u8]) -> Result<String, String> {
    let image = input.image;
    let host = VerdictKey::of(input.facts).ok_or("there is no QEMU")?;
    let situation = Situation {
        facts: input.facts,
        accelerator: chosen.accelerator,
        guest: image.arch,
        guest_kernel: image.kernel_version.as_deref(),
    };
    if let Some(known) = matches(&situation).into_iter().find(|known| known.remedy == Remedy::Boot) {
        return Err(known.what.to_owned());
    }
    // QEMU's arguments decide which devices there are. What differs from machine to machine is made the same.
    let anonymous = plan(&PlanInput {
        machine: "machine",
        token: "00000000-0000-4000-8000-000000000000",
        paths: &MachinePaths {
            os_disk: "os".into(),
            data_disk: "data".into(),
            seed: "seed".into(),
            serial_log: "serial".into(),
            qmp_socket: "qmp".into(),
            channel_socket: "channel".into(),
            folder_socket: "folder".into(),
            vars: None,
        },
        accelerator: AcceleratorChoice::Only(chosen.accelerator),
        ..*input
    })
    .map_err(|error| error.to_string())?;
    let mut digest = Sha256::new();
    for part in [
        FORM.to_string().as_bytes(),
        image.digest.as_bytes(),
        serde_json::to_string(&host).unwrap_or_default().as_bytes(),
        anonymous.arguments.join("\0").as_bytes(),
        more,
    ] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    Ok(digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}
