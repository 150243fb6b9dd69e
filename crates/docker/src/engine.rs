//! The Docker API of one machine.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerSummary, SystemInfo, SystemVersion};
use bollard::query_parameters::ListContainersOptionsBuilder;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use jiff::Timestamp;
use machine_core::{Error, Result};

use crate::connect::Way;
use crate::failure::{EngineError, EngineFailure, explain, timed_out};

/// How to reach an engine and by what to know it.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineTarget {
    /// The machine's name, for messages.
    pub machine: String,
    /// Where the engine's TLS port answers, seen from this computer.
    pub address: SocketAddr,
    /// The name or address that its certificate must hold.
    pub server_name: String,
    /// The only authority that is trusted, PEM.
    pub ca_pem: String,
    /// Our certificate, PEM.
    pub client_cert_pem: String,
    /// Its key, PEM.
    pub client_key_pem: String,
    /// The limit of one call, from connecting to the last byte of the answer.
    pub timeout: Duration,
}

impl EngineTarget {
    /// The engine in messages: `machine "dev" (127.0.0.1:2376)`.
    pub(crate) fn peer(&self) -> String {
        format!("machine {:?} ({})", self.machine, self.address)
    }
}

impl fmt::Debug for EngineTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineTarget")
            .field("machine", &self.machine)
            .field("address", &self.address)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// A machine's engine. Every call is bounded by the target's limit and needs a tokio runtime.
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    way: Way,
    peer: String,
    timeout: Duration,
}

impl Engine {
    /// Prepares calls to an engine; nothing is sent before the first one.
    ///
    /// # Errors
    /// Certificates, a key or a name that cannot be used ([`EngineFailure::Local`]).
    pub fn connect(target: &EngineTarget) -> Result<Self, EngineError> {
        Self::over(Way::to(target)?, target.peer(), target.timeout)
    }

    /// The same engine over connections of its own: one at rest ends with the runtime that it was made in.
    pub(crate) fn apart(&self) -> Result<Self, EngineError> {
        let way = Way { rest: Arc::default(), ..self.way.clone() };
        Self::over(way, self.peer.clone(), self.timeout)
    }

    fn over(way: Way, peer: String, timeout: Duration) -> Result<Self, EngineError> {
        let calls = way.clone();
        let transport = move |request: BollardRequest| calls.clone().send(request);
        // Its own limit is in whole seconds and ends with the headers; ours surrounds the call. Paths carry no version:
        // an engine of any age answers in its own.
        let whole_seconds = timeout.as_secs() + 15;
        let docker = Docker::connect_with_custom_transport(
            transport,
            Some("https://engine"),
            whole_seconds,
            API_DEFAULT_VERSION,
        )
        .map_err(|error| EngineError {
            failure: EngineFailure::Local,
            error: Error::other(format!("the API client refuses {peer}")).because(error),
        })?;
        Ok(Self { docker, way, peer, timeout })
    }

    /// Whether the engine answers at all.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), EngineError> {
        self.bounded(self.docker.ping()).await.map(drop)
    }

    /// Its versions, of any engine however old or new.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn version(&self) -> Result<SystemVersion, EngineError> {
        self.bounded(self.docker.version()).await
    }

    /// What it tells of itself: counts of containers, storage driver, its clock ([`engine_time`]).
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn info(&self) -> Result<SystemInfo, EngineError> {
        self.bounded(self.docker.info()).await
    }

    /// Its containers; `all` includes those that do not run.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn containers(&self, all: bool) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = ListContainersOptionsBuilder::default().all(all).build();
        self.bounded(self.docker.list_containers(Some(options))).await
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    pub(crate) fn way(&self) -> Way {
        self.way.clone()
    }

    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        self.bounded_by(self.timeout, call).await
    }

    pub(crate) async fn bounded_by<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout(limit, call).await {
            Ok(result) => result.map_err(|error| explain(&self.peer, error)),
            Err(_) => Err(timed_out(&self.peer)),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine of {}", self.peer)
    }
}

/// The engine's clock when it answered, for a look at how far it is off.
pub fn engine_time(info: &SystemInfo) -> Option<Timestamp> {
    info.system_time.as_deref()?.parse().ok()
}
