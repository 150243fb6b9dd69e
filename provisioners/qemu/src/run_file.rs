//! The facts of a run that is going on (`run.json`), for whoever looks without asking the supervisor.
//!
//! It is removed at a clean end. One that was left over is verified by its identities, never believed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use machine_core::{Carrier, Endpoints, Result};
use serde::{Deserialize, Serialize};

use crate::facts::Accelerator;
use crate::process_identity::ProcessIdentity;
use crate::{json_file, machine_files};

/// The form that this program writes and reads.
pub const RUN_SCHEMA: u32 = 1;

/// The loopback ports of this computer that lead into a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// Leads to sshd (22).
    pub ssh: u16,
    /// Leads to the engine (2376).
    pub engine: u16,
}

impl From<Ports> for Endpoints {
    fn from(ports: Ports) -> Self {
        let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { ssh: here(ports.ssh), engine: here(ports.engine) }
    }
}

/// What is true of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// The form of this file.
    pub schema: u32,
    /// The supervisor, where it could be identified.
    pub supervisor: Option<ProcessIdentity>,
    /// QEMU.
    pub qemu: ProcessIdentity,
    /// The machine's token.
    pub token: String,
    /// Where it is reached; not known in the first moments.
    pub ports: Option<Ports>,
    /// What the guest's instructions run on; unknown when QEMU was found without this file.
    pub accelerator: Option<Accelerator>,
    /// The value of `-cpu`; unknown likewise.
    pub cpu_model: Option<String>,
    /// The guest has begun as nobody's machine, and may not know yet whose it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaits_identity: bool,
    /// What its state is good for when it is saved; none: it cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    /// The folders of this computer that devices carry: QEMU does not save its state while the guest has one mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<PathBuf>,
    /// Devices of which kind.
    #[serde(default, skip_serializing_if = "is_nine_p")]
    pub carrier: Carrier,
    /// Its guest service can be asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub channel: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// QEMU's monitor.
    pub qmp_socket: PathBuf,
    /// The supervisor's control socket.
    pub control_socket: PathBuf,
    /// When QEMU was started.
    pub started: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_nine_p(carrier: &Carrier) -> bool {
    *carrier == Carrier::NineP
}

impl RunFile {
    /// The file in the folder `dir`, of whatever truth; `None` also for one of another schema.
    pub fn read(dir: &Path) -> Option<Self> {
        json_file::read::<Self>(&machine_files::run_file(dir)).filter(|run| run.schema == RUN_SCHEMA)
    }

    /// Writes it into the folder `dir`.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn write(&self, dir: &Path) -> Result<()> {
        json_file::write(&machine_files::run_file(dir), self)
    }

    /// Removes it from the folder `dir`, if it is there.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn remove(dir: &Path) -> Result<()> {
        json_file::remove(&machine_files::run_file(dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_schema_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = RunFile {
            schema: RUN_SCHEMA,
            supervisor: None,
            qemu: ProcessIdentity { pid: 1, start_time: 2, token: "t".into() },
            token: "t".into(),
            ports: Some(Ports { ssh: 1022, engine: 1376 }),
            accelerator: Some(Accelerator::Tcg),
            cpu_model: Some("max".into()),
            awaits_identity: false,
            state_key: None,
            folders: Vec::new(),
            carrier: Carrier::default(),
            channel: false,
            warnings: vec!["slow mode".into()],
            qmp_socket: "/run/q".into(),
            control_socket: "/run/c".into(),
            started: Timestamp::UNIX_EPOCH,
        };
        run.write(dir.path()).unwrap();
        insta::assert_snapshot!(std::fs::read_to_string(dir.path().join("run.json")).unwrap());
        assert_eq!(RunFile::read(dir.path()), Some(run.clone()));
        run.schema = 2;
        run.write(dir.path()).unwrap();
        assert_eq!(RunFile::read(dir.path()), None);
        RunFile::remove(dir.path()).unwrap();
        assert_eq!(RunFile::read(dir.path()), None);
    }
}
