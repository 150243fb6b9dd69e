//! What a record keeps of an instance: names by which everything that was made for it is found again.

use std::net::{IpAddr, SocketAddr};

use jiff::{SignedDuration, Timestamp};
use machine_core::{Endpoints, Error, MachineRef, Result, ResultExt as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::options::ENGINE_PORT;

/// How long an instance that was just asked for may be unknown to those who look for it: what is made is not known everywhere
/// at once (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>).
const INVISIBLE: SignedDuration = SignedDuration::from_mins(2);

/// The `driver_state` of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// In the tags of all that was made, and the idempotency token of the launch.
    pub(crate) token: String,
    /// The region.
    pub(crate) region: String,
    /// The account, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    /// The security group of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// The name of the key pair of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_pair: Option<String>,
    /// The instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    /// Whether an instance was asked for: from then on there may be one, whether or not its id is known.
    #[serde(default)]
    pub(crate) launched: bool,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) launched_at: Option<Timestamp>,
    /// Where it is reached; none while it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<IpAddr>,
    /// The port of its sshd.
    pub(crate) ssh_port: u16,
    /// When it ends itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Timestamp>,
    /// The workshop whose group, key pair and token these are: shared by all its hosts. With `instance`, this is one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fleet: Option<String>,
    /// How many launches were asked for, of a fleet: each has a client token of its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) launches: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references over")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl State {
    /// Of a machine of which nothing is made yet.
    pub(crate) fn new(token: String, region: &str) -> Self {
        Self {
            token,
            region: region.to_owned(),
            account: None,
            group: None,
            key_pair: None,
            instance: None,
            launched: false,
            launched_at: None,
            address: None,
            ssh_port: 22,
            expires: None,
            fleet: None,
            launches: 0,
        }
    }

    /// What a record has of it; none when nothing was made yet.
    ///
    /// # Errors
    /// What cannot be read: there may be an instance all the same.
    pub(crate) fn of(machine: MachineRef<'_>) -> Result<Option<Self>> {
        let value = &machine.record.driver_state;
        if value.is_null() {
            return Ok(None);
        }
        Self::deserialize(value).map(Some).map_err(|error| {
            Error::other("what the machine's record says of EC2 cannot be read")
                .because(error)
                .hint("`machine ec2 orphans` finds what is at EC2 once the record is gone")
        })
    }

    /// Whether its instance was asked for so lately that it may be there and not be seen yet.
    pub(crate) fn may_be_invisible(&self, now: Timestamp) -> bool {
        self.launched_at.is_some_and(|at| now.duration_since(at) < INVISIBLE)
    }

    /// Whether it is of one host of a fleet: what the others use too is not its own to remove.
    pub(crate) fn is_member(&self) -> bool {
        self.fleet.is_some() && self.instance.is_some()
    }

    pub(crate) fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self).context(|| "cannot write the state".into())
    }

    /// The id of its instance.
    ///
    /// # Errors
    /// When none was made.
    pub(crate) fn instance(&self) -> Result<&str> {
        self.instance.as_deref().ok_or_else(|| Error::other("the machine's record names no instance"))
    }

    pub(crate) fn endpoints(&self) -> Option<Endpoints> {
        self.address.map(|address| self.endpoints_at(address))
    }

    pub(crate) fn endpoints_at(&self, address: IpAddr) -> Endpoints {
        Endpoints { ssh: SocketAddr::new(address, self.ssh_port), engine: SocketAddr::new(address, ENGINE_PORT) }
    }
}
