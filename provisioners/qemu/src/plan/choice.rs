//! Which accelerator a machine runs with.

use machine_core::{Code, Error, Result};

use super::{AcceleratorChoice, PlanInput};
use crate::facts::{Accelerator, DeviceFact, HostFacts, HostOs, QemuFacts};
use crate::known_bad::hypervisor_of;

/// An accelerator with what is left when it fails.
pub struct Chosen {
    pub accelerator: Accelerator,
    pub fallback: Option<Accelerator>,
    pub warnings: Vec<String>,
}

/// Chooses; see [`AcceleratorChoice`].
pub fn choose(input: &PlanInput<'_>, qemu: &QemuFacts) -> Result<Chosen> {
    let facts = input.facts;
    let emulated = qemu.accelerators.contains(&Accelerator::Tcg);
    match input.accelerator {
        AcceleratorChoice::Only(accelerator) => {
            if accelerator.is_hardware() {
                usable(facts, qemu, input).and_then(|own| {
                    if own == accelerator { Ok(()) } else { Err(format!("{} has no {accelerator}", facts.os)) }
                })
            } else if emulated {
                Ok(())
            } else {
                Err("this QEMU was built without it".to_owned())
            }
            .map_err(|why| {
                Error::new(Code::PreCreate, format!("the accelerator {accelerator} cannot be used here: {why}"))
                    .hint("leave the choice to `machine`, or use tcg (software emulation)")
            })?;
            Ok(Chosen { accelerator, fallback: None, warnings: Vec::new() })
        }
        AcceleratorChoice::Auto => {
            let known = usable(facts, qemu, input).and_then(|accelerator| match input.verdicts.about(accelerator, facts) {
                Some(verdict) if !verdict.works => Err(format!(
                    "{accelerator} did not work on this computer on {}: {}; it is tried again when QEMU or the system changes",
                    verdict.when.strftime("%Y-%m-%d"),
                    verdict.reason
                )),
                _ => Ok(accelerator),
            });
            match known {
                Ok(accelerator) => {
                    Ok(Chosen { accelerator, fallback: emulated.then_some(Accelerator::Tcg), warnings: Vec::new() })
                }
                Err(why) if emulated => Ok(Chosen {
                    accelerator: Accelerator::Tcg,
                    fallback: None,
                    warnings: vec![format!("slow mode (software emulation): {why}")],
                }),
                Err(why) => Err(Error::new(
                    Code::PreCreate,
                    format!(
                        "{} can run no guest here: {why}, and it was built without software emulation",
                        qemu.program.display()
                    ),
                )
                .hint("install a complete QEMU")),
            }
        }
    }
}

/// The host's own hypervisor if nothing that can be seen speaks against it, else the reason with what to do.
fn usable(facts: &HostFacts, qemu: &QemuFacts, input: &PlanInput<'_>) -> Result<Accelerator, String> {
    if input.image.arch != facts.arch {
        return Err(format!("the image {:?} is for another CPU architecture than this computer's", input.image.name));
    }
    let own = hypervisor_of(facts.os);
    if !qemu.accelerators.contains(&own) {
        let what = format!("{} was built without {own}", qemu.program.display());
        return Err(match facts.os {
            HostOs::MacOs if facts.arch == machine_images::Arch::Arm64 => {
                format!(
                    "{what}: it may be an Intel build under Rosetta; install QEMU with the Homebrew of /opt/homebrew"
                )
            }
            HostOs::Linux | HostOs::MacOs | HostOs::Windows => what,
        });
    }
    match facts.os {
        HostOs::Linux => match facts.kvm {
            DeviceFact::Present => Ok(own),
            DeviceFact::NotPermitted => Err("/dev/kvm may not be opened by this user: `sudo usermod -aG kvm $USER`, then log in again".into()),
            DeviceFact::Absent => Err("there is no /dev/kvm: virtualisation is off in the firmware, or this is a virtual machine without it".into()),
        },
        HostOs::MacOs if facts.hv_support == Some(false) => {
            Err("this Mac has no Hypervisor.framework (kern.hv_support is 0): inside a virtual machine it must be switched on there".into())
        }
        HostOs::MacOs | HostOs::Windows => Ok(own),
    }
}
