//! What a window asks for: one thing done to one machine, and the command line that does the same.

use std::time::Duration;

use machine_core::{EngineSpec, MachineName, MachineSpec, Reporter, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::app::App;
use crate::create::CreateRequest;
use crate::resize::SizeChanges;

/// How long an engine may take to answer: the command line's default.
const ENGINE_LIMIT: Duration = Duration::from_secs(300);
/// How long a guest may take to shut down: the command line's default.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(90);

/// One thing to do. Each has its equal on the command line: [`Action::command_line`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Make a machine; what is left open is chosen as `machine create` chooses.
    Create {
        /// Its name.
        name: MachineName,
        /// Virtual CPUs.
        cpus: Option<u32>,
        /// Memory, MiB.
        memory_mib: Option<u64>,
        /// Size of its disk, MiB.
        disk_mib: Option<u64>,
    },
    /// Start it and wait for its engine.
    Start {
        /// The machine.
        name: MachineName,
    },
    /// Shut it down.
    Stop {
        /// The machine.
        name: MachineName,
    },
    /// Shut it down and start it again.
    Restart {
        /// The machine.
        name: MachineName,
    },
    /// Halt it; its memory stays where it is.
    Pause {
        /// The machine.
        name: MachineName,
    },
    /// Let a halted one go on.
    Resume {
        /// The machine.
        name: MachineName,
    },
    /// Save its memory and turn it off.
    Suspend {
        /// The machine.
        name: MachineName,
    },
    /// End it at once.
    Kill {
        /// The machine.
        name: MachineName,
    },
    /// Give a machine that is off another size; what is left open stays.
    Resize {
        /// The machine.
        name: MachineName,
        /// Virtual CPUs.
        cpus: Option<u32>,
        /// Memory, MiB.
        memory_mib: Option<u64>,
        /// Size of its disk, MiB; it grows and does not shrink.
        disk_mib: Option<u64>,
    },
    /// Remove it with everything in it.
    Remove {
        /// The machine.
        name: MachineName,
        /// Also what cannot be read.
        force: bool,
    },
}

impl Action {
    /// The machine that it is about.
    pub fn name(&self) -> &MachineName {
        match self {
            Self::Create { name, .. }
            | Self::Start { name }
            | Self::Stop { name }
            | Self::Restart { name }
            | Self::Pause { name }
            | Self::Resume { name }
            | Self::Suspend { name }
            | Self::Kill { name }
            | Self::Resize { name, .. }
            | Self::Remove { name, .. } => name,
        }
    }

    /// The words of the command line that does the same, without the program's own.
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = match self {
            Self::Create { cpus, memory_mib, disk_mib, .. } => sized("create", *cpus, *memory_mib, *disk_mib),
            Self::Resize { cpus, memory_mib, disk_mib, .. } => sized("set", *cpus, *memory_mib, *disk_mib),
            Self::Start { .. } => vec!["start".into()],
            Self::Stop { .. } => vec!["stop".into()],
            Self::Restart { .. } => vec!["restart".into()],
            Self::Pause { .. } => vec!["pause".into()],
            Self::Resume { .. } => vec!["resume".into()],
            Self::Suspend { .. } => vec!["suspend".into()],
            Self::Kill { .. } => vec!["kill".into()],
            Self::Remove { force: false, .. } => vec!["rm".into(), "-y".into()],
            Self::Remove { force: true, .. } => vec!["rm".into(), "-f".into()],
        };
        words.push(self.name().to_string());
        words
    }

    /// The command line that does the same. Nothing in it needs quoting in any shell.
    pub fn command_line(&self) -> String {
        format!("machine {}", self.words().join(" "))
    }
}

/// A verb, and the sizes that are said.
fn sized(verb: &str, cpus: Option<u32>, memory_mib: Option<u64>, disk_mib: Option<u64>) -> Vec<String> {
    let mut words = vec![verb.to_owned()];
    let mut option = |name: &str, value: Option<String>| {
        words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    };
    option("--cpus", cpus.map(|cpus| cpus.to_string()));
    option("--memory", memory_mib.map(size));
    option("--disk", disk_mib.map(size));
    words
}

/// A size with the largest unit that leaves it whole.
fn size(mib: u64) -> String {
    if mib > 0 && mib.is_multiple_of(1024) { format!("{}g", mib / 1024) } else { format!("{mib}m") }
}

impl App {
    /// Does what `action` says; returns what to tell when it is done.
    ///
    /// # Errors
    /// Whatever the use case of that name says.
    pub async fn perform(&self, action: Action, reporter: &Reporter) -> Result<String> {
        match action {
            Action::Create { name, cpus, memory_mib, disk_mib } => {
                let created = self.create(self.request(name, cpus, memory_mib, disk_mib), reporter).await?;
                Ok(format!(
                    "Machine \"{}\" is ready: Docker Engine {} answers at {}.",
                    created.name,
                    created.engine_version.unwrap_or_default(),
                    created.endpoints.engine
                ))
            }
            Action::Start { name } => {
                self.start(&name, Some(ENGINE_LIMIT), reporter).await?;
                Ok(format!("Machine \"{name}\" was started."))
            }
            Action::Stop { name } => {
                let by_force = self.stop(&name, SHUTDOWN_LIMIT, reporter).await?;
                let how = if by_force { " by force: the guest did not shut down in time" } else { "" };
                Ok(format!("Machine \"{name}\" was stopped{how}."))
            }
            Action::Restart { name } => {
                self.restart(&name, SHUTDOWN_LIMIT, Some(ENGINE_LIMIT), reporter).await?;
                Ok(format!("Machine \"{name}\" was restarted."))
            }
            Action::Pause { name } => {
                self.pause(&name, reporter).await?;
                Ok(format!("Machine \"{name}\" was paused."))
            }
            Action::Resume { name } => {
                self.resume(&name, reporter).await?;
                Ok(format!("Machine \"{name}\" was resumed."))
            }
            Action::Suspend { name } => {
                self.suspend(&name, reporter).await?;
                Ok(format!("Machine \"{name}\" was suspended."))
            }
            Action::Kill { name } => {
                self.kill(&name, reporter).await?;
                Ok(format!("Machine \"{name}\" was killed."))
            }
            Action::Resize { name, cpus, memory_mib, disk_mib } => {
                self.set_size(&name, SizeChanges { cpus, memory_mib, disk_mib }, reporter).await?;
                Ok(format!("Machine \"{name}\" has its new size from its next start on."))
            }
            Action::Remove { name, force } => {
                self.remove(&name, force, reporter).await?;
                Ok(format!("Machine \"{name}\" was removed."))
            }
        }
    }

    /// The same request that the command line makes of the same words.
    fn request(
        &self,
        name: MachineName,
        cpus: Option<u32>,
        memory_mib: Option<u64>,
        disk_mib: Option<u64>,
    ) -> CreateRequest {
        CreateRequest {
            name,
            driver: self.environment.driver.clone().unwrap_or_else(|| "qemu".to_owned()),
            wait: true,
            timeout: ENGINE_LIMIT,
            spec: MachineSpec {
                cpus: cpus.unwrap_or(0),
                memory_mib: memory_mib.unwrap_or(0),
                disk_mib: disk_mib.unwrap_or(0),
                image: None,
                ssh_user: "docker".to_owned(),
                tls_san: Vec::new(),
                publish: Default::default(),
                shares: Vec::new(),
                share_type: Default::default(),
                engine: EngineSpec {
                    registry_mirrors: self.environment.registry_mirror.iter().cloned().collect(),
                    ..EngineSpec::default()
                },
                options: Map::from_iter([("accelerator".to_owned(), json!("auto"))]),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_what_was_chosen_and_no_more() {
        let name = || "dev".parse().unwrap();
        for (action, line) in [
            (Action::Create { name: name(), cpus: None, memory_mib: None, disk_mib: None }, "machine create dev"),
            (
                Action::Create { name: name(), cpus: Some(2), memory_mib: Some(1536), disk_mib: Some(20480) },
                "machine create --cpus 2 --memory 1536m --disk 20g dev",
            ),
            (Action::Remove { name: name(), force: true }, "machine rm -f dev"),
            (
                Action::Resize { name: name(), cpus: None, memory_mib: Some(4096), disk_mib: Some(30720) },
                "machine set --memory 4g --disk 30g dev",
            ),
        ] {
            assert_eq!(action.command_line(), line);
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused_before_anything_is_done() {
        let read = serde_json::from_str::<Action>;
        assert!(read(r#"{"verb":"start","name":"dev"}"#).is_ok());
        let error = read(r#"{"verb":"start","name":"../dev"}"#).unwrap_err().to_string();
        assert!(error.contains("invalid machine name"), "{error}");
        assert!(read(r#"{"verb":"start","name":"dev","driver":"x"}"#).is_err(), "a word that means nothing");
    }
}
