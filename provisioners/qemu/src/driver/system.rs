//! Another system disk for a machine that is off; its data stay.

use machine_core::{Result, ResultExt, Work};
use machine_images::Image;

use super::state::DriverState;
use crate::disk::DiskTool;
use crate::machine_files::{gone, next_os_disk, os_disk};

/// Makes it, notes it and puts it in place.
pub(super) async fn replace_system(work: Work<'_>, image: Image, tool: &DiskTool) -> Result<()> {
    let machine = work.machine;
    let mut state = DriverState::required(machine.record)?;
    let next = next_os_disk(machine.dir);
    gone(std::fs::remove_file(&next)).context(|| format!("cannot remove {}", next.display()))?;
    tool.create_overlay(&image.disk, &image.format, &next).await?;
    state.image_digest = image.digest;
    state.base_disk = image.disk;
    state.replace_system = true;
    work.checkpoint.save("system", &state.to_value()?)?;
    put_next_system_in_place(&mut state, work)
}

/// Completes what [`replace_system`] noted, whoever was interrupted in between.
pub(super) fn put_next_system_in_place(state: &mut DriverState, work: Work<'_>) -> Result<()> {
    if !state.replace_system {
        return Ok(());
    }
    let (next, present) = (next_os_disk(work.machine.dir), os_disk(work.machine.dir));
    // Not there any more: that was done, and only the note of it is missing.
    if next.exists() {
        std::fs::rename(&next, &present)
            .and_then(|()| machine_files::sync_folder(work.machine.dir))
            .context(|| format!("cannot put {} in place", next.display()))?;
    }
    state.replace_system = false;
    work.checkpoint.save("system", &state.to_value()?)
}
