//! How a machine is seen to be, whoever looks after it.

use std::time::Duration;

use machine_core::{Code, MachineRef, MachineState, Observation};

use super::presence::Presence;
use super::state::DriverState;
use crate::control::{Call, Reply, RunState, Status};
use crate::last_exit::LastExit;
use crate::machine_files::{data_disk, os_disk};
use crate::run_file::RunFile;
use crate::warm::Suspended;

/// How long a supervisor may take to say how its machine is.
pub(super) const STATUS: Duration = Duration::from_millis(500);
/// What a user reads who finds a QEMU without a supervisor.
const ORPHAN: &str = "its supervisor is gone: the next start, stop or ssh brings a new one";

/// The machine as it is now.
pub(super) async fn observed(machine: MachineRef<'_>, presence: &Presence<'_>) -> Observation {
    let mut unheard = ORPHAN;
    if presence.is_supervised() {
        match presence.ask(Call::Status, STATUS, drop).await {
            Ok(Reply::Status(status)) => return supervised(adopting(status, presence)),
            Err(error) if error.code() == Code::TimedOut => unheard = "its supervisor does not answer",
            // It has just ended, or died.
            Ok(_) | Err(_) => {}
        }
    }
    // A QEMU whose supervisor was lost while it saved or loaded the machine's memory: what counts is in the file.
    if Suspended::read(machine.dir).is_some() {
        return switched_off(machine);
    }
    if let Some(run) = presence.live_run() {
        let mut warnings = run.warnings;
        warnings.push(unheard.to_owned());
        return Observation { state: MachineState::Running, endpoints: run.ports.map(Into::into), warnings };
    }
    if presence.live_qemu().is_some() {
        return Observation { warnings: vec![unheard.to_owned()], ..Observation::of(MachineState::Running) };
    }
    // One that has noted its end only says good-bye.
    if presence.is_locked() && LastExit::read(machine.dir).is_none() {
        return Observation::of(MachineState::Starting);
    }
    switched_off(machine)
}

/// A supervisor that is only just adopting a machine does not speak for it yet: what the last one noted is still true.
fn adopting(status: Status, presence: &Presence<'_>) -> Status {
    match presence.live_run().and_then(|run| run.ports) {
        Some(ports) if status.state == RunState::Starting => {
            Status { state: RunState::Running, ports: Some(ports), ..status }
        }
        _ => status,
    }
}

fn supervised(status: Status) -> Observation {
    let state = match status.state {
        RunState::Starting => MachineState::Starting,
        RunState::Running => MachineState::Running,
        RunState::Paused => MachineState::Paused,
        RunState::Stopping => MachineState::Stopping,
    };
    Observation { state, endpoints: status.ports.map(Into::into), warnings: status.warnings }
}

/// A machine that does not run: whether it could, and whether its last run ended as it should.
fn switched_off(machine: MachineRef<'_>) -> Observation {
    let disks = [os_disk(machine.dir), data_disk(machine.dir)];
    if disks.iter().any(|disk| !disk.exists()) {
        return Observation::of(MachineState::Missing);
    }
    if let Some(state) = DriverState::of(machine.record)
        && !state.base_disk.exists()
    {
        return Observation::of(MachineState::Broken(format!(
            "the disk of its image is gone ({}): `machine image` gets or builds images",
            state.base_disk.display()
        )));
    }
    if let Some(suspended) = Suspended::read(machine.dir) {
        let since = suspended.at.strftime("%Y-%m-%d %H:%M:%SZ");
        return Observation { warnings: vec![format!("suspended at {since}")], ..Observation::of(MachineState::Saved) };
    }
    match LastExit::read(machine.dir) {
        Some(exit) if !exit.clean => Observation::of(MachineState::Broken(exit.describe())),
        Some(_) => Observation::of(MachineState::Stopped),
        None if RunFile::read(machine.dir).is_some() => Observation {
            warnings: vec![
                "its last run ended without a shutdown (this computer went off, or its processes were killed)"
                    .to_owned(),
            ],
            ..Observation::of(MachineState::Stopped)
        },
        None => Observation::of(MachineState::Stopped),
    }
}
