//! What a host shall be.

use machine_core::EngineSpec;

pub use machine_core::EngineSource as Source;

/// The certificates of the engine, PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority whose clients are let in.
    pub ca: String,
    /// The engine's certificate.
    pub certificate: String,
    /// Its key, a secret.
    pub key: String,
}

impl std::fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsFiles")
    }
}

/// What a host shall be.
#[derive(Clone, Debug)]
pub struct Request {
    /// The machine's name, for messages.
    pub machine: String,
    /// The driver, for the engine's label `provider=`.
    pub driver: String,
    /// The engine's settings.
    pub engine: EngineSpec,
    /// Its certificates.
    pub tls: TlsFiles,
    /// The address that the engine listens on: `0.0.0.0`, or `[::]` where it is reached by IPv6.
    pub listen: String,
    /// Its port.
    pub port: u16,
    /// A disk that is the engine's alone (`/dev/disk/by-id/...`), for containers, images and volumes.
    pub data_disk: Option<String>,
    /// Whether to bring the engine to the newest version.
    pub upgrade: bool,
}
