//! Connections to an engine for those who speak its API themselves.

use std::fmt;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::connect::Way;
use crate::engine::EngineTarget;
use crate::failure::{EngineError, judge, timed_out};

/// A connection to an engine, its handshake done. Each half is closed by itself: shutting it down ends what the engine
/// reads, and what it writes goes on.
pub type EngineStream = TlsStream<TcpStream>;

/// Opens connections to one engine. TLS sessions are resumed among them.
#[derive(Clone)]
pub struct EngineDialer {
    way: Way,
    peer: String,
    limit: Duration,
}

impl EngineDialer {
    /// Prepares connections to `target`, whose limit is that of a handshake. Nothing is sent.
    ///
    /// # Errors
    /// Certificates, a key or a name that cannot be used ([`crate::EngineFailure::Local`]).
    pub fn new(target: &EngineTarget) -> Result<Self, EngineError> {
        Ok(Self { way: Way::to(target)?, peer: target.peer(), limit: target.timeout })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Why the engine is not reached, or is not the one.
    pub async fn open(&self) -> Result<EngineStream, EngineError> {
        match tokio::time::timeout(self.limit, self.way.open()).await {
            Ok(opened) => opened.map_err(|error| judge(&self.peer, error)),
            Err(_) => Err(timed_out(&self.peer)),
        }
    }

    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }
}

impl fmt::Debug for EngineDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineDialer to {}", self.peer)
    }
}
