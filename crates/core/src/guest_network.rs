//! The network between this computer and a machine's guest.

use std::fmt;
use std::net::SocketAddrV4;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Result;

/// A transport protocol of published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Leads ports of this computer's loopback into a guest.
#[async_trait]
pub trait GuestNetwork: Send + Sync {
    /// Where processes of the guest are reached that listen on all of its addresses.
    fn guest(&self) -> std::net::Ipv4Addr;

    /// An address that belongs to the guest and to nobody in it yet, which the guest may lead to its own loopback.
    fn guest_loopback(&self) -> std::net::Ipv4Addr;

    /// A port of 127.0.0.1 that leads to `inside`; the same one when asked again.
    ///
    /// # Errors
    /// When nothing can be led there.
    async fn forward(&self, protocol: Protocol, inside: SocketAddrV4) -> Result<u16>;

    /// Takes back what [`GuestNetwork::forward`] gave. Connections that were made go on.
    ///
    /// # Errors
    /// When whoever keeps it does not answer.
    async fn withdraw(&self, protocol: Protocol, inside: SocketAddrV4) -> Result<()>;
}
