//! What is followed rather than asked for: containers as they change, logs as they grow.

use std::time::Duration;

use machine_bridge::PortRow;
use machine_core::{MachineName, Result};
use machine_docker::{ContainerId, Engine, ImageReference, context_name, engine_time};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::containers::Container;
use crate::engine_lists::{Image, NetworkRow, VolumeRow, images_of, networks_of, volumes_of};
use crate::figures::{Figures, figures};
use crate::logs::LogKind;
use crate::pull::Layer;
use crate::readiness::printable;
use crate::window_folders::FolderRow;

/// Lines of a log that are shown to begin with.
const FIRST_LINES: usize = 1000;
/// How often a log file is looked at.
const LOG_PAUSE: Duration = Duration::from_millis(250);
/// How often a supervisor is asked for its ports.
const PORTS_PAUSE: Duration = Duration::from_millis(500);
/// Changes that come together are told together: `docker compose up` makes dozens.
const TOGETHER: Duration = Duration::from_millis(60);
/// The longest that telling is put off while changes keep coming.
const AT_MOST: Duration = Duration::from_millis(400);
/// How long after a failure an engine is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// What to follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// The containers of a machine.
    Containers {
        /// The machine.
        machine: MachineName,
    },
    /// The ports of this computer that lead to containers of a machine.
    Ports {
        /// The machine.
        machine: MachineName,
    },
    /// What a machine wrote.
    MachineLog {
        /// The machine.
        machine: MachineName,
        /// Whose log.
        kind: LogKind,
    },
    /// What a container wrote.
    ContainerLog {
        /// The machine.
        machine: MachineName,
        /// The container.
        id: ContainerId,
    },
    /// The images of a machine.
    Images {
        /// The machine.
        machine: MachineName,
    },
    /// The volumes of a machine.
    Volumes {
        /// The machine.
        machine: MachineName,
    },
    /// The networks of a machine.
    Networks {
        /// The machine.
        machine: MachineName,
    },
    /// The folders of this computer that a machine sees.
    Folders {
        /// The machine.
        machine: MachineName,
    },
    /// What a container uses, once a second.
    Figures {
        /// The machine.
        machine: MachineName,
        /// The container.
        id: ContainerId,
    },
    /// An image that is pulled for as long as this is followed.
    Pull {
        /// The machine.
        machine: MachineName,
        /// The image.
        image: ImageReference,
    },
}

/// What is told of a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Told {
    /// All containers, as they are now.
    Containers {
        /// What a command line of `docker` begins with to mean this machine's engine.
        docker: String,
        /// By project and name.
        containers: Vec<Container>,
    },
    /// All ports, as they are now.
    Ports {
        /// In order.
        ports: Vec<PortRow>,
    },
    /// More lines of a log.
    Lines {
        /// Without line ends and control characters.
        lines: Vec<String>,
    },
    /// All images, as they are now.
    Images {
        /// By name.
        images: Vec<Image>,
    },
    /// All volumes, as they are now.
    Volumes {
        /// By name.
        volumes: Vec<VolumeRow>,
    },
    /// All networks, as they are now.
    Networks {
        /// By name.
        networks: Vec<NetworkRow>,
    },
    /// All folders, as they are now.
    Folders {
        /// In order.
        folders: Vec<FolderRow>,
        /// What the user should know.
        warnings: Vec<String>,
    },
    /// What a container uses; none while it does not run.
    Figures {
        /// Now.
        figures: Option<Figures>,
    },
    /// How far an image is.
    Pull {
        /// The engine's words on the whole.
        status: String,
        /// Each layer.
        layers: Vec<Layer>,
    },
    /// More of what a terminal shows.
    Output {
        /// With all control characters.
        text: String,
    },
    /// Nothing more will come: the container has ended, the image is there.
    End,
    /// What is followed cannot be had now; it is tried again.
    Waiting {
        /// Why.
        reason: String,
    },
}

/// What is listed whenever an event of the engine says that it may have changed.
#[derive(Clone, Copy)]
enum Listing {
    Containers,
    Images,
    Volumes,
    Networks,
}

impl Listing {
    /// Kinds of events after which it is another. Containers use all the others.
    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Containers => &["container"],
            Self::Images => &["container", "image"],
            Self::Volumes => &["container", "volume"],
            Self::Networks => &["container", "network"],
        }
    }

    async fn look(self, machine: &MachineName, engine: &Engine) -> Result<Told> {
        Ok(match self {
            Self::Containers => Told::Containers {
                docker: format!("docker --context {}", context_name(machine.as_str())),
                containers: App::containers_of(engine).await?,
            },
            Self::Images => Told::Images { images: images_of(engine).await? },
            Self::Volumes => Told::Volumes { volumes: volumes_of(engine).await? },
            Self::Networks => Told::Networks { networks: networks_of(engine).await? },
        })
    }
}

impl App {
    /// Follows `source` and tells everything to `tell`. Goes on until it is dropped, or there is no more to come.
    ///
    /// # Errors
    /// What will not get better by waiting: no such machine, no such container.
    pub async fn follow(&self, source: Source, tell: impl Fn(Told)) -> Result<()> {
        match source {
            Source::Containers { machine } => self.follow_listing(&machine, Listing::Containers, &tell).await,
            Source::Images { machine } => self.follow_listing(&machine, Listing::Images, &tell).await,
            Source::Volumes { machine } => self.follow_listing(&machine, Listing::Volumes, &tell).await,
            Source::Networks { machine } => self.follow_listing(&machine, Listing::Networks, &tell).await,
            Source::Folders { machine } => self.follow_folders(&machine, &tell).await,
            Source::Figures { machine, id } => self.follow_figures(&machine, &id, &tell).await,
            Source::Pull { machine, image } => self.follow_pull(&machine, &image, &tell).await,
            Source::Ports { machine } => self.follow_ports(&machine, &tell).await,
            Source::MachineLog { machine, kind } => self.follow_log(&machine, kind, &tell).await,
            Source::ContainerLog { machine, id } => self.follow_output(&machine, &id, &tell).await,
        }
    }

    async fn follow_listing(&self, machine: &MachineName, listing: Listing, tell: &impl Fn(Told)) -> Result<()> {
        loop {
            // Without its record there is no machine to wait for.
            self.store.load(machine)?;
            if let Err(error) = self.tell_listing(machine, listing, tell).await {
                tell(Told::Waiting { reason: error.to_string() });
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// One stream of events for as long as it lasts. It tells of everything since before the first look.
    async fn tell_listing(&self, machine: &MachineName, listing: Listing, tell: &impl Fn(Told)) -> Result<()> {
        let engine = self.engine_of(machine)?;
        let mut events = engine.events_of(listing.kinds(), engine_time(&engine.info().await?));
        let mut told = None;
        loop {
            let now = listing.look(machine, &engine).await?;
            // Most events, such as a health check's, change nothing that is shown.
            if told.as_ref() != Some(&now) {
                tell(now.clone());
                told = Some(now);
            }
            if events.next().await?.is_none() {
                return Ok(());
            }
            let _a_flood_is_told_now_and_then = tokio::time::timeout(AT_MOST, async {
                while let Ok(Ok(Some(_))) = tokio::time::timeout(TOGETHER, events.next()).await {}
            })
            .await;
        }
    }

    async fn follow_figures(&self, machine: &MachineName, id: &ContainerId, tell: &impl Fn(Told)) -> Result<()> {
        let mut stats = self.engine_of(machine)?.container_stats(id);
        let mut told = false;
        while let Some(measured) = stats.next().await? {
            let figures = figures(&measured);
            // The first measurement has none before it.
            if figures.is_some() || told {
                tell(Told::Figures { figures });
            }
            told = true;
        }
        tell(Told::End);
        Ok(())
    }

    async fn follow_ports(&self, machine: &MachineName, tell: &impl Fn(Told)) -> Result<()> {
        let mut told = None;
        loop {
            // Without its record there is no machine to wait for.
            self.store.load(machine)?;
            let now = match self.ports(machine).await {
                Ok(ports) => Told::Ports { ports },
                Err(error) => Told::Waiting { reason: error.to_string() },
            };
            if told.as_ref() != Some(&now) {
                tell(now.clone());
                told = Some(now);
            }
            tokio::time::sleep(PORTS_PAUSE).await;
        }
    }

    async fn follow_log(&self, machine: &MachineName, kind: LogKind, tell: &impl Fn(Told)) -> Result<()> {
        let (lines, mut following) = loop {
            match self.log(machine, Some(kind), FIRST_LINES) {
                Ok(found) => break found,
                // It comes with the first start.
                Err(error) if self.store.exists(machine) => tell(Told::Waiting { reason: error.to_string() }),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(AGAIN).await;
        };
        tell(Told::Lines { lines });
        loop {
            let lines = following.new_lines();
            if !lines.is_empty() {
                tell(Told::Lines { lines });
            }
            tokio::time::sleep(LOG_PAUSE).await;
        }
    }

    async fn follow_output(&self, machine: &MachineName, id: &ContainerId, tell: &impl Fn(Told)) -> Result<()> {
        let mut output = self.engine_of(machine)?.container_output(id, FIRST_LINES);
        let mut begun = String::new();
        loop {
            let piece = if begun.is_empty() {
                output.next().await?
            } else {
                // A line that has no end yet is shown when nothing follows it.
                match tokio::time::timeout(TOGETHER, output.next()).await {
                    Ok(piece) => piece?,
                    Err(_) => {
                        tell(Told::Lines { lines: lines_of(&std::mem::take(&mut begun)) });
                        continue;
                    }
                }
            };
            match piece {
                Some(bytes) => begun.push_str(&String::from_utf8_lossy(&bytes)),
                None => {
                    if !begun.is_empty() {
                        tell(Told::Lines { lines: lines_of(&begun) });
                    }
                    tell(Told::End);
                    return Ok(());
                }
            }
            // A flood must not grow here for ever.
            if begun.len() > 256 * 1024 {
                tell(Told::Lines { lines: lines_of(&std::mem::take(&mut begun)) });
            }
        }
    }
}

fn lines_of(text: &str) -> Vec<String> {
    text.lines().map(|line| printable(&without_escapes(line.trim_end()))).collect()
}

/// A line without the sequences that colour a terminal (ECMA-48: `ESC [`, parameters, one final byte from `@` to `~`).
fn without_escapes(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        kept.push_str(before);
        let end = after.find(|c| ('@'..='~').contains(&c)).map_or(after.len(), |at| at + 1);
        rest = &after[end..];
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_without_colours_and_control_characters() {
        let text = "2026-11-22T00:00:00Z \x1b[1;31merror\x1b[0m: no\x07\r\nnext\x1b[";
        assert_eq!(lines_of(text), ["2026-11-22T00:00:00Z error: no", "next"]);
    }
}
