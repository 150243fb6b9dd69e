//! What was asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ShareType, SharedFolder};

/// What a machine shall be. Kept in its record; changed only by the user's own commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Size of the disk that holds containers, images and volumes, MiB.
    pub disk_mib: u64,
    /// The image asked for, by name (`machine`, `debian-13`) or path; `None` means our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The login name inside.
    pub ssh_user: String,
    /// More names and addresses for the server certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls_san: Vec<String>,
    /// Settings of Docker Engine.
    #[serde(default)]
    pub engine: EngineSpec,
    /// Where ports that containers publish on all addresses appear.
    #[serde(default, skip_serializing_if = "Publish::is_loopback")]
    pub publish: Publish,
    /// Folders of this computer that the machine sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<SharedFolder>,
    /// What carries them.
    #[serde(default, skip_serializing_if = "ShareType::is_auto")]
    pub share_type: ShareType,
    /// Settings that only the driver understands; it checks them in its preflight.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// Who reaches a port that a container publishes on all addresses (`-p 8000:8000`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// This computer alone.
    #[default]
    Loopback,
    /// Everybody who reaches this computer.
    Lan,
}

impl Publish {
    fn is_loopback(&self) -> bool {
        *self == Self::Loopback
    }
}

/// Settings of Docker Engine, as docker-machine's `--engine-*` flags name them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineSpec {
    /// Options of the daemon, `key` or `key=value`, in the order given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Labels of the daemon.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Registries that may be reached without verified TLS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub insecure_registries: Vec<String>,
    /// Mirrors of Docker Hub.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registry_mirrors: Vec<String>,
    /// The storage driver; the engine chooses when it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_driver: Option<String>,
    /// The daemon's environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Networks that the engine takes its own from, `base=10.10.0.0/16,size=24`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub address_pools: Vec<String>,
    /// Where the engine is installed from, on a machine that comes without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<EngineSource>,
    /// A script that installs it, by its address, in place of packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_url: Option<String>,
    /// The version to install, such as `28.1.1`; the newest when it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// More accounts of the machine that may use the engine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Certificates of authorities that the machine and its engine trust besides, PEM.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<String>,
    /// The authority of a registry (`host:port`), PEM.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub registry_authorities: BTreeMap<String, String>,
}

/// Where Docker Engine comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineSource {
    /// Docker's own packages.
    Docker,
    /// The packages of the machine's distribution.
    Distro,
}
