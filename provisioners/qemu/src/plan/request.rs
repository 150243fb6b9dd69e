//! What a plan is made from, and the plan.

use std::path::PathBuf;

use machine_core::{Carrier, Result, SharedFolder};
use machine_images::{Arch, Image};

use super::arguments::arguments;
use super::choice::choose;
use super::folders;
use super::limits::{check, usable_qemu};
use crate::facts::{Accelerator, HostFacts};
use crate::known_bad::{Remedy, Situation, matches};
use crate::verdict::Verdicts;

/// Which accelerator to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcceleratorChoice {
    /// The host's own hypervisor unless it is known not to work, else software emulation.
    #[default]
    Auto,
    /// This one or none.
    Only(Accelerator),
}

/// The files of one machine that its QEMU opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachinePaths {
    /// The qcow2 overlay on the image's disk.
    pub os_disk: PathBuf,
    /// The qcow2 disk of containers, images and volumes.
    pub data_disk: PathBuf,
    /// The raw, read-only disk that tells the guest who it is.
    pub seed: PathBuf,
    /// Where the serial console's output is appended.
    pub serial_log: PathBuf,
    /// QEMU's control socket; its folder must be this user's alone.
    pub qmp_socket: PathBuf,
    /// The socket of the channel to the guest service, in the same folder.
    pub channel_socket: PathBuf,
    /// What the sockets of folders by virtiofs begin with; a number follows.
    pub folder_socket: PathBuf,
    /// The UEFI variables, a qcow2 file (a raw one prevents snapshots); none: the firmware starts afresh each time.
    pub vars: Option<PathBuf>,
}

/// Everything that a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The host.
    pub facts: &'a HostFacts,
    /// The machine's name.
    pub machine: &'a str,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// The image that it boots.
    pub image: &'a Image,
    /// Its files.
    pub paths: &'a MachinePaths,
    /// A UUID of this machine: seen in the process's arguments (`-uuid`) it proves whose process it is.
    pub token: &'a str,
    /// Which accelerator to use.
    pub accelerator: AcceleratorChoice,
    /// What is known of this host's accelerators.
    pub verdicts: &'a Verdicts,
    /// The user's own arguments, appended as they are.
    pub extra_arguments: &'a [String],
    /// Folders of this computer that devices are to carry; each can be opened.
    pub folders: &'a [SharedFolder],
    /// Devices of which kind.
    pub carrier: Carrier,
}

/// How a machine will be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// QEMU's program file.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What the guest's instructions run on.
    pub accelerator: Accelerator,
    /// The value of `-cpu`.
    pub cpu_model: String,
    /// What to plan with when this one turns out not to work ([`crate::verdict::watch`]); none: nothing is left.
    pub fallback: Option<Accelerator>,
    /// The folders of this computer that devices carry.
    pub folders: Vec<PathBuf>,
    /// What has to run before QEMU does.
    pub daemons: Vec<FolderDaemon>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A process that serves one folder by virtiofs, for one run of QEMU: it ends when QEMU does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderDaemon {
    /// virtiofsd's file.
    pub program: PathBuf,
    /// The folder.
    pub folder: PathBuf,
    /// Whether nothing in it can be changed.
    pub read_only: bool,
    /// Where QEMU finds it.
    pub socket: PathBuf,
}

/// Plans the run of one machine.
///
/// # Errors
/// What the host lacks or the wishes exceed, with the code [`machine_core::Code::PreCreate`] and what to do.
pub fn plan(input: &PlanInput<'_>) -> Result<Plan> {
    let qemu = usable_qemu(input)?;
    let mut warnings = check(input)?;
    let chosen = choose(input, qemu)?;
    warnings.extend(chosen.warnings);

    let situation = Situation {
        facts: input.facts,
        accelerator: chosen.accelerator,
        guest: input.image.arch,
        guest_kernel: input.image.kernel_version.as_deref(),
    };
    let mut cpu_model = default_cpu_model(chosen.accelerator, input.image.arch).to_owned();
    let mut memory_mib = input.memory_mib;
    for known in matches(&situation) {
        match known.remedy {
            Remedy::CpuFeatures(features) => cpu_model.push_str(features),
            Remedy::CpuModel(model) => model.clone_into(&mut cpu_model),
            Remedy::MemoryAtMost(limit) => {
                if memory_mib <= limit {
                    continue;
                }
                memory_mib = limit;
            }
            // What keeps states from being saved is asked for where that is decided.
            Remedy::Upgrade | Remedy::Boot => {}
        }
        if let Some(advice) = known.advice {
            warnings.push(format!("QEMU {}: {}; {advice}", qemu.version, known.what));
        }
    }
    let (shared, warning) = folders::carried(input.facts, input.carrier, input.folders);
    warnings.extend(warning);
    let arguments = arguments(input, qemu, chosen.accelerator, &cpu_model, memory_mib, shared)?;
    Ok(Plan {
        program: qemu.program.clone(),
        arguments,
        accelerator: chosen.accelerator,
        cpu_model,
        fallback: chosen.fallback,
        folders: shared.iter().map(|share| share.folder.clone()).collect(),
        daemons: folders::daemons(input, shared),
        warnings,
    })
}

/// The CPU model where nothing is known against it: the host's own CPU, or all that the emulation can do.
fn default_cpu_model(accelerator: Accelerator, guest: Arch) -> &'static str {
    match (accelerator, guest) {
        (Accelerator::Tcg, Arch::Amd64) => "max",
        // Pointer authentication by the architecture's own cipher (QARMA5) takes much of the time of an emulated arm64
        // guest; a cheaper function is allowed and offered since QEMU 5.2.
        (Accelerator::Tcg, Arch::Arm64) => "max,pauth-impdef=on",
        (Accelerator::Kvm | Accelerator::Hvf | Accelerator::Whpx, _) => "host",
    }
}
