//! What is told of one published port.

use std::net::SocketAddr;

use machine_core::Protocol;
use serde::{Deserialize, Serialize};

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRow {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port on this computer.
    pub port: u16,
    /// The container that publishes it.
    pub container: String,
    /// The port inside the container.
    pub container_port: u16,
    /// Whether it is there.
    pub state: PortState,
}

/// Whether a published port is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PortState {
    /// It is.
    Open {
        /// Where it listens on this computer.
        addresses: Vec<SocketAddr>,
    },
    /// The way into the machine is being made.
    Opening,
    /// Somebody else listens there. It is taken up as soon as it is free.
    Taken {
        /// The address that is in use.
        address: SocketAddr,
        /// Who has it, when that can be seen.
        holder: Option<String>,
    },
    /// This computer does not give it.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

impl PortRow {
    /// Where it is best reached from this computer, if it is open.
    pub fn open_at(&self) -> Option<SocketAddr> {
        let PortState::Open { addresses } = &self.state else { return None };
        addresses.iter().find(|address| address.ip().is_loopback()).or(addresses.first()).copied()
    }

    /// What the user should know of it.
    pub(crate) fn warning(&self) -> Option<String> {
        let Self { protocol, port, container, .. } = self;
        match &self.state {
            PortState::Open { .. } | PortState::Opening => None,
            PortState::Taken { holder, .. } => {
                let holder = holder.as_ref().map_or_else(|| "another program".to_owned(), Clone::clone);
                Some(format!("port {port}/{protocol} of container {container} is taken on this computer by {holder}"))
            }
            PortState::Refused { reason } => {
                Some(format!("port {port}/{protocol} of container {container} cannot be opened here: {reason}"))
            }
        }
    }
}
