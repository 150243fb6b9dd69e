//! Containers of one engine: what can be done to them, what they write, and when anything of them changes.

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::EventMessage;
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RestartContainerOptions, StartContainerOptions, StopContainerOptions,
};
use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use machine_core::{Code, Error};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::failure::{EngineError, explain};

/// How long an engine gives a container's process to end before it kills it, where nothing else is said: Docker's default.
const GRACE: Duration = Duration::from_secs(10);

/// An engine's own name of a container: hexadecimal digits, 12 to 64 of them. Nothing else gets into the path of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl FromStr for ContainerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits && (12..=64).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(Code::Usage, format!("{text:?} is no identifier of a container")))
    }
}

impl TryFrom<String> for ContainerId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What can be done to a container. Named as the subcommands of `docker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerVerb {
    /// Start its process.
    Start,
    /// End its process, by force after ten seconds.
    Stop,
    /// Stop and start.
    Restart,
    /// Halt its processes.
    Pause,
    /// Let them go on.
    Unpause,
    /// Remove it with its anonymous volumes, even while it runs.
    Rm,
}

/// A change of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerChange {
    /// The engine's word for it: `start`, `die`, `exec_create: sh`.
    pub action: String,
    /// The container's identifier.
    pub id: String,
}

impl ContainerChange {
    /// Whether the container is new.
    pub fn is_creation(&self) -> bool {
        self.action == "create"
    }

    /// Whether containers that run may publish other ports, or mount other folders, than before.
    pub fn moves_ports(&self) -> bool {
        matches!(self.action.as_str(), "start" | "die" | "rename" | "update")
    }
}

/// What a container mounts of its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMounts {
    /// The container's name.
    pub container: String,
    /// Paths of the machine.
    pub sources: Vec<String>,
    /// When it started last, by the machine's clock.
    pub started: Option<Timestamp>,
}

/// Changes of an engine's containers, one at a time.
pub struct ContainerEvents {
    stream: Pin<Box<dyn Stream<Item = Result<EventMessage, bollard::errors::Error>> + Send>>,
    peer: String,
}

impl ContainerEvents {
    /// Waits for the next change; `None` when the engine ends the stream.
    ///
    /// # Errors
    /// A connection that broke.
    pub async fn next(&mut self) -> Result<Option<ContainerChange>, EngineError> {
        match self.stream.next().await {
            Some(Ok(event)) => {
                let id = event.actor.and_then(|actor| actor.id).unwrap_or_default();
                Ok(Some(ContainerChange { action: event.action.unwrap_or_default(), id }))
            }
            Some(Err(error)) => Err(explain(&self.peer, error)),
            None => Ok(None),
        }
    }
}

/// What a container writes, as it comes.
pub struct ContainerOutput {
    stream: Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>,
    peer: String,
}

impl ContainerOutput {
    /// Waits for the next piece; `None` when the container has ended.
    ///
    /// # Errors
    /// A connection that broke.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, EngineError> {
        match self.stream.next().await {
            Some(Ok(output)) => Ok(Some(output.into_bytes().to_vec())),
            Some(Err(error)) => Err(explain(&self.peer, error)),
            None => Ok(None),
        }
    }
}

impl Engine {
    /// Does `verb` to a container.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn change_container(&self, id: &ContainerId, verb: ContainerVerb) -> Result<(), EngineError> {
        let docker = self.docker();
        let id = id.to_string();
        let call = async {
            match verb {
                ContainerVerb::Start => docker.start_container(&id, None::<StartContainerOptions>).await,
                ContainerVerb::Stop => docker.stop_container(&id, None::<StopContainerOptions>).await,
                ContainerVerb::Restart => docker.restart_container(&id, None::<RestartContainerOptions>).await,
                ContainerVerb::Pause => docker.pause_container(&id).await,
                ContainerVerb::Unpause => docker.unpause_container(&id).await,
                ContainerVerb::Rm => {
                    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                    docker.remove_container(&id, Some(options)).await
                }
            }
        };
        self.bounded_by(self.timeout() + GRACE, call).await
    }

    /// The folders and files of the machine that a container mounts.
    ///
    /// # Errors
    /// Why the engine does not say, such as that the container is gone.
    pub async fn bind_mounts(&self, id: &ContainerId) -> Result<BindMounts, EngineError> {
        let id = id.to_string();
        let call = self.docker().inspect_container(&id, None::<InspectContainerOptions>);
        let container = self.bounded_by(self.timeout(), call).await?;
        let name = container.name.map(|name| name.trim_start_matches('/').to_owned()).unwrap_or(id);
        let binds = container.mounts.into_iter().flatten().filter(|mount| mount.typ.as_deref() == Some("bind"));
        let started = container.state.and_then(|state| state.started_at).and_then(|text| text.parse().ok());
        Ok(BindMounts { container: name, sources: binds.filter_map(|mount| mount.source).collect(), started })
    }

    /// Tells of every change of the containers since `since`, by the engine's own clock ([`crate::engine_time`]), else from
    /// the first [`ContainerEvents::next`] on, which is what connects.
    pub fn container_events(&self, since: Option<Timestamp>) -> ContainerEvents {
        self.events_of(&["container"], since)
    }

    /// As [`Engine::container_events`], of whatever `kinds` names: `container`, `image`, `volume`, `network`.
    pub fn events_of(&self, kinds: &[&'static str], since: Option<Timestamp>) -> ContainerEvents {
        let only = [("type", kinds.to_vec())].into_iter().collect();
        let mut options = EventsOptionsBuilder::default().filters(&only);
        if let Some(since) = since {
            // Not RFC 3339, which `/logs` takes: moby's daemon reads this one with `ParseTimestamps` alone.
            options = options.since(&format!("{}.{:09}", since.as_second(), since.subsec_nanosecond()));
        }
        let options = options.build();
        let docker = self.docker().clone();
        ContainerEvents { stream: Box::pin(docker.events(Some(options))), peer: self.peer().to_owned() }
    }

    /// The last `lines` lines that a container wrote, each with its time, and what it writes from now on.
    pub fn container_output(&self, id: &ContainerId, lines: usize) -> ContainerOutput {
        let options = LogsOptionsBuilder::default()
            .follow(true)
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .tail(&lines.to_string())
            .build();
        let docker = self.docker().clone();
        ContainerOutput { stream: Box::pin(docker.logs(&id.to_string(), Some(options))), peer: self.peer().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identifiers_get_into_the_path_of_a_request() {
        assert!("0123456789ab".parse::<ContainerId>().is_ok());
        for bad in ["", "web", "0123456789AB", "0123456789ab/../x", &"a".repeat(65)] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad}");
        }
    }
}
