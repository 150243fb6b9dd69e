//! What a window asks the engine of a machine once, and the command line of Docker that shows the same.

use std::collections::BTreeMap;

use machine_core::{MachineName, Result};
use machine_docker::{ContainerId, ImageId, context_name};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::engine_lists::images_of;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum EngineQuestion {
    /// All that is known of a container.
    Container {
        /// The machine.
        machine: MachineName,
        /// The container.
        id: ContainerId,
    },
    /// The processes of a container.
    Processes {
        /// The machine.
        machine: MachineName,
        /// The container.
        id: ContainerId,
    },
    /// How an image was made.
    History {
        /// The machine.
        machine: MachineName,
        /// The image.
        image: ImageId,
    },
    /// What a removal of unused images would remove.
    UnusedImages {
        /// The machine.
        machine: MachineName,
        /// Also those that have names.
        all: bool,
    },
    /// How large the volumes are.
    VolumeSizes {
        /// The machine.
        machine: MachineName,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EngineAnswer {
    /// In the engine's own words.
    Container {
        /// Whatever it says.
        inspected: Value,
    },
    /// A table.
    Processes {
        /// Of its columns.
        titles: Vec<String>,
        /// Its rows.
        rows: Vec<Vec<String>>,
    },
    /// The last step first.
    History {
        /// Each step.
        steps: Vec<Step>,
    },
    /// What would go.
    Unused {
        /// By name, or identifier where there is none.
        names: Vec<String>,
        /// Of them all, bytes: no less stays than what others share with them.
        at_most_bytes: u64,
    },
    /// Where the engine knows.
    VolumeSizes {
        /// Bytes, by name.
        sizes: BTreeMap<String, u64>,
    },
}

/// One step of an image's making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was run.
    pub made_by: String,
    /// What it added, bytes.
    pub size_bytes: u64,
    /// Seconds since 1970.
    pub created: i64,
}

/// An answer with the command line that shows the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// For any shell.
    pub line: String,
    /// The answer.
    pub answer: EngineAnswer,
}

impl EngineQuestion {
    fn machine(&self) -> &MachineName {
        match self {
            Self::Container { machine, .. }
            | Self::Processes { machine, .. }
            | Self::History { machine, .. }
            | Self::UnusedImages { machine, .. }
            | Self::VolumeSizes { machine } => machine,
        }
    }

    /// Nothing in it needs quoting in any shell.
    fn line(&self) -> String {
        let words = match self {
            Self::Container { id, .. } => format!("inspect {:.12}", id.to_string()),
            Self::Processes { id, .. } => format!("top {:.12}", id.to_string()),
            Self::History { image, .. } => format!("history {:.12}", image.as_str().trim_start_matches("sha256:")),
            Self::UnusedImages { all: false, .. } => "image ls --filter dangling=true".to_owned(),
            Self::UnusedImages { all: true, .. } => "image ls".to_owned(),
            Self::VolumeSizes { .. } => "system df --verbose".to_owned(),
        };
        format!("docker --context {} {words}", context_name(self.machine().as_str()))
    }
}

impl App {
    /// Answers `question`.
    ///
    /// # Errors
    /// A machine that does not run, or what its engine says.
    pub async fn ask_engine(&self, question: &EngineQuestion) -> Result<Answered> {
        let engine = self.engine_of(question.machine())?;
        let answer = match question {
            EngineQuestion::Container { id, .. } => {
                EngineAnswer::Container { inspected: engine.inspect_container(id).await? }
            }
            EngineQuestion::Processes { id, .. } => {
                let top = engine.processes(id).await?;
                EngineAnswer::Processes {
                    titles: top.titles.unwrap_or_default(),
                    rows: top.processes.unwrap_or_default(),
                }
            }
            EngineQuestion::History { image, .. } => {
                let steps = engine.image_history(image).await?.into_iter().map(|step| Step {
                    made_by: step.created_by,
                    size_bytes: u64::try_from(step.size).unwrap_or(0),
                    created: step.created,
                });
                EngineAnswer::History { steps: steps.collect() }
            }
            EngineQuestion::UnusedImages { all, .. } => {
                let mut images = images_of(&engine).await?;
                images.retain(|image| image.used_by.is_empty() && (*all || image.reference.is_none()));
                let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
                for image in &images {
                    sizes.insert(&image.id, image.size_bytes);
                }
                let at_most_bytes = sizes.values().sum();
                let name = |image: &crate::engine_lists::Image| {
                    let id = image.id.trim_start_matches("sha256:");
                    image.reference.clone().unwrap_or_else(|| format!("{id:.12}"))
                };
                EngineAnswer::Unused { names: images.iter().map(name).collect(), at_most_bytes }
            }
            EngineQuestion::VolumeSizes { .. } => {
                EngineAnswer::VolumeSizes { sizes: engine.volume_sizes().await?.into_iter().collect() }
            }
        };
        Ok(Answered { line: question.line(), answer })
    }
}
