//! New containers.

use std::collections::HashMap;
use std::fmt;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};
use machine_core::{Code, Error, Protocol};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::failure::EngineError;
use crate::words::{ImageReference, ObjectName};

/// When the engine starts a container again by itself. Named as `docker run --restart` names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// When it ends with an error.
    OnFailure,
    /// Always, except after it was stopped.
    UnlessStopped,
    /// Always.
    Always,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::UnlessStopped => "unless-stopped",
            Self::Always => "always",
        })
    }
}

/// A port of the container that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Outside.
    pub port: u16,
    /// Inside.
    pub container_port: u16,
    /// Of both.
    pub protocol: Protocol,
}

/// A volume in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeMount {
    /// The volume; a new one where there is none of this name. Never a path of the machine or of this computer.
    pub volume: ObjectName,
    /// Where it is seen inside, from `/` on.
    pub target: String,
}

/// A variable of a container's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A new container of an image that the engine has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewContainer {
    /// The image.
    pub image: ImageReference,
    /// Its name; the engine's invention where none is said.
    pub name: Option<ObjectName>,
    /// What it publishes.
    pub ports: Vec<Publish>,
    /// What it sees.
    pub volumes: Vec<VolumeMount>,
    /// Its variables.
    pub environment: Vec<Variable>,
    /// Whether it comes back by itself.
    pub restart: Restart,
}

impl NewContainer {
    /// Refuses what the engine would take for something else: words of it end up in one text with separators.
    ///
    /// # Errors
    /// [`Code::Usage`], with what is wrong.
    pub fn check(&self) -> Result<(), Error> {
        for VolumeMount { target, .. } in &self.volumes {
            if !target.starts_with('/') || target.contains([':', ',', '\0']) {
                return Err(Error::new(
                    Code::Usage,
                    format!("{target:?} is no place in a container: it begins with /, such as /data"),
                ));
            }
        }
        for Variable { name, value } in &self.environment {
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
            if name.is_empty() || !plain {
                return Err(Error::new(Code::Usage, format!("{name:?} is no name of a variable")));
            }
            if value.contains(|c: char| c.is_control()) {
                return Err(Error::new(
                    Code::Usage,
                    format!("the value of {name} has a line end or another control character"),
                ));
            }
        }
        if self.ports.iter().any(|ports| ports.port == 0 || ports.container_port == 0) {
            return Err(Error::new(Code::Usage, "ports are 1 to 65535"));
        }
        Ok(())
    }

    fn body(&self) -> ContainerCreateBody {
        let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
        for Publish { port, container_port, protocol } in &self.ports {
            let binding = PortBinding { host_ip: None, host_port: Some(port.to_string()) };
            let inside = bindings.entry(format!("{container_port}/{protocol}")).or_default();
            inside.get_or_insert_default().push(binding);
        }
        let restart = match self.restart {
            Restart::No => RestartPolicyNameEnum::NO,
            Restart::OnFailure => RestartPolicyNameEnum::ON_FAILURE,
            Restart::UnlessStopped => RestartPolicyNameEnum::UNLESS_STOPPED,
            Restart::Always => RestartPolicyNameEnum::ALWAYS,
        };
        ContainerCreateBody {
            image: Some(self.image.to_string()),
            env: Some(self.environment.iter().map(|Variable { name, value }| format!("{name}={value}")).collect()),
            exposed_ports: Some(bindings.keys().cloned().collect()),
            host_config: Some(HostConfig {
                binds: Some(self.volumes.iter().map(|one| format!("{}:{}", one.volume, one.target)).collect()),
                port_bindings: Some(bindings),
                restart_policy: Some(RestartPolicy { name: Some(restart), maximum_retry_count: None }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}

impl Engine {
    /// Makes a container and starts it; returns its identifier. One that could not be started stays, as with `docker run -d`.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn run(&self, new: &NewContainer) -> Result<String, EngineError> {
        let mut options = CreateContainerOptionsBuilder::default();
        if let Some(name) = &new.name {
            options = options.name(name.as_str());
        }
        let docker = self.docker();
        let made = self.bounded_by(self.timeout(), docker.create_container(Some(options.build()), new.body())).await?;
        self.bounded_by(self.timeout(), docker.start_container(&made.id, None::<StartContainerOptions>)).await?;
        Ok(made.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_would_mean_something_else_to_the_engine_are_refused() {
        let plain = NewContainer {
            image: "nginx".parse().unwrap(),
            name: None,
            ports: Vec::new(),
            volumes: Vec::new(),
            environment: Vec::new(),
            restart: Restart::No,
        };
        assert!(plain.check().is_ok());
        for target in ["data", "/data:ro", "/a,b", ""] {
            let volumes = vec![VolumeMount { volume: "data".parse().unwrap(), target: target.into() }];
            assert!(NewContainer { volumes, ..plain.clone() }.check().is_err(), "{target}");
        }
        for (name, value) in [("", "x"), ("A=B", "x"), ("A", "x\ny")] {
            let environment = vec![Variable { name: name.into(), value: value.into() }];
            assert!(NewContainer { environment, ..plain.clone() }.check().is_err(), "{name}");
        }
    }

    #[test]
    fn two_ports_outside_may_lead_to_one_inside() {
        let publish = |port| Publish { port, container_port: 80, protocol: Protocol::Tcp };
        let new = NewContainer {
            image: "nginx".parse().unwrap(),
            name: None,
            ports: vec![publish(8080), publish(8081)],
            volumes: vec![VolumeMount { volume: "data".parse().unwrap(), target: "/data".into() }],
            environment: vec![Variable { name: "A".into(), value: "b c".into() }],
            restart: Restart::OnFailure,
        };
        let body = serde_json::to_value(new.body()).unwrap();
        assert_eq!(
            body["HostConfig"]["PortBindings"],
            serde_json::json!({"80/tcp": [{"HostPort": "8080"}, {"HostPort": "8081"}]})
        );
        assert_eq!(body["HostConfig"]["Binds"], serde_json::json!(["data:/data"]));
        assert_eq!(body["Env"], serde_json::json!(["A=b c"]));
        assert_eq!(body["HostConfig"]["RestartPolicy"]["Name"], "on-failure");
    }
}
