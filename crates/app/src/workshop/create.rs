//! `workshop create` and `retry`: from a number to that many Docker hosts, as far as there is room for them.
//!
//! ```text
//! reserved -> security-group -> key-pair -> instance -> adopted (each host a record of its own) -> launched -> prepared, each
//! ```
//!
//! `retry` goes the same way from wherever the last run came to: what is there is adopted or left, what is missing is launched,
//! what is not ready is made so.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use machine_core::{Code, Error, MachineName, MachineRecord, Phase, RECORD_SCHEMA, Reporter, Result};
use machine_ssh::KeyPair;

use super::record::{LoginBy, Seat, Workshop, WorkshopJournal};
use super::{equip, roster, seats};
use crate::app::App;
use crate::create::{CreateRequest, CreateWords};
use crate::seed;

/// How many hosts elsewhere are worked on at once.
const JOBS: usize = 8;
/// How long an engine may take on a host, where nothing else is said, at `retry`.
const USUAL_TIMEOUT: Duration = Duration::from_secs(300);

/// What `workshop create` is asked for, in the user's words.
#[derive(Clone, Debug)]
pub struct WorkshopWords {
    /// What each host shall be, as `create` takes it, under the workshop's name.
    pub hosts: CreateWords,
    /// How many; as many as the roster has people when it is not said.
    pub count: Option<usize>,
    /// The roster.
    pub roster: Option<PathBuf>,
    /// How people log in.
    pub login: LoginBy,
    /// Images to pull.
    pub pulls: Vec<String>,
    /// Files, folders and repositories to put into each account's home.
    pub puts: Vec<String>,
    /// Ports that everybody reaches, where hosts are elsewhere.
    pub open_ports: Vec<String>,
    /// How many hosts are worked on at once; eight, or one after the other where they are on this computer, when it is not said.
    pub jobs: Option<usize>,
}

/// How a workshop stands after `create` or `retry`.
#[derive(Debug)]
pub struct WorkshopReport {
    /// How many hosts were asked for.
    pub asked: usize,
    /// Those that are ready.
    pub ready: Vec<MachineName>,
    /// Those that are there and not ready, with the reason.
    pub failed: Vec<(MachineName, Error)>,
    /// How many there are not, and why.
    pub missing: usize,
    /// Why some are missing.
    pub shortage: Option<Error>,
}

impl WorkshopReport {
    /// Whether all is as it was asked for.
    pub fn is_complete(&self) -> bool {
        self.ready.len() == self.asked
    }
}

impl App {
    /// Makes a workshop. Partial success is one: the report tells what is missing, and [`retry_workshop`](Self::retry_workshop)
    /// fills it up.
    ///
    /// # Errors
    /// Words that cannot be, a name that is taken, or whatever made it impossible to have any host.
    pub async fn create_workshop(&self, words: WorkshopWords, reporter: &Reporter) -> Result<WorkshopReport> {
        let mut words = words;
        let people = words.roster.as_deref().map(roster::read).transpose()?.unwrap_or_default();
        let seats = seats::seats(&words.hosts.name, words.count, people)?;
        for put in &mut words.puts {
            *put = equip::put(put, &self.environment.current)?;
        }
        for image in &words.pulls {
            equip::check_image(image)?;
        }
        let mut request = self.create_request(words.hosts)?;
        let name = request.name.clone();
        let driver = self.driver(&request.driver)?;
        if driver.capabilities().adopted || !driver.capabilities().power {
            return Err(Error::new(Code::Usage, "hosts that are there already make no workshop")
                .hint("--driver ec2, or --driver qemu for a rehearsal on this computer"));
        }
        if !driver.capabilities().local {
            let ports = request.spec.options.entry("open_ports").or_insert_with(|| serde_json::json!([]));
            ports.as_array_mut().into_iter().for_each(|all| all.extend(words.open_ports.drain(..).map(Into::into)));
        }
        request.spec.engine.labels.push(Workshop::label(&name));
        self.check_request(&request)?;
        let _lock = self.lock_workshop(&name, reporter).await?;
        if self.workshop_folder(&name).exists() {
            return Err(Error::new(Code::AlreadyExists, format!("there is a workshop {:?} already", name.as_str()))
                .hint(format!(
                    "`machine workshop retry {name}` fills it up, `machine workshop rm {name}` removes it"
                )));
        }
        if let Some(seat) = seats.iter().find(|seat| self.store.exists(&seat.host)) {
            return Err(Error::new(
                Code::AlreadyExists,
                format!("there is a machine {:?} already", seat.host.as_str()),
            )
            .hint("another name for the workshop, or `machine rm` first"));
        }
        reporter.stage("check", "Running pre-create checks");
        if driver.capabilities().images {
            self.ensure_image(&mut request.spec, reporter).await?;
        }
        self.check_engine(&request.spec, &request.driver)?;
        driver.preflight(&mut request.spec, reporter).await?;

        let pattern = MachineRecord {
            schema: RECORD_SCHEMA,
            name: name.clone(),
            driver: request.driver.clone(),
            created: Timestamp::now(),
            spec: request.spec,
            phase: Phase::Creating,
            certificate_ends: None,
            host_key: None,
            driver_state: serde_json::Value::Null,
        };
        let workshop = Mutex::new(Workshop {
            login: words.login,
            pulls: words.pulls,
            puts: words.puts,
            ..Workshop::new(pattern, seats)
        });
        let journal = WorkshopJournal { app: self, workshop: &workshop, reporter };
        let folder = self.workshop_folder(&name);
        machine_files::make_private_folder(&folder)?;
        KeyPair::generate(&format!("machine workshop {name}"))?.save(&folder.join(seed::CLIENT_KEY))?;
        journal.update("reserved", |_| {})?;
        self.fill_workshop(&journal, request.timeout, words.jobs).await
    }

    /// Fills a workshop up: launches what is missing, makes ready what is not.
    ///
    /// # Errors
    /// No such workshop, or what EC2 says where there is no host at all.
    pub async fn retry_workshop(
        &self,
        name: &MachineName,
        jobs: Option<usize>,
        reporter: &Reporter,
    ) -> Result<WorkshopReport> {
        let _lock = self.lock_workshop(name, reporter).await?;
        let workshop = Mutex::new(self.workshop(name)?);
        let journal = WorkshopJournal { app: self, workshop: &workshop, reporter };
        self.fill_workshop(&journal, USUAL_TIMEOUT, jobs).await
    }

    async fn fill_workshop(
        &self,
        journal: &WorkshopJournal<'_>,
        timeout: Duration,
        jobs: Option<usize>,
    ) -> Result<WorkshopReport> {
        let reporter = journal.reporter;
        let workshop = journal.snapshot();
        let jobs = jobs.unwrap_or(if Self::is_launched_as_one(&workshop) { JOBS } else { 1 }).max(1);
        let mut report = WorkshopReport {
            asked: workshop.seats.len(),
            ready: Vec::new(),
            failed: Vec::new(),
            missing: 0,
            shortage: None,
        };
        let mut seats: Vec<Seat> = workshop.seats.clone();
        if Self::is_launched_as_one(&workshop) {
            let filled = self.fill_fleet(journal).await?;
            report.shortage = filled.shortage;
            report.missing = filled.missing.len();
            seats.retain(|seat| !filled.missing.contains(&seat.host));
            seats.retain(|seat| filled.lost.iter().all(|(host, _)| seat.host != *host));
            report.failed.extend(filled.lost);
            if seats.is_empty()
                && report.failed.is_empty()
                && let Some(error) = report.shortage.take()
            {
                let name = workshop.name();
                return Err(error.within(format!("workshop {:?} has no host", name.as_str())).hint(format!(
                    "`machine workshop retry {name}` tries again, `machine workshop rm {name}` removes what was made"
                )));
            }
        }
        let total = seats.len() as u64;
        reporter.stage("hosts", format!("Preparing {total} hosts, {jobs} at a time"));
        reporter.progress(0, Some(total), "hosts");
        let request = CreateRequest {
            name: workshop.name().clone(),
            driver: workshop.pattern.driver.clone(),
            spec: workshop.pattern.spec.clone(),
            wait: true,
            timeout,
        };
        let work = seats.into_iter().map(|seat| {
            let request = CreateRequest { name: seat.host.clone(), ..request.clone() };
            async move {
                let host = seat.host.clone();
                (host, self.equip(journal, seat, request).await)
            }
        });
        let mut done = futures_util::stream::iter(work).buffer_unordered(jobs);
        let mut count = 0;
        while let Some((host, result)) = done.next().await {
            count += 1;
            match result {
                Ok(()) => {
                    reporter.info(format!("{host} is ready"));
                    report.ready.push(host);
                }
                Err(error) if error.code() == Code::Interrupted => return Err(error),
                Err(error) => {
                    reporter.warn(format!("{host}: {error}"));
                    report.failed.push((host, error));
                }
            }
            reporter.progress(count, Some(total), "hosts");
        }
        report.ready.sort();
        report.failed.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(report)
    }

    /// Refuses what no host could be given.
    fn check_request(&self, request: &CreateRequest) -> Result<()> {
        machine_engine::daemon_json(&request.spec.engine, &request.driver)?;
        machine_engine::engine_environment(&request.spec.engine)?;
        crate::certificates::subject_alternative_names(&request.name, &request.spec.tls_san)?;
        request.spec.engine.users.iter().try_for_each(|user| machine_engine::check_account_name(user))
    }
}
