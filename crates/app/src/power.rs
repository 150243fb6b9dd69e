//! start, stop, restart, suspend, pause, resume, kill.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use machine_core::{
    Code, Driver, Endpoints, Error, MachineName, MachineRecord, MachineRef, MachineState, Phase, Reporter, Result,
};

use crate::app::{App, Journal};
use crate::certificates;
use crate::create::Created;
use crate::readiness::Console;
use crate::seed;

/// How long a machine elsewhere may take to accept a connection.
const REACH_LIMIT: Duration = Duration::from_secs(3);

/// How a machine came to be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The guest shut down by itself when asked.
    Gracefully,
    /// It did not in time and was ended by force.
    ByForce,
}

impl App {
    /// Starts a machine; with a limit, returns when its engine answers.
    ///
    /// # Errors
    /// docker-machine's text when it runs already, or whatever failed.
    pub async fn start(&self, name: &MachineName, wait: Option<Duration>, reporter: &Reporter) -> Result<Created> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        let driver = self.driver(&record.driver)?;
        let dir = self.store.folder(name);
        let machine = MachineRef { record: &record, dir: &dir };
        if !driver.capabilities().login {
            return Err(Self::without_driver("started"));
        }
        let seen = driver.observe(machine).await;
        let running = seen.state == MachineState::Running;
        // One that was started elsewhere may have another address than the one that is known here, or this computer another
        // than the one that is let in.
        let reached = match seen.endpoints {
            Some(endpoints) => is_reached(&*driver, machine, endpoints).await,
            None => true,
        };
        // One whose engine never answered is waited for, not refused: the user is told to do so when a wait timed out.
        if running && reached && record.phase == Phase::Ready {
            return Err(Error::other(format!("Machine \"{name}\" is already running.")));
        }
        self.start_locked(record, wait, reporter).await
    }

    async fn start_locked(
        &self,
        record: MachineRecord,
        wait: Option<Duration>,
        reporter: &Reporter,
    ) -> Result<Created> {
        let name = record.name.clone();
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        self.bring_up(&journal, wait, reporter)
            .await
            .map_err(|error| error.within(format!("machine {:?} was not started", name.as_str())))
    }

    /// Stops a machine; the guest has until `deadline` to shut down by itself. Returns whether force was needed.
    ///
    /// # Errors
    /// docker-machine's text when it is stopped already, or when it could not be ended.
    pub async fn stop(&self, name: &MachineName, deadline: Duration, reporter: &Reporter) -> Result<bool> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        Ok(self.end(record, Some(deadline), reporter).await? == Ended::ByForce)
    }

    /// Ends a machine at once.
    ///
    /// # Errors
    /// docker-machine's text when it is stopped already, or when it could not be ended.
    pub async fn kill(&self, name: &MachineName, reporter: &Reporter) -> Result<()> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        self.end(record, None, reporter).await.map(|_| ())
    }

    /// Stops a machine when it runs, and starts it.
    ///
    /// # Errors
    /// Whatever failed in either half.
    pub async fn restart(
        &self,
        name: &MachineName,
        deadline: Duration,
        wait: Option<Duration>,
        reporter: &Reporter,
    ) -> Result<Created> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        let driver = self.driver(&record.driver)?;
        if !driver.capabilities().login {
            return Err(Self::without_driver("restarted"));
        }
        if !matches!(
            self.look(&*driver, &record).await,
            MachineState::Stopped | MachineState::Saved | MachineState::Broken(_) | MachineState::Missing
        ) || !driver.capabilities().power
        {
            self.end(record, Some(deadline), reporter).await?;
        }
        self.start_locked(self.store.load(name)?, wait, reporter).await
    }

    /// Halts the CPUs of a machine; its memory stays where it is.
    ///
    /// # Errors
    /// One that does not run, or is paused already; or why it cannot be paused.
    pub async fn pause(&self, name: &MachineName, reporter: &Reporter) -> Result<()> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        let driver = self.driver(&record.driver)?;
        match self.look(&*driver, &record).await {
            MachineState::Running => {}
            MachineState::Paused => return Err(Error::other(format!("Machine \"{name}\" is already paused."))),
            _ => return Err(Self::not_running(name)),
        }
        let dir = self.store.folder(name);
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        let snapshot = journal.snapshot();
        reporter.stage("pause", format!("Pausing {name}"));
        driver
            .pause(journal.work(&snapshot, &dir))
            .await
            .map_err(|error| error.within(format!("machine {:?} was not paused", name.as_str())))
    }

    /// Lets a paused machine go on.
    ///
    /// # Errors
    /// One that is not paused, or why it cannot go on.
    pub async fn resume(&self, name: &MachineName, reporter: &Reporter) -> Result<()> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        let driver = self.driver(&record.driver)?;
        match self.look(&*driver, &record).await {
            MachineState::Paused => {}
            MachineState::Running => return Err(Error::other(format!("Machine \"{name}\" is already running."))),
            MachineState::Saved => {
                return Err(Error::other(format!("Machine \"{name}\" is suspended."))
                    .hint(format!("`machine start {name}` goes on")));
            }
            _ => return Err(Self::not_running(name)),
        }
        let dir = self.store.folder(name);
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        let snapshot = journal.snapshot();
        reporter.stage("resume", format!("Resuming {name}"));
        driver
            .resume(journal.work(&snapshot, &dir))
            .await
            .map_err(|error| error.within(format!("machine {:?} was not resumed", name.as_str())))
    }

    /// Saves the memory of a machine and turns it off; its next start goes on where it was.
    ///
    /// # Errors
    /// One that does not run, or why its memory cannot be saved: it then goes on.
    pub async fn suspend(&self, name: &MachineName, reporter: &Reporter) -> Result<()> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        let driver = self.driver(&record.driver)?;
        match self.look(&*driver, &record).await {
            MachineState::Running | MachineState::Paused => {}
            MachineState::Saved => return Err(Error::other(format!("Machine \"{name}\" is already suspended."))),
            _ => return Err(Self::not_running(name)),
        }
        let dir = self.store.folder(name);
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        let snapshot = journal.snapshot();
        reporter.stage("suspend", format!("Suspending {name}"));
        driver
            .suspend(journal.work(&snapshot, &dir))
            .await
            .map_err(|error| error.within(format!("machine {:?} was not suspended", name.as_str())))
    }

    pub(crate) async fn end(
        &self,
        record: MachineRecord,
        deadline: Option<Duration>,
        reporter: &Reporter,
    ) -> Result<Ended> {
        let name = record.name.clone();
        let driver = self.driver(&record.driver)?;
        if !driver.capabilities().login {
            return Err(Self::without_driver(if deadline.is_some() { "stopped" } else { "killed" }));
        }
        if !driver.capabilities().power {
            let error = format!(
                "machine {:?} is a host that was adopted: the driver {:?} cannot stop it",
                name.as_str(),
                record.driver
            );
            return Err(
                Error::other(error).hint(format!("`machine ssh {name} sudo poweroff` shuts it down, if you want that"))
            );
        }
        match self.look(&*driver, &record).await {
            MachineState::Stopped | MachineState::Broken(_) | MachineState::Missing => {
                return Err(Error::other(format!("Machine \"{name}\" is already stopped.")));
            }
            MachineState::Unknown(reason) => {
                return Err(Error::other(format!("machine {:?} cannot be looked at", name.as_str()))
                    .because(Error::other(reason))
                    .hint("whether it runs is not known, and nothing was changed: try again once that is mended"));
            }
            MachineState::Saved if deadline.is_some() => {
                return Err(Error::other(format!("Machine \"{name}\" is suspended.")).hint(format!(
                    "`machine start {name}` goes on; `machine kill {name}` throws its saved memory away"
                )));
            }
            _ => {}
        }
        let dir = self.store.folder(&name);
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        let snapshot = journal.snapshot();
        let work = journal.work(&snapshot, &dir);
        let failed = |error: Error| error.within(format!("machine {:?} could not be stopped", name.as_str()));
        match deadline {
            Some(deadline) => {
                reporter.stage("stop", format!("Stopping {name}"));
                let by_force = driver.stop(work, deadline).await.map_err(failed)?;
                Ok(if by_force { Ended::ByForce } else { Ended::Gracefully })
            }
            None => {
                reporter.stage("kill", format!("Killing {name}"));
                driver.kill(work).await.map_err(failed)?;
                Ok(Ended::ByForce)
            }
        }
    }

    /// Starts a machine whose parts are all there (or finds it running) and, with a limit, waits for its engine.
    pub(crate) async fn bring_up(
        &self,
        journal: &Journal<'_>,
        wait: Option<Duration>,
        reporter: &Reporter,
    ) -> Result<Created> {
        let record = journal.snapshot();
        let name = record.name.clone();
        let dir = self.store.folder(&name);
        let driver = self.driver(&record.driver)?;
        let mut console = Console::from_here(&dir.join("serial.log"));
        let present = driver.observe(MachineRef { record: &record, dir: &dir }).await;
        let endpoints = match (present.state, present.endpoints) {
            (MachineState::Paused, Some(endpoints)) => {
                reporter.stage("resume", format!("Resuming {name}"));
                driver.resume(journal.work(&record, &dir)).await?;
                endpoints
            }
            (MachineState::Running, Some(endpoints))
                if is_reached(&*driver, MachineRef { record: &record, dir: &dir }, endpoints).await =>
            {
                endpoints
            }
            _ => {
                // A host that is not ours, and has no power switch here, has its own until somebody asks for others.
                if driver.capabilities().power {
                    self.refresh_certificates(journal)?;
                }
                let record = journal.snapshot();
                if driver.capabilities().images {
                    seed::write(&record, &dir, &self.image_of(&record)?)?;
                }
                reporter.stage("start", "Starting the machine");
                driver.start(journal.work(&record, &dir)).await?
            }
        };
        let engine_version = self.settle(journal, endpoints, &mut console, wait, reporter).await?;
        let booting = engine_version.is_none();
        Ok(Created { name, endpoints, engine_version, booting })
    }

    /// Completes a machine that runs and is reached at `endpoints`: with a limit, tells its engine what is new and waits for it.
    pub(crate) async fn settle(
        &self,
        journal: &Journal<'_>,
        endpoints: Endpoints,
        console: &mut Console,
        wait: Option<Duration>,
        reporter: &Reporter,
    ) -> Result<Option<String>> {
        let record = journal.snapshot();
        let driver = self.driver(&record.driver)?;
        let over_ssh = self.is_provisioned_over_ssh(&record)?;
        let mut engine_version = None;
        if let Some(limit) = wait {
            // What a seed tells others, these are told over SSH: a renewed certificate, changed settings.
            if over_ssh && self.has_news(&record, endpoints)? {
                self.provision_over_ssh(journal, endpoints, limit, false, reporter).await?;
            }
            let record = journal.snapshot();
            engine_version = Some(self.wait_for_engine(&*driver, &record, endpoints, console, limit, reporter).await?);
            journal.phase("ready", Phase::Ready)?;
            // Whoever mounts a folder before it is there gets an empty one.
            self.wait_for_shares(&record, reporter).await;
        }
        self.refresh_context(&journal.snapshot(), endpoints, reporter);
        Ok(engine_version)
    }

    /// Renews what comes to its end: at a start the guest gets it with its seed.
    fn refresh_certificates(&self, journal: &Journal<'_>) -> Result<()> {
        let record = journal.snapshot();
        let authority = certificates::Authority::open(&self.store, self.environment.user.as_deref(), Timestamp::now())?;
        let dir = self.store.folder(&record.name);
        // A machine whose CA is not the store's any more needs a certificate of the new one.
        let of_this_authority =
            std::fs::read_to_string(dir.join("ca.pem")).is_ok_and(|present| present == authority.ca_pem);
        let ends_soon = record.certificate_ends.is_none_or(|ends| certificates::is_due(ends, Timestamp::now()));
        if ends_soon || !of_this_authority {
            let ends = self.write_certificates(&record)?;
            journal.update("certificates", |record| record.certificate_ends = Some(ends))?;
        } else {
            // The client certificate is the store's and may have been renewed since.
            authority.hand_out(&dir)?;
        }
        Ok(())
    }

    /// A record whose parts were all made once.
    pub(crate) fn complete_record(&self, name: &MachineName) -> Result<MachineRecord> {
        let record = self.store.load(name)?;
        if record.phase == Phase::Creating {
            return Err(Error::other(format!(
                "machine {:?} is not complete: its creation was interrupted",
                name.as_str()
            ))
            .hint(format!("`machine create {name}` begins anew, `machine rm {name}` removes what is left")));
        }
        Ok(record)
    }

    pub(crate) async fn look(&self, driver: &dyn Driver, record: &MachineRecord) -> MachineState {
        let dir = self.store.folder(&record.name);
        driver.observe(MachineRef { record, dir: &dir }).await.state
    }

    /// Refuses in docker-machine's words what only a driver can do.
    fn without_driver(done: &str) -> Error {
        Error::other(format!("hosts without a driver cannot be {done}"))
            .hint("only its URL is known here: do it where the host is at home")
    }

    /// Refuses in docker-machine's words when a machine is not up.
    pub(crate) fn not_running(name: &MachineName) -> Error {
        Error::new(Code::NotRunning, "Host is not running")
            .within(format!("machine {:?}", name.as_str()))
            .hint(format!("`machine start {name}` starts it"))
    }
}

/// Whether the way to a machine that runs is the one that is known here. On this computer it always is; elsewhere the
/// machine's address may have changed, or who is let in: its driver's `start` mends both.
async fn is_reached(driver: &dyn Driver, machine: MachineRef<'_>, endpoints: Endpoints) -> bool {
    let capabilities = driver.capabilities();
    if capabilities.local || !capabilities.power {
        return true;
    }
    let connected = tokio::time::timeout(REACH_LIMIT, tokio::net::TcpStream::connect(endpoints.ssh));
    driver.endpoints(machine) == Some(endpoints) && matches!(connected.await, Ok(Ok(_)))
}
