//! What a window shows of all machines: the rows of `ls`, with what can be done to each.

use std::collections::HashMap;
use std::time::Duration;

use machine_core::{MachineName, Result};
use machine_qemu::SizeBounds;
use serde::Serialize;

use crate::app::App;
use crate::environment::Environment;
use crate::list::Row;
use crate::shell::Shell;

/// How long one engine may take to answer before its row says so.
const ENGINE_LIMIT: Duration = Duration::from_secs(4);

/// A machine can be...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// ...started,
    Start,
    /// ...stopped,
    Stop,
    /// ...restarted,
    Restart,
    /// ...killed,
    Kill,
    /// ...removed.
    Remove,
}

/// One machine.
#[derive(Clone, Debug, Serialize)]
pub struct Card {
    /// What `ls` says of it.
    #[serde(flatten)]
    pub row: Row,
    /// What can be done to it now.
    pub can: Vec<Verb>,
    /// It can only be removed by force: its record cannot be read.
    pub unreadable: bool,
    /// The line that points a terminal's Docker client at it, while it runs.
    pub env_line: Option<String>,
}

/// Looks at all machines again and again. Engines whose version is known are left in peace for a while: a handshake costs
/// an emulated machine more than everything else here costs this computer.
pub struct Overview {
    app: App,
    versions: HashMap<String, (String, String)>,
    looks: u32,
}

/// Every so many looks each engine is asked, known or not.
const ASK_AGAIN: u32 = 15;

impl Overview {
    /// A first look is yet to come.
    pub fn new(app: App) -> Self {
        Self { app, versions: HashMap::new(), looks: 0 }
    }

    /// Looks once.
    ///
    /// # Errors
    /// A store that cannot be listed.
    pub async fn look(&mut self) -> Result<Vec<Card>> {
        if self.looks.is_multiple_of(ASK_AGAIN) {
            self.versions.clear();
        }
        self.looks = self.looks.wrapping_add(1);
        let rows = self.app.list_knowing(&self.versions, ENGINE_LIMIT).await?;
        self.versions = rows.iter().filter_map(known).collect();
        Ok(rows.into_iter().map(|row| self.card(row)).collect())
    }

    fn card(&self, row: Row) -> Card {
        let named = row.name.parse::<MachineName>().is_ok();
        let unreadable = row.driver.is_none();
        let can = match row.state.as_str() {
            _ if !named => Vec::new(),
            _ if unreadable => vec![Verb::Remove],
            "Running" | "Timeout" => vec![Verb::Stop, Verb::Restart, Verb::Kill, Verb::Remove],
            "Stopped" => vec![Verb::Start, Verb::Remove],
            "Paused" => vec![Verb::Restart, Verb::Kill, Verb::Remove],
            "Starting" | "Stopping" => vec![Verb::Kill],
            _ => vec![Verb::Start, Verb::Remove],
        };
        let env_line = row.url.is_some().then(|| self.app.env_line(&row.name));
        Card { row, can, unreadable, env_line }
    }
}

fn known(row: &Row) -> Option<(String, (String, String))> {
    Some((row.name.clone(), (row.url.clone()?, row.docker_version.clone()?)))
}

impl App {
    /// The line to type that points Docker at a machine, in the words of the user's shell.
    pub fn env_line(&self, name: &str) -> String {
        let shell = Environment::shell().unwrap_or(if cfg!(windows) { Shell::PowerShell } else { Shell::Posix });
        shell.evaluate(&format!("{} env {name}", self.environment.machine_word(shell)))
    }

    /// How large a machine may be on this computer.
    pub fn size_bounds(&self) -> SizeBounds {
        machine_qemu::size_bounds(&machine_qemu::probe_host(), machine_qemu::free_space(&self.environment.store))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(folder: &std::path::Path) -> App {
        App::new(Environment::read(Some(folder)).unwrap())
    }

    #[tokio::test]
    async fn a_folder_without_a_record_can_be_removed_and_one_that_is_no_name_cannot() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["torn", "no name"] {
            std::fs::create_dir_all(folder.path().join("machines").join(name)).unwrap();
        }
        let cards = Overview::new(app(folder.path())).look().await.unwrap();
        let seen: Vec<_> = cards.iter().map(|card| (card.row.name.as_str(), card.can.as_slice())).collect();
        assert_eq!(seen, [("no name", &[][..]), ("torn", &[Verb::Remove][..])]);
        assert!(cards.iter().all(|card| card.unreadable && card.env_line.is_none() && card.row.error.is_some()));
    }

    #[test]
    fn only_an_engine_that_answered_at_the_same_address_is_known() {
        let row = |url: Option<&str>, version: Option<&str>| Row {
            name: "dev".into(),
            active: false,
            driver: Some("qemu".into()),
            state: "Running".into(),
            url: url.map(Into::into),
            docker_version: version.map(Into::into),
            cpus: 1,
            memory_mib: 1,
            disk_mib: 1,
            error: None,
            warnings: Vec::new(),
        };
        assert!(known(&row(Some("tcp://127.0.0.1:1"), Some("v1"))).is_some());
        assert!(known(&row(Some("tcp://127.0.0.1:1"), None)).is_none());
        assert!(known(&row(None, Some("v1"))).is_none());
    }
}
