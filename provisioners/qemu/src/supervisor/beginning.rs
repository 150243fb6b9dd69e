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

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use machine_core::{Error, Result, ResultExt as _};
use machine_images::Image;
use serde_json::{Value, json};

use super::config::SuperviseConfig;
use crate::control::Notices;
use crate::disk::DiskTool;
use crate::machine_files::gone;
use crate::plan::{Plan, PlanInput};
use crate::qmp::Qmp;
use crate::warm::{
    Channel, NewState, Request, SavedState, Shape, Suspended, TEMPLATE_DISK_MIB, WarmStates, call_off, load, save,
    suspended_state, unfinished,
};

/// How long a template may take until all of it has started.
const SETTLE: Duration = Duration::from_secs(300);
/// How long a guest may take to become its machine: a second or two, many more on a busy computer without acceleration.
const IDENTITY: Duration = Duration::from_secs(90);
/// How long the guest may take to spread its file system over the data disk.
const GROW: Duration = Duration::from_secs(300);

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

impl Beginning {
    /// Chooses for a machine with fresh disks; with the second value, why it has to boot.
    pub(super) fn choose(config: &SuperviseConfig, input: &PlanInput<'_>, plan: &Plan) -> (Self, Option<String>) {
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
    pub(super) fn shape(&self) -> Option<&Shape> {
        match self {
            Self::Boot | Self::Resume(..) => None,
            Self::Template(shape) | Self::Warm(shape, _) => Some(shape),
        }
    }

    /// The plan for this beginning.
    pub(super) fn adapt(&self, mut plan: Plan, config: &SuperviseConfig) -> Plan {
        match self {
            Self::Boot => {}
            Self::Template(_) => make_anonymous(&mut plan.arguments, &config.token),
            Self::Warm(..) | Self::Resume(..) => plan.arguments.extend(["-S", "-incoming", "defer"].map(str::to_owned)),
        }
        plan
    }

    /// Makes the disks of a fresh machine for this beginning; whatever an earlier attempt did to them goes.
    pub(super) async fn make_disks(&self, config: &SuperviseConfig, image: &Image, tool: &DiskTool) -> Result<()> {
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

/// Removes the mark: from now on the machine may be somebody's, and its disks are never made again.
pub(super) fn no_longer_fresh(config: &SuperviseConfig) -> Result<()> {
    let failed = || format!("cannot write to the folder {}", config.dir.display());
    gone(fs::remove_file(config.files.fresh_mark())).context(failed)?;
    machine_files::sync_folder(&config.dir).context(failed)
}

/// What the work on a beginning needs.
pub(super) struct Hands<'a> {
    pub(super) config: &'a SuperviseConfig,
    pub(super) qmp: &'a Qmp,
    pub(super) notices: Notices,
}

impl Hands<'_> {
    /// Fills QEMU from a state and makes the guest the machine.
    pub(super) async fn go_on_from(&self, saved: &Arc<SavedState>) -> Result<()> {
        self.say("going on from a warm state");
        let checked = tokio::task::spawn_blocking({
            let saved = Arc::clone(saved);
            move || saved.check()
        });
        load(self.qmp, &saved.state()).await?;
        checked.await.context(|| "cannot check the warm state".into())??;
        no_longer_fresh(self.config)?;
        self.qmp.execute("cont", json!({})).await?;
        // Not before: until then QEMU leaves the disks to whoever saved the state.
        self.resize().await?;
        self.identify().await
    }

    /// Fills QEMU from the machine's own saved state, which is then never used again.
    pub(super) async fn resume(&self, suspended: &Suspended, channel: bool) -> Result<()> {
        self.say("going on where it was suspended");
        let dir = self.config.dir.clone();
        let checked = tokio::task::spawn_blocking({
            let suspended = suspended.clone();
            move || suspended.check(&dir)
        });
        load(self.qmp, &suspended_state(&self.config.dir)).await?;
        checked.await.context(|| "cannot check the saved state".into())??;
        Suspended::discard(&self.config.dir)?;
        self.qmp.execute("cont", json!({})).await?;
        // The time, and what changed on the seed disk meanwhile. A vendor's image has nobody to tell: its own clock service
        // notices sooner or later.
        if channel && let Err(error) = self.identify().await {
            tracing::warn!(%error, "the guest was not told the time");
        }
        Ok(())
    }

    /// Lets a guest go on whose supervisor was lost while it saved it.
    pub(super) async fn undo_half_a_suspension(&self) -> Result<()> {
        let half = unfinished(&self.config.dir);
        if half.exists() {
            call_off(self.qmp).await?;
            self.qmp.execute("cont", json!({})).await?;
            gone(fs::remove_file(&half)).context(|| format!("cannot remove {}", half.display()))?;
        }
        Ok(())
    }

    /// Waits for the template, leaves a warm state, and makes the guest the machine. A state that cannot be saved is told,
    /// and no obstacle.
    pub(super) async fn become_somebody(&self, shape: &Shape, states: &WarmStates) -> Result<Option<String>> {
        let unsaved = self.leave_state(shape, states).await.err();
        self.qmp.execute("cont", json!({})).await?;
        self.resize().await?;
        write_in_place(&self.config.files.seed(), &self.config.files.first_seed())?;
        no_longer_fresh(self.config)?;
        self.identify().await?;
        Ok(unsaved.map(|error| error.to_string()))
    }

    async fn leave_state(&self, shape: &Shape, states: &WarmStates) -> Result<()> {
        let blocked = self.qmp.execute("query-migrate", json!({})).await?;
        if let Some(reason) = blocked["blocked-reasons"].as_array().and_then(|reasons| reasons.first()) {
            return Err(refused(states, shape, reason.as_str().unwrap_or("QEMU cannot save it")));
        }
        self.say("booting once for all machines of this shape");
        self.channel().ask(Request::Settle, SETTLE).await?;
        self.say("saving a warm state for the next ones");
        let new = states.begin(shape)?;
        self.qmp.execute("stop", json!({})).await?;
        save(self.qmp, &new.state()).await?;
        self.keep(new).await
    }

    /// QEMU has let go of the disks: what is copied is what belongs to the memory that was saved.
    async fn keep(&self, new: NewState) -> Result<()> {
        let (os_disk, data_disk) = (self.config.files.os_disk(), self.config.files.data_disk());
        tokio::task::spawn_blocking(move || new.keep(&os_disk, &data_disk))
            .await
            .context(|| "cannot keep the warm state".into())?
    }

    /// Tells the guest who it is; it reads its seed disk.
    pub(super) async fn identify(&self) -> Result<()> {
        self.say("telling the machine who it is");
        self.channel().ask(Request::Identity, IDENTITY).await
    }

    /// The disk of a template is smaller than that of any machine.
    pub(super) async fn resize(&self) -> Result<()> {
        let size = self.config.disk_mib << 20;
        self.qmp.execute("block_resize", json!({ "node-name": "data", "size": size })).await.map(drop)
    }

    fn channel(&self) -> Channel {
        Channel::at(self.config.files.channel_socket())
    }

    fn say(&self, text: &str) {
        // Nobody may be listening.
        let _ = self.notices.send(text.to_owned());
    }
}

/// Lets the guest use all of its data disk, while the machine is in use already.
pub(super) fn grow_later(config: &SuperviseConfig) {
    let channel = Channel::at(config.files.channel_socket());
    tokio::spawn(async move {
        if let Err(error) = channel.ask(Request::Grow, GROW).await {
            // The next boot does it.
            tracing::warn!(%error, "the file system for containers was not grown");
        }
    });
}

fn refused(states: &WarmStates, shape: &Shape, reason: &str) -> Error {
    states.failed(shape, reason);
    Error::other("QEMU cannot save this guest").because(reason.to_owned())
}

/// Gives the disk `to`, which QEMU has open, the content of `from`.
fn write_in_place(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot write the seed disk {}", to.display());
    let bytes = fs::read(from).context(|| format!("cannot read the seed disk {}", from.display()))?;
    let mut file = File::options().write(true).open(to).context(failed)?;
    if file.metadata().context(failed)?.len() != bytes.len() as u64 {
        return Err(Error::other(failed()).because("it has another size than a template's"));
    }
    file.write_all(&bytes).and_then(|()| file.sync_all()).context(failed)
}

/// What the log says of a beginning.
pub(super) fn event(beginning: &Beginning, why: Option<&str>) -> Value {
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

    #[test]
    fn a_seed_is_only_written_over_one_of_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&from, "machine").unwrap();
        fs::write(&to, "nobody?").unwrap();
        write_in_place(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"machine");
        fs::write(&to, "short").unwrap();
        assert!(write_in_place(&from, &to).is_err());
        assert_eq!(fs::read(&to).unwrap(), b"short");
    }
}
