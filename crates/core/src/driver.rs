//! What provides a machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::{Endpoints, Error, MachineRecord, MachineSpec, Observation, Reporter, Result, SshTarget, Usage};

/// A machine as a driver sees it: its record and its folder.
#[derive(Clone, Copy, Debug)]
pub struct MachineRef<'a> {
    /// What is kept of it.
    pub record: &'a MachineRecord,
    /// The folder that is its own; the driver may keep files in it.
    pub dir: &'a Path,
}

/// Makes what a driver is about to do durable.
///
/// Before each side effect that could leak (a process, an instance, a key pair) the driver writes into its state what it
/// is about to make, so that `rm` finds it whatever happens afterwards.
pub trait Checkpoint: Send + Sync {
    /// Writes `driver_state` into the record and onto the disk before it returns.
    ///
    /// # Errors
    /// When the record cannot be written: the side effect must then not take place.
    fn save(&self, name: &'static str, driver_state: &Value) -> Result<()>;
}

/// A piece of work on one machine.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// The machine.
    pub machine: MachineRef<'a>,
    /// Where the driver saves what it is about to make.
    pub checkpoint: &'a dyn Checkpoint,
    /// Where progress goes.
    pub reporter: &'a Reporter,
}

/// What a driver can do. Front ends ask this, never a driver's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Capabilities {
    /// The machine can be started and stopped.
    pub power: bool,
    /// Its CPUs and memory can be chosen.
    pub resources: bool,
    /// It runs on this computer, with logs of its own (serial console, supervisor).
    pub local: bool,
    /// It is made from an image of the store, which may bring an engine; others get theirs over SSH.
    pub images: bool,
    /// It can be paused: its CPUs halt, its memory stays where it is.
    pub pause: bool,
    /// It exists already, with keys of its own: the user says which, and confirms its host key.
    pub adopted: bool,
    /// Its first host key was handed to it where others may read it too: it gets another over the first connection.
    pub handed_host_key: bool,
    /// One logs in to it by SSH. Without, nothing but its engine is known of it, and nothing is done to it.
    pub login: bool,
}

/// What provides Docker hosts of one kind.
///
/// The order of calls for a new machine is `preflight`, `create`, `start`. Every call but `create` and `start` may come at
/// any time, on a half-made machine too.
#[async_trait]
pub trait Driver: Send + Sync {
    /// The name in records, such as `qemu`.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Checks that `spec` can be carried out here and fills in what it left open. No side effect that outlives the call.
    ///
    /// # Errors
    /// What is missing or does not fit, with the code [`crate::Code::PreCreate`].
    async fn preflight(&self, spec: &mut MachineSpec, reporter: &Reporter) -> Result<()>;

    /// Makes the machine's parts (disks, keys), without starting it. Called again after a crash, it begins anew.
    ///
    /// # Errors
    /// Whatever failed; what was made is known to the record.
    async fn create(&self, work: Work<'_>) -> Result<Value>;

    /// Starts it and returns when its SSH and engine ports are known; the guest may still be booting.
    ///
    /// # Errors
    /// Whatever failed, with the reason as the guest or the provider gave it.
    async fn start(&self, work: Work<'_>) -> Result<Endpoints>;

    /// Asks the guest to shut down, and ends it by force when it has not by `deadline`. Returns whether force was needed.
    ///
    /// # Errors
    /// When the machine could not be ended at all.
    async fn stop(&self, work: Work<'_>, deadline: Duration) -> Result<bool>;

    /// Saves its memory and turns it off; the next start goes on where it was. When it fails, the machine goes on.
    ///
    /// # Errors
    /// Why it cannot be suspended.
    async fn suspend(&self, work: Work<'_>) -> Result<()> {
        let name = &work.machine.record.name;
        Err(Error::other(format!("the driver {:?} cannot save a machine's memory", self.name()))
            .hint(format!("`machine stop {name}` shuts it down")))
    }

    /// Halts its CPUs; its memory stays where it is.
    ///
    /// # Errors
    /// Why it cannot be paused; the machine then goes on.
    async fn pause(&self, work: Work<'_>) -> Result<()> {
        let name = &work.machine.record.name;
        Err(Error::other(format!("the driver {:?} cannot pause a machine", self.name()))
            .hint(format!("`machine stop {name}` shuts it down")))
    }

    /// Lets the CPUs of a paused machine go on.
    ///
    /// # Errors
    /// Why they cannot.
    async fn resume(&self, work: Work<'_>) -> Result<()> {
        let _ = work;
        Err(Error::other(format!("the driver {:?} cannot pause a machine, nor let it go on", self.name())))
    }

    /// Gives a machine that is off the system of another image; its data stay. Saves its state by the checkpoint itself. After a
    /// crash, it is called again or a start carries on.
    ///
    /// # Errors
    /// Why it has no such system, or what failed; the machine then has its old one.
    async fn replace_system(&self, work: Work<'_>, image: &str) -> Result<()> {
        let _ = image;
        Err(Error::other(format!("the driver {:?} cannot replace a machine's system", self.name()))
            .hint(format!("`machine ssh {}` and its package tools can", work.machine.record.name)))
    }

    /// Makes the data disk of a machine that is off larger, up to `mib` MiB; one that is as large is left alone. The guest spreads its
    /// file system over it at its next boot.
    ///
    /// # Errors
    /// Why it cannot be made larger.
    async fn grow_disk(&self, work: Work<'_>, mib: u64) -> Result<()> {
        let _ = (work, mib);
        Err(Error::other(format!("the driver {:?} cannot make a machine's disk larger", self.name())))
    }

    /// Ends it at once, as pulling the plug would.
    ///
    /// # Errors
    /// When the machine could not be ended.
    async fn kill(&self, work: Work<'_>) -> Result<()>;

    /// Removes everything that the driver made outside the machine's folder, and ends its processes. Idempotent, also on
    /// half-made machines.
    ///
    /// # Errors
    /// What could not be removed; calling again carries on.
    async fn remove(&self, work: Work<'_>) -> Result<()>;

    /// Looks at the machine: lock-free, bounded in time.
    async fn observe(&self, machine: MachineRef<'_>) -> Observation;

    /// What the machine uses of this computer, by local facts alone and in a few milliseconds; `None` where it does not run
    /// on this computer.
    fn usage(&self, _machine: MachineRef<'_>) -> Option<Usage> {
        None
    }

    /// Where the machine is reached, by local facts alone and in well under a millisecond; `None` when it is off as far as
    /// this computer knows.
    fn endpoints(&self, machine: MachineRef<'_>) -> Option<Endpoints>;

    /// The socket or pipe of this computer that speaks plain Docker API for the machine, by local facts alone: where it is
    /// while the machine runs; `None` where there is none.
    fn engine_socket(&self, _machine: MachineRef<'_>) -> Option<PathBuf> {
        None
    }

    /// Where clients reach the engine in the words of its owner, with a name for an address, say; `None`: `tcp://` and the engine's
    /// endpoint.
    fn url(&self, _machine: MachineRef<'_>) -> Option<String> {
        None
    }

    /// The name that the engine's certificate is for, where that is another than our own certificates'.
    fn server_name(&self, _machine: MachineRef<'_>) -> Option<String> {
        None
    }

    /// How to log in at `endpoints`.
    fn ssh_target(&self, machine: MachineRef<'_>, endpoints: Endpoints) -> SshTarget;
}
