//! What is true now: always derived from live facts, never stored.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// The state of a machine, under docker-machine's names where it had one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum MachineState {
    /// The host is up (its engine may still be starting).
    Running,
    /// It exists and is off.
    Stopped,
    /// It is coming up.
    Starting,
    /// It is going down.
    Stopping,
    /// Its CPUs are halted, its memory is kept.
    Paused,
    /// It is off, with its memory saved: a start goes on where it was.
    Saved,
    /// Its record exists, what the record speaks of does not.
    Missing,
    /// It cannot work as it is; the text says why.
    Broken(String),
    /// It could not be looked at; the text says why. It may well run.
    Unknown(String),
}

impl MachineState {
    /// The name that `ls` and `status` print. `Missing`, `Broken` and `Unknown` are docker-machine's `Error`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Starting => "Starting",
            Self::Stopping => "Stopping",
            Self::Paused => "Paused",
            Self::Saved => "Saved",
            Self::Missing | Self::Broken(_) | Self::Unknown(_) => "Error",
        }
    }
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SshTarget {
    /// Where sshd answers, seen from this computer.
    pub address: SocketAddr,
    /// The login name.
    pub user: String,
    /// The private key of this machine.
    pub key: PathBuf,
    /// The pinned host key (`ssh-ed25519 AAAA...`).
    pub host_key: String,
    /// The machine's name, for messages.
    pub machine: String,
}

/// Where a running machine is reached from this computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoints {
    /// sshd.
    pub ssh: SocketAddr,
    /// The engine's TLS port.
    pub engine: SocketAddr,
}

/// What a machine uses of this computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// CPU time since its start, all CPUs together; none while it is off.
    pub cpu_time: Option<Duration>,
    /// Memory that it has of this computer's, bytes; none while it is off.
    pub memory: Option<u64>,
    /// What its disks take, bytes.
    pub disk: u64,
}

/// What a look at a machine found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// Its state.
    pub state: MachineState,
    /// Where it is reached, while it runs.
    pub endpoints: Option<Endpoints>,
    /// What the user should know, such as "slow mode: ...".
    pub warnings: Vec<String>,
}

impl Observation {
    /// An observation of `state` with nothing more to say.
    pub fn of(state: MachineState) -> Self {
        Self { state, endpoints: None, warnings: Vec::new() }
    }
}
