//! What goes on inside one container: its settings, its processes, what it uses.

use std::pin::Pin;

use bollard::models::{ContainerStatsResponse, ContainerTopResponse};
use bollard::query_parameters::{StatsOptionsBuilder, TopOptions};
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;

use crate::containers::ContainerId;
use crate::engine::Engine;
use crate::failure::{EngineError, explain};

/// What a container uses, measured once a second by the engine.
pub struct ContainerStats {
    stream: Pin<Box<dyn Stream<Item = Result<ContainerStatsResponse, bollard::errors::Error>> + Send>>,
    peer: String,
}

impl ContainerStats {
    /// Waits for the next measurement; `None` when the engine has no more.
    ///
    /// # Errors
    /// A connection that broke, or a container that is gone.
    pub async fn next(&mut self) -> Result<Option<ContainerStatsResponse>, EngineError> {
        match self.stream.next().await {
            Some(Ok(stats)) => Ok(Some(stats)),
            Some(Err(error)) => Err(explain(&self.peer, error)),
            None => Ok(None),
        }
    }
}

impl Engine {
    /// All that the engine knows of a container, in its own words.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn inspect_container(&self, id: &ContainerId) -> Result<Value, EngineError> {
        self.json(&format!("/containers/{id}/json"), self.timeout()).await
    }

    /// The processes of a container that runs.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn processes(&self, id: &ContainerId) -> Result<ContainerTopResponse, EngineError> {
        let id = id.to_string();
        self.bounded_by(self.timeout(), self.docker().top_processes(&id, None::<TopOptions>)).await
    }

    /// What a container uses, from the first [`ContainerStats::next`] on.
    pub fn container_stats(&self, id: &ContainerId) -> ContainerStats {
        let options = StatsOptionsBuilder::default().stream(true).build();
        let docker = self.docker().clone();
        ContainerStats { stream: Box::pin(docker.stats(&id.to_string(), Some(options))), peer: self.peer().to_owned() }
    }
}
