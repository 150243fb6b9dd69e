//! What is kept on disk of a machine.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Code, Error, MachineName, MachineSpec, Result};

/// The newest form of a record that this program writes and reads.
pub const RECORD_SCHEMA: u32 = 1;

/// One machine as its folder remembers it (`machine.json`). What is true *now* is never in here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineRecord {
    /// The form of this file.
    pub schema: u32,
    /// The machine's name; equal to its folder's.
    pub name: MachineName,
    /// What provides it, by its registered name.
    pub driver: String,
    /// When `create` began.
    pub created: Timestamp,
    /// What was asked for.
    pub spec: MachineSpec,
    /// How far creation came.
    pub phase: Phase,
    /// When the server certificate ends: renewed at a start that comes close to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ends: Option<Timestamp>,
    /// The pinned host key, as in a `known_hosts` line (`ssh-ed25519 AAAA...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// What the driver made and needs to find again; only the driver reads it.
    #[serde(default)]
    pub driver_state: serde_json::Value,
}

/// How far creation came: durable, so that a crash can be picked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// `create` has begun; any part may exist. `rm` removes it all, a new `create` of the name begins anew.
    Creating,
    /// All its parts exist and it was started; the engine has not answered yet.
    Created,
    /// The engine has answered over TLS at least once.
    Ready,
}

impl MachineRecord {
    /// Reads a record, refusing what a newer program wrote.
    ///
    /// # Errors
    /// Text that is no record, or one of a newer schema: both name what to do.
    pub fn parse(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let version: Version = serde_json::from_slice(text).map_err(|e| {
            Error::other("the record is broken")
                .because(e)
                .hint("`machine rm -f NAME` removes what is left of the machine")
        })?;
        if version.schema > RECORD_SCHEMA {
            return Err(Error::new(
                Code::Other,
                format!("the record has schema {}, this program knows up to {RECORD_SCHEMA}", version.schema),
            )
            .hint("it was written by a newer `machine`: upgrade this one"));
        }
        serde_json::from_slice(text).map_err(|e| {
            Error::other("the record is broken")
                .because(e)
                .hint("`machine rm -f NAME` removes what is left of the machine")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = r#"{"schema":1,"name":"dev","driver":"qemu","created":"2026-11-22T00:00:00Z",
        "spec":{"cpus":2,"memory_mib":2048,"disk_mib":20480,"ssh_user":"docker"},"phase":"ready","a_later_field":1}"#;

    #[test]
    fn a_record_of_this_schema_is_read_even_with_fields_of_a_later_minor_version() {
        let record = MachineRecord::parse(V1.as_bytes()).unwrap();
        assert_eq!((record.name.as_str(), record.phase), ("dev", Phase::Ready));
    }

    #[test]
    fn a_newer_schema_and_broken_text_are_refused_with_what_to_do() {
        let newer = MachineRecord::parse(V1.replace("\"schema\":1", "\"schema\":9").as_bytes()).unwrap_err();
        assert!(newer.to_string().contains("schema 9") && newer.hints()[0].contains("upgrade"), "{newer:?}");
        for broken in ["", "{", "[]", "null", r#"{"schema":1}"#, &V1.replace("\"dev\"", "\"../x\"")] {
            let error = MachineRecord::parse(broken.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("broken"), "{broken}: {error}");
        }
    }
}
