//! What a window shows of all machines: the rows of `ls`, with what can be done to each.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use machine_core::{MachineName, MachineRef, Result, Usage};
use machine_qemu::SizeBounds;
use serde::Serialize;

use crate::app::App;
use crate::engine_action::users_shell;
use crate::list::Row;

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
    /// ...halted, its memory where it is,
    Pause,
    /// ...let go on,
    Resume,
    /// ...saved and turned off,
    Suspend,
    /// ...killed,
    Kill,
    /// ...given another size,
    Resize,
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
    /// What it uses of this computer, where it runs on it.
    pub usage: Option<Share>,
}

/// What a machine uses of this computer, in the roughness in which it is shown: every digit more would be news at every look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Of the CPUs that it was given, percent; none before the second look and while it is off.
    pub cpu_percent: Option<u32>,
    /// Memory, MiB, to the next 16; none while it is off.
    pub memory_mib: Option<u64>,
    /// Its disks, MiB, to the next 16.
    pub disk_mib: u64,
}

/// Looks at all machines again and again. Engines whose version is known are left in peace for a while: a handshake costs
/// an emulated machine more than everything else here costs this computer.
pub struct Overview {
    app: App,
    versions: HashMap<String, (String, String)>,
    usages: HashMap<String, (Instant, Usage, Share)>,
    looks: u32,
}

/// How long a measurement of usage is shown.
const MEASURE_AGAIN: Duration = Duration::from_secs(4);

/// Every so many looks each engine is asked, known or not.
const ASK_AGAIN: u32 = 15;

impl Overview {
    /// A first look is yet to come.
    pub fn new(app: App) -> Self {
        Self { app, versions: HashMap::new(), usages: HashMap::new(), looks: 0 }
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
        self.usages.retain(|name, _| rows.iter().any(|row| row.name == *name));
        Ok(rows.into_iter().map(|row| self.card(row)).collect())
    }

    fn measure(&mut self, row: &Row) -> Option<Share> {
        let before = self.usages.get(&row.name).copied();
        let now = Instant::now();
        if let Some((then, usage, share)) = before
            && now.duration_since(then) < MEASURE_AGAIN
            && usage.cpu_time.is_some() == row.url.is_some()
        {
            return Some(share);
        }
        let usage = self.app.usage(&row.name)?;
        let share = share(&usage, before.map(|(then, usage, _)| (now.duration_since(then), usage)), row.cpus);
        self.usages.insert(row.name.clone(), (now, usage, share));
        Some(share)
    }

    fn card(&mut self, row: Row) -> Card {
        let usage = self.measure(&row);
        let named = row.name.parse::<MachineName>().is_ok();
        let unreadable = row.driver.is_none();
        let (power, pause, size) = self.abilities(&row);
        let mut can = match row.state.as_str() {
            _ if !named => Vec::new(),
            _ if unreadable || !power => vec![Verb::Remove],
            "Running" | "Timeout" => {
                vec![Verb::Stop, Verb::Restart, Verb::Pause, Verb::Suspend, Verb::Kill, Verb::Remove]
            }
            "Stopped" => vec![Verb::Start, Verb::Resize, Verb::Remove],
            "Paused" => vec![Verb::Resume, Verb::Restart, Verb::Kill, Verb::Remove],
            "Starting" | "Stopping" => vec![Verb::Kill],
            _ => vec![Verb::Start, Verb::Remove],
        };
        if !pause {
            can.retain(|verb| !matches!(verb, Verb::Pause | Verb::Resume | Verb::Suspend));
        }
        if !size {
            can.retain(|verb| *verb != Verb::Resize);
        }
        let env_line = row.url.is_some().then(|| self.app.env_line(&row.name));
        Card { row, can, unreadable, env_line, usage }
    }
}

impl Overview {
    /// Whether its driver starts and stops machines, whether it halts and saves them, and whether it gives them another size; one that this program does not know
    /// removes them at least.
    fn abilities(&self, row: &Row) -> (bool, bool, bool) {
        let driver = row.driver.as_deref().and_then(|name| self.app.driver(name).ok());
        driver.map_or((false, false, false), |driver| {
            let can = driver.capabilities();
            (can.power, can.pause, can.local && can.resources)
        })
    }
}

/// What is shown of `usage`, given an earlier one and how long ago that was.
fn share(usage: &Usage, before: Option<(Duration, Usage)>, cpus: u32) -> Share {
    let rough_mib = |bytes: u64| (bytes >> 20).next_multiple_of(16);
    let cpu_percent = before.and_then(|(elapsed, before)| {
        // Another run has less CPU time behind it than the one before.
        let spent = usage.cpu_time?.checked_sub(before.cpu_time?)?;
        let whole = elapsed.as_secs_f64() * f64::from(cpus.max(1));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
        Some((spent.as_secs_f64() / whole * 100.0).clamp(0.0, 100.0).round() as u32)
    });
    Share { cpu_percent, memory_mib: usage.memory.map(rough_mib), disk_mib: rough_mib(usage.disk) }
}

fn known(row: &Row) -> Option<(String, (String, String))> {
    Some((row.name.clone(), (row.url.clone()?, row.docker_version.clone()?)))
}

impl App {
    /// The line to type that points Docker at a machine, in the words of the user's shell.
    pub fn env_line(&self, name: &str) -> String {
        let shell = users_shell();
        shell.evaluate(&format!("{} env {name}", self.environment.machine_word(shell)))
    }

    /// What a machine uses of this computer; none when it is elsewhere, or nothing can be read of it.
    pub(crate) fn usage(&self, name: &str) -> Option<Usage> {
        let name: MachineName = name.parse().ok()?;
        let record = self.store.load(&name).ok()?;
        let dir = self.store.folder(&name);
        self.driver(&record.driver).ok()?.usage(MachineRef { record: &record, dir: &dir })
    }

    /// How large a machine may be on this computer.
    pub fn size_bounds(&self) -> SizeBounds {
        machine_qemu::size_bounds(&machine_qemu::probe_host(), machine_qemu::free_space(&self.environment.store))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

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

    #[tokio::test]
    async fn a_machine_of_an_unknown_driver_can_be_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path());
        for (name, driver) in [("here", "qemu"), ("there", "elsewhere")] {
            app.store.save(&crate::store::remains(&name.parse().unwrap(), driver)).unwrap();
        }
        let cards = Overview::new(app).look().await.unwrap();
        let seen: Vec<_> = cards.iter().map(|card| (card.row.name.as_str(), card.can.as_slice())).collect();
        assert_eq!(seen, [("here", &[Verb::Start, Verb::Remove][..]), ("there", &[Verb::Remove][..])]);
    }

    #[test]
    fn usage_is_shown_roughly_and_the_cpu_s_only_between_two_looks_at_one_run() {
        let at = |seconds| Usage { cpu_time: Some(Duration::from_secs(seconds)), memory: Some(100 << 20), disk: 1 };
        let second = Duration::from_secs(4);
        assert_eq!(share(&at(9), None, 2), Share { cpu_percent: None, memory_mib: Some(112), disk_mib: 0 });
        assert_eq!(share(&at(9), Some((second, at(5))), 2).cpu_percent, Some(50));
        assert_eq!(share(&at(1), Some((second, at(5))), 2).cpu_percent, None, "it was restarted");
        let off = Usage { cpu_time: None, memory: None, disk: 0 };
        assert_eq!(share(&off, Some((second, at(5))), 2).cpu_percent, None);
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
            response_time: Duration::ZERO,
            labels: Vec::new(),
        };
        assert!(known(&row(Some("tcp://127.0.0.1:1"), Some("v1"))).is_some());
        assert!(known(&row(Some("tcp://127.0.0.1:1"), None)).is_none());
        assert!(known(&row(None, Some("v1"))).is_none());
    }
}
