//! How a guest comes to run: by booting, from a warm state (the first start of a machine alone has that choice), or from
//! where it was suspended.
//!
//! ```text
//!            fresh disks?  ── no ──────────────────────────────> Boot
//!                 │ yes
//!     a state of this shape? ── yes ──> Warm: load it, hand over the identity
//!                 │ no                     │ fails: the state is removed
//!                 v                        v
//!     may one be made? ── no ───────────> Boot, on new disks
//!                 │ yes
//!                 v
//!      Template: boot as nobody, save, hand over the identity
//! ```
//!
//! Until the identity is handed over nobody can have used the machine: the mark `fresh` in its folder says so, and a start
//! that finds it may make everything again.

use std::fs;
use std::sync::Arc;

use machine_core::{Result, ResultExt as _};
use machine_images::Image;
use serde_json::{Value, json};

use super::config::SuperviseConfig;
use super::handover::no_longer_fresh;
use super::run::Supervisor;
use crate::disk::DiskTool;
use crate::machine_files::gone;
use crate::plan::{AcceleratorChoice, MachinePaths, Plan, PlanInput, plan as plan_of};
use crate::warm::{SavedState, Shape, Suspended, TEMPLATE_DISK_MIB};

/// How the guest of one start comes to run.
pub(super) enum Beginning {
    /// It boots as the machine that it is.
    Boot,
    /// It boots as nobody, leaves a warm state and becomes the machine.
    Template(Shape),
    /// It goes on from a warm state.
    Warm(Shape, Arc<SavedState>),
    /// It goes on from where it was suspended; whether there is a guest service to tell the time to.
    Resume(Suspended, bool),
}

/// What a start has to choose from, and what became of earlier attempts.
pub(super) struct Chances {
    /// Nobody has used the machine: its disks may be made again.
    pub(super) fresh: bool,
    /// It has not been tried in vain.
    pub(super) may_be_warm: bool,
    /// The machine's own saved state.
    pub(super) suspended: Option<Suspended>,
    /// Why that could not be used.
    pub(super) lost: Option<String>,
}

impl Supervisor<'_> {
    /// Chooses how the guest comes to run and makes what that needs; with it comes the plan for it. `None`: the choice
    /// cannot be carried out, and another one is to be made.
    pub(super) async fn begin(
        &mut self,
        chances: &mut Chances,
        input: &PlanInput<'_>,
        plan: &Plan,
        state_key: Option<&String>,
    ) -> Result<Option<(Beginning, Plan)>> {
        let config = self.config;
        let (beginning, why) = match chances.suspended.take() {
            Some(saved) if state_key == Some(&saved.key) => {
                (Beginning::Resume(saved, input.image.channel.is_some()), None)
            }
            Some(_) => {
                chances.lost = Some("QEMU, this computer or the machine's settings have changed since".to_owned());
                (Beginning::Boot, None)
            }
            None if chances.fresh && chances.may_be_warm => Beginning::choose(config, input, plan),
            None => (Beginning::Boot, None),
        };
        self.event("beginning", &event(&beginning, why.as_deref()));
        if chances.fresh {
            let tool = DiskTool::new(input.facts.qemu.as_ref().map(|qemu| qemu.img.clone()).unwrap_or_default());
            if let Err(error) = beginning.make_disks(config, input.image, &tool).await {
                if !beginning.awaits_identity() {
                    return Err(error);
                }
                self.event("not warm", &json!({ "shape": beginning.shape(), "because": error.to_string() }));
                chances.may_be_warm = false;
                return Ok(None);
            }
            if !beginning.awaits_identity() {
                no_longer_fresh(config)?;
                chances.fresh = false;
            }
        } else {
            let first_seed = config.files.first_seed();
            gone(fs::remove_file(&first_seed)).context(|| format!("cannot remove {}", first_seed.display()))?;
        }
        let mut adapted = beginning.adapt(input, plan, config)?;
        if let Some(why) = &chances.lost {
            Suspended::discard(&config.dir)?;
            adapted.warnings.push(format!("its suspended state could not be used, so it boots: {why}"));
        }
        Ok(Some((beginning, adapted)))
    }

    /// Notes that the guest did not come to run as `beginning` meant it to. Nobody has used it meanwhile: unless it was
    /// suspended, it begins again on new disks.
    pub(super) fn give_up(&mut self, chances: &mut Chances, beginning: &Beginning, reason: String) {
        self.event("not warm", &json!({ "shape": beginning.shape(), "because": reason }));
        let Some(shape) = beginning.shape() else {
            chances.lost = Some(reason);
            return;
        };
        if let Some(warm) = &self.config.warm {
            warm.states.failed(shape, &reason);
        }
        self.say("the warm state could not be used: booting");
        chances.fresh = true;
        chances.may_be_warm = false;
    }
}

impl Beginning {
    /// Chooses for a machine with fresh disks; with the second value, why it has to boot.
    fn choose(config: &SuperviseConfig, input: &PlanInput<'_>, plan: &Plan) -> (Self, Option<String>) {
        let Some(warm) = &config.warm else { return (Self::Boot, None) };
        let shape = match Shape::of(input, plan, config.disk_mib, &warm.template_seed) {
            Ok(shape) => shape,
            Err(why) => return (Self::Boot, Some(why)),
        };
        if let Some(why) = warm.states.refusal(&shape) {
            return (Self::Boot, Some(format!("it failed more than once: {why}")));
        }
        match warm.states.find(&shape) {
            Some(saved) => (Self::Warm(shape, Arc::new(saved)), None),
            None => (Self::Template(shape), None),
        }
    }

    /// Whether the guest has to be told who it is.
    pub(super) fn awaits_identity(&self) -> bool {
        !matches!(self, Self::Boot)
    }

    /// Whether the guest comes from a file.
    pub(super) fn is_loaded(&self) -> bool {
        matches!(self, Self::Warm(..)) || self.is_resumed()
    }

    /// Whether the guest was the machine before.
    pub(super) fn is_resumed(&self) -> bool {
        matches!(self, Self::Resume(..))
    }

    /// The shape, where one is in play.
    fn shape(&self) -> Option<&Shape> {
        match self {
            Self::Boot | Self::Resume(..) => None,
            Self::Template(shape) | Self::Warm(shape, _) => Some(shape),
        }
    }

    /// The plan for this beginning.
    fn adapt(&self, input: &PlanInput<'_>, plan: &Plan, config: &SuperviseConfig) -> Result<Plan> {
        let mut adapted = plan.clone();
        match self {
            Self::Boot => {}
            Self::Template(_) => {
                let paths = MachinePaths { seed: config.files.first_seed(), ..input.paths.clone() };
                let accelerator = AcceleratorChoice::Only(plan.accelerator);
                adapted.arguments = plan_of(&PlanInput { paths: &paths, accelerator, ..*input })?.arguments;
                make_anonymous(&mut adapted.arguments, &config.token);
            }
            Self::Warm(..) | Self::Resume(..) => {
                adapted.arguments.extend(["-S", "-incoming", "defer"].map(str::to_owned));
            }
        }
        Ok(adapted)
    }

    /// Makes the disks of a fresh machine for this beginning; whatever an earlier attempt did to them goes.
    async fn make_disks(&self, config: &SuperviseConfig, image: &Image, tool: &DiskTool) -> Result<()> {
        let (os_disk, data_disk) = (config.files.os_disk(), config.files.data_disk());
        for disk in [&os_disk, &data_disk] {
            gone(fs::remove_file(disk)).context(|| format!("cannot remove the disk {}", disk.display()))?;
        }
        let mib = match self {
            Self::Warm(_, saved) => {
                let (saved, data) = (Arc::clone(saved), data_disk.clone());
                tokio::task::spawn_blocking(move || saved.copy_disks(&os_disk, &data))
                    .await
                    .context(|| "cannot copy the disks of a warm state".into())??;
                // The guest learns of it when it runs, or at its next boot.
                return tool.grow(&data_disk, config.disk_mib).await;
            }
            // The disks of a machine that was suspended are its own; they are not made.
            Self::Resume(..) => return Ok(()),
            Self::Boot => config.disk_mib,
            Self::Template(_) => TEMPLATE_DISK_MIB,
        };
        tool.create_overlay(&image.disk, &image.format, &os_disk).await?;
        tool.create_empty(&data_disk, mib).await?;
        if let (Self::Template(_), Some(warm)) = (self, &config.warm) {
            machine_files::write_whole(&config.files.first_seed(), &warm.template_seed, machine_files::PRIVATE)?;
        }
        Ok(())
    }
}

/// The guest of a template must not learn whose it is: it becomes many machines. Its process is known by its name here.
fn make_anonymous(arguments: &mut [String], token: &str) {
    for at in 1..arguments.len() {
        let (before, after) = arguments.split_at_mut(at);
        let value = &mut after[0];
        match before[at - 1].as_str() {
            "-name" => token.clone_into(value),
            "-uuid" => "00000000-0000-4000-8000-000000000000".clone_into(value),
            "-device" => {
                if let Some(start) = value.find(",mac=") {
                    let start = start + ",mac=".len();
                    // QEMU's own default.
                    value.replace_range(start..start + "52:54:00:12:34:56".len(), "52:54:00:12:34:56");
                }
            }
            _ => {}
        }
    }
}

/// What the log says of a beginning.
fn event(beginning: &Beginning, why: Option<&str>) -> Value {
    let how = match beginning {
        Beginning::Boot => "boot",
        Beginning::Template(_) => "boot that leaves a warm state",
        Beginning::Warm(..) => "warm state",
        Beginning::Resume(..) => "suspended state",
    };
    json!({ "how": how, "shape": beginning.shape(), "because": why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_told_nothing_of_the_machine_that_it_becomes_first() {
        let token = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
        let line = [
            "-name",
            "guest=dev",
            "-uuid",
            token,
            "-device",
            "virtio-net-pci,netdev=net0,mac=52:54:00:6b:a7:b8,romfile=",
        ];
        let mut arguments = line.map(str::to_owned);
        make_anonymous(&mut arguments, token);
        assert_eq!(
            arguments.join(" "),
            format!(
                "-name {token} -uuid 00000000-0000-4000-8000-000000000000 -device \
                 virtio-net-pci,netdev=net0,mac=52:54:00:12:34:56,romfile="
            )
        );
    }
}
