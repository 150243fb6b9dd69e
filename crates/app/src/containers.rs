//! Containers of a machine, as a window shows them.

use std::time::Duration;

use machine_core::{MachineName, Result};
use machine_docker::{ContainerId, ContainerSummary, ContainerVerb, Engine};
use serde::{Deserialize, Serialize};

use crate::app::App;

/// How long an engine may take for one answer.
const LIMIT: Duration = Duration::from_secs(15);

/// One container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Its identifier.
    pub id: String,
    /// Its name, without the slash that the API puts before it.
    pub name: String,
    /// The image it was made from, as it was asked for.
    pub image: String,
    /// `running`, `exited`, `paused`, `created`, `restarting`, `removing`, `dead`.
    pub state: String,
    /// The engine's own words: `Up 3 minutes (healthy)`.
    pub status: String,
    /// The Compose project that it belongs to.
    pub project: Option<String>,
    /// Ports: `8080:80/tcp` where one is published, else `80/tcp`.
    pub ports: Vec<String>,
    /// What can be done to it now.
    pub can: Vec<ContainerVerb>,
}

impl Container {
    fn of(summary: ContainerSummary) -> Self {
        let state = summary.state.map(|state| state.to_string()).unwrap_or_default();
        let name = summary.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let mut ports: Vec<(u16, String)> = summary
            .ports
            .unwrap_or_default()
            .into_iter()
            .map(|port| {
                let kind = port.typ.map_or_else(|| "tcp".to_owned(), |kind| kind.to_string());
                let shown = match port.public_port {
                    Some(public) => format!("{public}:{}/{kind}", port.private_port),
                    None => format!("{}/{kind}", port.private_port),
                };
                (port.private_port, shown)
            })
            .collect();
        // One for IPv4 and one for IPv6 is one to a person.
        ports.sort();
        ports.dedup();
        Self {
            id: summary.id.unwrap_or_default(),
            name: name.trim_start_matches('/').to_owned(),
            image: summary.image.unwrap_or_default(),
            can: can(&state),
            state,
            status: summary.status.unwrap_or_default(),
            project: summary.labels.unwrap_or_default().remove("com.docker.compose.project"),
            ports: ports.into_iter().map(|(_, shown)| shown).collect(),
        }
    }
}

fn can(state: &str) -> Vec<ContainerVerb> {
    use ContainerVerb::{Pause, Restart, Rm, Start, Stop, Unpause};
    match state {
        "running" | "restarting" => vec![Stop, Restart, Pause, Rm],
        "paused" => vec![Unpause, Stop, Rm],
        "removing" => Vec::new(),
        _ => vec![Start, Rm],
    }
}

/// One thing done to one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerAction {
    /// The machine.
    pub machine: MachineName,
    /// The container.
    pub id: ContainerId,
    /// What to do.
    pub verb: ContainerVerb,
}

impl App {
    pub(crate) fn engine_of(&self, machine: &MachineName) -> Result<Engine> {
        let record = self.store.load(machine)?;
        let endpoints = self.endpoints(&record)?;
        Ok(Engine::connect(&self.engine_target(&record, endpoints.engine, LIMIT)?)?)
    }

    pub(crate) async fn containers_of(engine: &Engine) -> Result<Vec<Container>> {
        let mut containers: Vec<Container> = engine.containers(true).await?.into_iter().map(Container::of).collect();
        // Projects together, what belongs to none first; within them by name.
        containers.sort_by(|one, other| (&one.project, &one.name).cmp(&(&other.project, &other.name)));
        Ok(containers)
    }

    /// Does what `action` says.
    ///
    /// # Errors
    /// A machine that does not run, or what its engine says.
    pub async fn change_container(&self, action: &ContainerAction) -> Result<()> {
        let done = self.engine_of(&action.machine)?.change_container(&action.id, action.verb).await;
        done.map_err(|error| {
            machine_core::Error::from(error).within(format!("container {:.12}", action.id.to_string()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(json: serde_json::Value) -> Container {
        Container::of(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn a_port_on_both_address_families_is_shown_once_and_a_published_one_with_its_way_in() {
        let shown = container(serde_json::json!({
            "Id": "0123456789ab", "Names": ["/web"], "Image": "nginx", "State": "running", "Status": "Up 3 minutes",
            "Labels": {"com.docker.compose.project": "shop"},
            "Ports": [
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                {"PrivatePort": 53, "Type": "udp"}],
        }));
        assert_eq!((shown.name.as_str(), shown.project.as_deref()), ("web", Some("shop")));
        assert_eq!(shown.ports, ["53/udp", "8080:80/tcp"]);
    }

    #[test]
    fn an_engine_that_says_little_is_no_trouble() {
        let shown = container(serde_json::json!({"Id": "0123456789ab", "State": "exited"}));
        assert_eq!((shown.can, shown.ports), (vec![ContainerVerb::Start, ContainerVerb::Rm], vec![]));
    }
}
