//! Renewing the certificates of a machine, also of one that runs: its containers go on meanwhile.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use machine_core::{Endpoints, MachineName, MachineState, Phase, Reporter, Result, ResultExt as _};
use machine_ssh::Session;

use crate::app::{App, Journal};
use crate::certificates;
use crate::readiness::Console;
use crate::seed;

/// How often a supervisor looks at its machine's certificate. A leaf has a third of a year left when it is due.
const LOOK_EVERY: Duration = Duration::from_secs(12 * 3600);
/// How long the guest may take to take in its new seed: it restarts the engine.
const APPLY_LIMIT: Duration = Duration::from_secs(120);
/// How long the engine may take to answer with its new certificate.
const ENGINE_LIMIT: Duration = Duration::from_secs(120);

impl App {
    /// Gives a machine a new server certificate (and the store a new client certificate, when that is due). A running one
    /// gets it over SSH; its engine restarts, its containers do not. One that is off gets it at its next start.
    ///
    /// # Errors
    /// No such machine, one that is busy, or whatever failed; the old certificate then goes on being served.
    pub async fn regenerate_certificates(&self, name: &MachineName, reporter: &Reporter) -> Result<()> {
        let _lock = self.lock(name, reporter).await?;
        self.regenerate_locked(name, reporter).await
    }

    async fn regenerate_locked(&self, name: &MachineName, reporter: &Reporter) -> Result<()> {
        let record = self.complete_record(name)?;
        self.check_login(&record)?;
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        let record = journal.snapshot();
        let driver = self.driver(&record.driver)?;
        reporter.stage("certificates", "Making certificates");
        // A crash half-way leaves a pair that does not fit together: the next start then makes another.
        journal.update("renewing", |record| record.certificate_ends = None)?;
        let ends = self.write_certificates(&record)?;
        journal.update("certificates", |record| record.certificate_ends = Some(ends))?;
        let running = self.look(&*driver, &record).await == MachineState::Running;
        if !running {
            return Ok(());
        }
        self.hand_over(&journal, reporter).await
    }

    /// Brings what is kept here of a running machine's engine, settings and certificates, to it.
    pub(crate) async fn hand_over(&self, journal: &Journal<'_>, reporter: &Reporter) -> Result<()> {
        let record = journal.snapshot();
        let name = &record.name;
        let endpoints = self.endpoints(&record)?;
        if self.is_provisioned_over_ssh(&record)? {
            self.provision_over_ssh(journal, endpoints, Duration::from_secs(30), false, reporter).await?;
            return self.await_engine(journal, endpoints, crate::provision::ENGINE_LIMIT, reporter).await;
        }
        let target = self.ssh_target(name)?;
        let seed = seed::compose(&record, &self.store.folder(name))?.to_disk()?;
        reporter.stage("apply", "Handing them to the machine");
        machine_ssh::blocking(move || {
            let mut session = Session::connect(&target, Duration::from_secs(30))?;
            let output =
                session.exec_with_input("sudo /usr/lib/machine/guest apply -", &mut seed.as_slice(), APPLY_LIMIT)?;
            output.text("cannot apply the new seed").map(drop)
        })
        .await
        .context(|| format!("machine {:?} still serves its old certificate", name.as_str()))
        .map_err(|error| error.hint(format!("`machine restart {name}` hands it over too")))?;
        self.await_engine(journal, endpoints, ENGINE_LIMIT, reporter).await
    }

    pub(crate) async fn await_engine(
        &self,
        journal: &Journal<'_>,
        endpoints: Endpoints,
        limit: Duration,
        reporter: &Reporter,
    ) -> Result<()> {
        let record = journal.snapshot();
        let driver = self.driver(&record.driver)?;
        let mut console = Console::from_here(&self.store.folder(&record.name).join("serial.log"));
        self.wait_for_engine(&*driver, &record, endpoints, &mut console, limit, reporter).await?;
        if record.phase != Phase::Ready {
            journal.phase("ready", Phase::Ready)?;
        }
        self.refresh_context(&record, endpoints, reporter);
        Ok(())
    }

    /// Renews a running machine's certificates whenever they come to their end. For its supervisor; never returns.
    pub(crate) async fn keep_certificates_fresh(&self, name: &MachineName) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let due = |ends: Option<Timestamp>| ends.is_none_or(|ends| certificates::is_due(ends, Timestamp::now()));
            let Ok(record) = self.store.load(name) else { continue };
            let dir = self.store.folder(name);
            let client =
                std::fs::read_to_string(dir.join("cert.pem")).ok().and_then(|pem| certificates::end_of(&pem).ok());
            if !due(record.certificate_ends) && !due(client) {
                continue;
            }
            // Another command that holds the machine is not waited for: there are weeks left.
            let Ok(Ok(_lock)) = self.store.try_lock(name.as_str()) else { continue };
            match self.regenerate_locked(name, &Reporter::silent()).await {
                Ok(()) => tracing::info!("the certificates were renewed"),
                Err(error) => tracing::warn!(%error, "the certificates were not renewed"),
            }
        }
    }
}
