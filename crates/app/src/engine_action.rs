//! What a window does to the engine of a machine, and the command line of Docker that does the same.

use machine_core::{MachineName, Result};
use machine_docker::{ImageId, ImageReference, NewContainer, ObjectName, Restart, context_name};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::environment::Environment;
use crate::shell::Shell;

/// One thing to do. No path of this computer or of the machine is in it: names, identifiers and what a container sees inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum EngineAction {
    /// Pull an image; followed as [`crate::Source::Pull`], here for its command line.
    Pull {
        /// The machine.
        machine: MachineName,
        /// The image.
        image: ImageReference,
    },
    /// Give an image another name.
    Tag {
        /// The machine.
        machine: MachineName,
        /// The image.
        image: ImageId,
        /// The name.
        name: ImageReference,
    },
    /// Take a name from an image; the last one takes the image.
    RemoveImage {
        /// The machine.
        machine: MachineName,
        /// The name.
        name: ImageReference,
    },
    /// Remove an image that has no name.
    RemoveUnnamedImage {
        /// The machine.
        machine: MachineName,
        /// The image.
        image: ImageId,
    },
    /// Remove images that no container uses.
    PruneImages {
        /// The machine.
        machine: MachineName,
        /// Also those that have names.
        all: bool,
    },
    /// Remove volumes, each of which no container uses.
    RemoveVolumes {
        /// The machine.
        machine: MachineName,
        /// Which: exactly these, whatever else became unused meanwhile.
        names: Vec<ObjectName>,
    },
    /// Make a network.
    CreateNetwork {
        /// The machine.
        machine: MachineName,
        /// Its name.
        name: ObjectName,
        /// It leads nowhere else.
        internal: bool,
    },
    /// Remove a network that nothing is on.
    RemoveNetwork {
        /// The machine.
        machine: MachineName,
        /// Its name.
        name: ObjectName,
    },
    /// Run a new container.
    Run {
        /// The machine.
        machine: MachineName,
        /// What.
        new: NewContainer,
    },
}

impl EngineAction {
    fn machine(&self) -> &MachineName {
        match self {
            Self::Pull { machine, .. }
            | Self::Tag { machine, .. }
            | Self::RemoveImage { machine, .. }
            | Self::RemoveUnnamedImage { machine, .. }
            | Self::PruneImages { machine, .. }
            | Self::RemoveVolumes { machine, .. }
            | Self::CreateNetwork { machine, .. }
            | Self::RemoveNetwork { machine, .. }
            | Self::Run { machine, .. } => machine,
        }
    }

    /// The words of the command line that does the same, from `docker` on.
    fn words(&self) -> Vec<String> {
        let context = context_name(self.machine().as_str());
        let mut words = vec!["docker".to_owned(), "--context".to_owned(), context];
        let mut say = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
        match self {
            Self::Pull { image, .. } => say(&["pull", image.as_str()]),
            Self::Tag { image, name, .. } => say(&["tag", short(image), name.as_str()]),
            Self::RemoveImage { name, .. } => say(&["rmi", name.as_str()]),
            Self::RemoveUnnamedImage { image, .. } => say(&["rmi", short(image)]),
            Self::PruneImages { all: false, .. } => say(&["image", "prune", "--force"]),
            Self::PruneImages { all: true, .. } => say(&["image", "prune", "--all", "--force"]),
            Self::RemoveVolumes { names, .. } => {
                say(&["volume", "rm"]);
                names.iter().for_each(|name| say(&[name.as_str()]));
            }
            Self::CreateNetwork { name, internal, .. } => {
                say(&["network", "create"]);
                say(if *internal { &["--internal"] } else { &[] });
                say(&[name.as_str()]);
            }
            Self::RemoveNetwork { name, .. } => say(&["network", "rm", name.as_str()]),
            Self::Run { new, .. } => {
                say(&["run", "-d"]);
                if let Some(name) = &new.name {
                    say(&["--name", name.as_str()]);
                }
                for one in &new.ports {
                    let udp = if one.protocol == machine_core::Protocol::Udp { "/udp" } else { "" };
                    say(&["-p", &format!("{}:{}{udp}", one.port, one.container_port)]);
                }
                for one in &new.volumes {
                    say(&["-v", &format!("{}:{}", one.volume, one.target)]);
                }
                for one in &new.environment {
                    say(&["-e", &format!("{}={}", one.name, one.value)]);
                }
                if new.restart != Restart::No {
                    say(&["--restart", &new.restart.to_string()]);
                }
                say(&[new.image.as_str()]);
            }
        }
        words
    }

    /// The command line of Docker that does the same, in the words of `shell`.
    ///
    /// # Errors
    /// What the engine would take for something else.
    pub fn command_line(&self, shell: Shell) -> Result<String> {
        if let Self::Run { new, .. } = self {
            new.check()?;
        }
        let words: Vec<String> = self.words().iter().map(|word| shell.word(word)).collect();
        Ok(words.join(" "))
    }
}

/// An identifier as `docker image ls` shows it.
fn short(image: &ImageId) -> &str {
    let digits = image.as_str().trim_start_matches("sha256:");
    digits.get(..12).unwrap_or(digits)
}

/// The shell that a user of the window types into.
pub(crate) fn users_shell() -> Shell {
    Environment::shell().unwrap_or(if cfg!(windows) { Shell::PowerShell } else { Shell::Posix })
}

impl App {
    /// The command line that is equal to `action`, for the user's shell.
    ///
    /// # Errors
    /// What the engine would take for something else.
    pub fn engine_line(&self, action: &EngineAction) -> Result<String> {
        action.command_line(users_shell())
    }

    /// Does what `action` says. Returns how many bytes that freed, where the engine tells.
    ///
    /// # Errors
    /// A machine that does not run, or what its engine says.
    pub async fn change_engine(&self, action: &EngineAction) -> Result<Option<u64>> {
        let engine = self.engine_of(action.machine())?;
        match action {
            EngineAction::Pull { image, .. } => {
                let mut pull = engine.pull(image);
                while pull.next().await?.is_some() {}
            }
            EngineAction::Tag { image, name, .. } => engine.tag_image(image, name).await?,
            EngineAction::RemoveImage { name, .. } => engine.remove_image(name.as_str()).await?,
            EngineAction::RemoveUnnamedImage { image, .. } => engine.remove_image(image.as_str()).await?,
            EngineAction::PruneImages { all, .. } => {
                let pruned = engine.prune_images(*all).await?;
                return Ok(pruned.space_reclaimed.and_then(|bytes| u64::try_from(bytes).ok()));
            }
            EngineAction::RemoveVolumes { names, .. } => {
                for name in names {
                    engine.remove_volume(name).await?;
                }
            }
            EngineAction::CreateNetwork { name, internal, .. } => engine.create_network(name, *internal).await?,
            EngineAction::RemoveNetwork { name, .. } => engine.remove_network(name).await?,
            EngineAction::Run { new, .. } => {
                new.check()?;
                engine.run(new).await?;
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> String {
        serde_json::from_str::<EngineAction>(json).unwrap().command_line(Shell::Posix).unwrap()
    }

    #[test]
    fn the_command_line_says_all_that_was_chosen_and_no_more() {
        let id = format!("sha256:{}", "a1".repeat(32));
        for (json, words) in [
            (r#"{"verb":"pull","machine":"dev","image":"alpine"}"#.to_owned(), "pull alpine"),
            (format!(r#"{{"verb":"tag","machine":"dev","image":"{id}","name":"app:1"}}"#), "tag a1a1a1a1a1a1 app:1"),
            (r#"{"verb":"prune_images","machine":"dev","all":true}"#.to_owned(), "image prune --all --force"),
            (r#"{"verb":"remove_volumes","machine":"dev","names":["a","b"]}"#.to_owned(), "volume rm a b"),
            (
                r#"{"verb":"create_network","machine":"dev","name":"shop","internal":true}"#.to_owned(),
                "network create --internal shop",
            ),
            (
                r#"{"verb":"run","machine":"dev","new":{"image":"nginx","name":null,"ports":[],"volumes":[],"environment":[],"restart":"no"}}"#
                    .to_owned(),
                "run -d nginx",
            ),
            (
                r#"{"verb":"run","machine":"dev","new":{"image":"nginx","name":"web","ports":[{"port":8080,"container_port":80,"protocol":"tcp"},{"port":53,"container_port":53,"protocol":"udp"}],"volumes":[{"volume":"data","target":"/data"}],"environment":[{"name":"A","value":"it's $1"}],"restart":"unless-stopped"}}"#
                    .to_owned(),
                r"run -d --name web -p 8080:80 -p 53:53/udp -v data:/data -e 'A=it'\''s $1' --restart unless-stopped nginx",
            ),
        ] {
            assert_eq!(line(&json), format!("docker --context dev {words}"));
        }
    }

    #[test]
    fn a_path_of_the_machine_is_no_volume_and_a_word_too_many_is_refused() {
        let read = serde_json::from_str::<EngineAction>;
        let error = read(r#"{"verb":"remove_volumes","machine":"dev","names":["../x"]}"#).unwrap_err().to_string();
        assert!(error.contains("is no name"), "{error}");
        assert!(read(r#"{"verb":"prune_images","machine":"dev","all":true,"force":1}"#).is_err());
        let run = r#"{"verb":"run","machine":"dev","new":{"image":"a","name":null,"ports":[],"volumes":[{"volume":"/etc","target":"/x"}],"environment":[],"restart":"no"}}"#;
        assert!(read(run).is_err());
    }
}
