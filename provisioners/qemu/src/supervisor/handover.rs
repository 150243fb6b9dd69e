//! Making a guest the machine that it shall be: from a warm state, from a template, from where it was suspended.
//!
//! The order in each: what must never be used twice, or made again, is removed durably before the guest goes on.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use machine_core::{Error, Result, ResultExt as _};
use serde_json::json;

use super::config::SuperviseConfig;
use crate::control::Notices;
use crate::machine_files::gone;
use crate::qmp::Qmp;
use crate::warm::{
    Channel, NewState, Request, SavedState, Shape, Suspended, WarmStates, call_off, load, save, suspended_state,
    unfinished,
};

/// How long a template may take until all of it has started.
const SETTLE: Duration = Duration::from_secs(300);
/// How long a guest may take to become its machine: a second or two, many more on a busy computer without acceleration.
const IDENTITY: Duration = Duration::from_secs(90);
/// What has to be free beside the memory of a guest where its state is saved, bytes.
const ROOM: u64 = 512 << 20;
/// How long the guest may take to spread its file system over the data disk.
const GROW: Duration = Duration::from_secs(300);

/// What the work on it needs.
pub(super) struct Handover<'a> {
    pub(super) config: &'a SuperviseConfig,
    pub(super) qmp: &'a Qmp,
    pub(super) notices: Notices,
}

impl Handover<'_> {
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
        let needed = (self.config.memory_mib << 20) + ROOM;
        if let Some(room) = states.room().filter(|room| *room < needed) {
            let (room, needed) = (room >> 20, needed >> 20);
            return Err(Error::other(format!("{room} MiB are free where states are kept, {needed} MiB may be needed")));
        }
        self.say("booting once for all machines of this shape");
        self.channel().ask(Request::Settle, SETTLE).await?;
        self.say("saving a warm state for the next ones");
        let new = states.begin(shape)?;
        self.qmp.execute("stop", json!({})).await?;
        // There was room for it: the next machine of the shape would have no better luck.
        save(self.qmp, &new.state()).await.inspect_err(|error| states.failed(shape, &error.to_string()))?;
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
    async fn resize(&self) -> Result<()> {
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

/// Removes the mark: from now on the machine may be somebody's, and its disks are never made again.
pub(super) fn no_longer_fresh(config: &SuperviseConfig) -> Result<()> {
    let failed = || format!("cannot write to the folder {}", config.dir.display());
    gone(fs::remove_file(config.files.fresh_mark())).context(failed)?;
    machine_files::sync_folder(&config.dir).context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

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
