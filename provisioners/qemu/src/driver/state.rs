//! What the driver keeps in a machine's record.

use std::path::PathBuf;

use machine_core::{Error, MachineRecord, Result, ResultExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::run_file::Ports;

/// The `driver_state` of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DriverState {
    /// A UUID among QEMU's arguments (`-uuid`), by which its process is found and known.
    pub(crate) token: String,
    /// The image that the OS disk is an overlay of: SHA-256 of its disk file.
    pub(crate) image_digest: String,
    /// That disk file, as the overlay names it.
    pub(crate) base_disk: PathBuf,
    /// A new OS disk on that image is made and has to be put in place of the present one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) replace_system: bool,
    /// The ports of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ports: Option<Ports>,
}

impl DriverState {
    /// A new machine on the image `digest` with the disk `base_disk`. One that is made again keeps its token, so that
    /// whatever the first attempt left running is found.
    pub(crate) fn new(earlier: Option<Self>, digest: String, base_disk: PathBuf) -> Self {
        let token = earlier.map_or_else(|| Uuid::new_v4().to_string(), |earlier| earlier.token);
        Self { token, image_digest: digest, base_disk, replace_system: false, ports: None }
    }

    /// What the record keeps; `None` for a machine of which nothing was made yet, or whose state cannot be understood.
    pub(crate) fn of(record: &MachineRecord) -> Option<Self> {
        Self::deserialize(&record.driver_state).ok()
    }

    /// What the record keeps.
    ///
    /// # Errors
    /// When nothing was made yet.
    pub(crate) fn required(record: &MachineRecord) -> Result<Self> {
        Self::of(record).ok_or_else(|| {
            Error::other(format!("machine {:?} has no disks yet", record.name.as_str()))
                .hint(format!("`machine create {0}` makes them, `machine rm {0}` removes what is left", record.name))
        })
    }

    pub(crate) fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self).context(|| "cannot write the state of a machine".into())
    }
}
