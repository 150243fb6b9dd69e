//! `ls`, `status`, `inspect`: what is true of machines now.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use machine_core::{
    Capabilities, Endpoints, Error, MachineName, MachineRecord, MachineRef, MachineState, Observation, Result,
};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::app::App;
use crate::docker_machine_view;

/// How long a machine is asked whose engine has never answered: QEMU takes the connection of a guest that is still booting,
/// and says nothing.
const STILL_BOOTING: Duration = Duration::from_secs(2);

/// One row of `ls`. A machine that cannot be read is a row that says so.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name (its folder's, when it cannot be read).
    pub name: String,
    /// Whether `DOCKER_HOST` points to it.
    pub active: bool,
    /// What provides it; `None` when that cannot be read.
    pub driver: Option<String>,
    /// `Running`, `Stopped`, `Starting`, `Stopping`, `Paused`, `Error` or `Timeout`.
    pub state: String,
    /// `tcp://...` while it runs.
    pub url: Option<String>,
    /// The engine's version (`v26.1.5`), when it answered.
    pub docker_version: Option<String>,
    /// Virtual CPUs; 0 when unknown.
    pub cpus: u32,
    /// Memory, MiB; 0 when unknown.
    pub memory_mib: u64,
    /// Size of the data disk, MiB; 0 when unknown.
    pub disk_mib: u64,
    /// What is wrong.
    pub error: Option<String>,
    /// What the user should know, such as slow mode.
    pub warnings: Vec<String>,
    /// How long it took until it, or its engine, had answered.
    #[serde(skip)]
    pub response_time: Duration,
    /// Labels of its engine.
    #[serde(skip)]
    pub labels: Vec<String>,
}

/// Everything known of one machine.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// What is kept of it.
    #[serde(flatten)]
    pub record: MachineRecord,
    /// What is true now.
    pub observed: Observation,
    /// `tcp://...` while it runs.
    pub url: Option<String>,
    /// Its folder: keys, certificates, disks, logs.
    pub folder: std::path::PathBuf,
    /// What its driver can do.
    pub capabilities: Capabilities,
    /// In docker-machine's words besides.
    #[serde(flatten)]
    pub docker_machine: serde_json::Value,
}

impl App {
    /// Looks at every machine. Each has its own `limit`, and one that does not answer costs nobody else anything.
    ///
    /// # Errors
    /// A store that cannot be listed.
    pub async fn list(&self, limit: Duration) -> Result<Vec<Row>> {
        self.list_knowing(&HashMap::new(), limit).await
    }

    /// As [`list`](Self::list), without asking engines of which the address and version are `known`, by machine.
    pub(crate) async fn list_knowing(
        &self,
        known: &HashMap<String, (String, String)>,
        limit: Duration,
    ) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut asked = JoinSet::new();
        // Side by side: a host elsewhere may take its time to be silent.
        let looks: Vec<_> = self
            .store
            .names()?
            .into_iter()
            .map(|name| {
                let app = self.clone();
                tokio::spawn(async move {
                    let begun = Instant::now();
                    let (mut row, running) = app.row(name).await;
                    row.response_time = begun.elapsed();
                    (row, running)
                })
            })
            .collect();
        for (index, look) in looks.into_iter().enumerate() {
            let (mut row, running) =
                look.await.map_err(|e| Error::other("a look at a machine ended unexpectedly").because(e))?;
            let known = known.get(&row.name).filter(|(url, _)| row.url.as_deref() == Some(url));
            row.docker_version = known.map(|(_, version)| version.clone());
            let running = running.filter(|_| row.docker_version.is_none());
            rows.push(row);
            if let Some((record, endpoints)) = running {
                let app = self.clone();
                let booting = record.phase != machine_core::Phase::Ready;
                let limit = if booting { limit.min(STILL_BOOTING) } else { limit };
                asked.spawn(async move {
                    let begun = Instant::now();
                    let asked = app.engine_version(&record, endpoints.engine, limit);
                    let answer = tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(no_answer(limit)));
                    (index, booting, answer, begun.elapsed())
                });
            }
        }
        while let Some(joined) = asked.join_next().await {
            let Ok((index, booting, answer, time)) = joined else { continue };
            let row: &mut Row = &mut rows[index];
            row.response_time += time;
            match answer {
                Ok(version) => row.docker_version = Some(format!("v{version}")),
                Err(_) if booting => {
                    row.error =
                        Some(format!("its engine has not answered yet: `machine start {}` waits for it", row.name));
                }
                Err(error) if error.code() == machine_core::Code::TimedOut => row.state = "Timeout".to_owned(),
                Err(error) => row.error = Some(format!("the engine does not answer: {error}")),
            }
        }
        Ok(rows)
    }

    async fn row(&self, name: String) -> (Row, Option<(MachineRecord, Endpoints)>) {
        let mut row = Row {
            name: name.clone(),
            active: false,
            driver: None,
            state: "Error".to_owned(),
            url: None,
            docker_version: None,
            cpus: 0,
            memory_mib: 0,
            disk_mib: 0,
            error: None,
            warnings: Vec::new(),
            response_time: Duration::ZERO,
            labels: Vec::new(),
        };
        let record = match name.parse::<MachineName>().and_then(|name| self.store.load(&name)) {
            Ok(record) => record,
            Err(error) => {
                row.error = Some(error.to_string());
                return (row, None);
            }
        };
        row.driver = Some(record.driver.clone());
        row.labels.clone_from(&record.spec.engine.labels);
        (row.cpus, row.memory_mib, row.disk_mib) = (record.spec.cpus, record.spec.memory_mib, record.spec.disk_mib);
        let seen = match self.observe(&record).await {
            Ok(seen) => seen,
            Err(error) => {
                row.error = Some(error.to_string());
                return (row, None);
            }
        };
        row.state = seen.state.name().to_owned();
        row.error = match &seen.state {
            MachineState::Broken(reason) | MachineState::Unknown(reason) => Some(reason.clone()),
            MachineState::Missing => Some("its disks are gone".to_owned()),
            _ => None,
        };
        row.warnings = seen.warnings;
        if let Some(told) = self.told_of_builder(&record) {
            row.error = Some(told);
            return (row, None);
        }
        row.url = seen.endpoints.and_then(|endpoints| self.url_of(&record, endpoints).ok());
        row.active = row.url.is_some()
            && self.environment.docker_host.as_deref().is_some_and(|host| {
                let socket = || self.engine_socket(&record).ok().flatten().is_some_and(|socket| socket.url() == host);
                row.url.as_deref() == Some(host) || socket()
            });
        let running = (seen.state == MachineState::Running).then_some(seen.endpoints).flatten();
        (row, running.map(|endpoints| (record, endpoints)))
    }

    /// Looks at one machine. An unfinished one says so.
    pub(crate) async fn observe(&self, record: &MachineRecord) -> Result<Observation> {
        let dir = self.store.folder(&record.name);
        let driver = self.driver(&record.driver)?;
        let machine = MachineRef { record, dir: &dir };
        let mut seen = driver.observe(machine).await;
        if seen.state == MachineState::Running && self.adopt_orphan(record) {
            seen.warnings = vec!["its supervisor had gone; a new one is taking over".to_owned()];
        }
        if record.phase == machine_core::Phase::Creating && !matches!(seen.state, MachineState::Running) {
            // Whoever creates it holds its lock until it is done.
            seen.state = if self.store.is_being_worked_on(&record.name) {
                MachineState::Starting
            } else {
                MachineState::Broken(format!(
                    "its creation was interrupted: `machine create {0}` begins anew, `machine rm {0}` removes it",
                    record.name
                ))
            };
        }
        Ok(seen)
    }

    /// The state of one machine.
    ///
    /// # Errors
    /// No such machine, or a record that cannot be read.
    pub async fn status(&self, name: &MachineName) -> Result<Observation> {
        self.observe(&self.store.load(name)?).await
    }

    /// Everything known of one machine.
    ///
    /// # Errors
    /// No such machine, or a record that cannot be read.
    pub async fn inspect(&self, name: &MachineName) -> Result<Inspection> {
        let record = self.store.load(name)?;
        let capabilities = self.driver(&record.driver)?.capabilities();
        let observed = self.observe(&record).await?;
        let url = observed.endpoints.and_then(|endpoints| self.url_of(&record, endpoints).ok());
        let folder = self.store.folder(name);
        let machine = MachineRef { record: &record, dir: &folder };
        let driver = self.driver(&record.driver)?;
        let login = observed.endpoints.filter(|_| capabilities.login);
        let ssh = login.map(|endpoints| driver.ssh_target(machine, endpoints));
        let docker_machine = docker_machine_view::view(&record, ssh.as_ref(), &folder);
        Ok(Inspection { record, observed, url, folder, capabilities, docker_machine })
    }

    /// The version of a running machine's engine.
    ///
    /// # Errors
    /// "Host is not running", or an engine that does not answer.
    pub async fn engine_version_of(&self, name: &MachineName, limit: Duration) -> Result<String> {
        let record = self.store.load(name)?;
        let endpoints = self.endpoints(&record)?;
        tokio::time::timeout(limit, self.engine_version(&record, endpoints.engine, limit))
            .await
            .unwrap_or_else(|_| Err(no_answer(limit)))
            .map_err(|error| error.within(format!("machine {:?}: the engine does not answer", name.as_str())))
    }
}

fn no_answer(limit: Duration) -> Error {
    Error::new(machine_core::Code::TimedOut, format!("no answer within {} s", limit.as_secs()))
}
