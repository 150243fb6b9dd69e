//! Machines that come without an engine get one over SSH, and are kept as they were asked for.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use machine_core::{
    Code, Endpoints, EngineSpec, Error, MachineName, MachineRecord, MachineRef, MachineSpec, MachineState, Reporter,
    Result,
};
use machine_engine::{Outcome, Request, Runner, TlsFiles};
use machine_images::SeedKind;

use crate::app::{App, Journal};
use crate::certificates;
use crate::files;
use crate::image_use_cases::CancelOnDrop;

/// What is said on the machine while it is provisioned, in its folder.
pub(crate) const TRANSCRIPT: &str = "provision.log";
/// What the machine's engine was last told, in its folder: a digest.
const TOLD: &str = "provisioned";
/// The engine's port in machines whose ports are forwarded.
const ENGINE_PORT: u16 = 2376;
/// The disk that QEMU gives a machine for its engine's data.
const DATA_DISK: &str = "/dev/disk/by-id/virtio-data";
/// How often it is looked whether the machine still runs.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a machine that runs may take to let us in.
const SSH_LIMIT: Duration = Duration::from_secs(60);
/// How long the engine may take to answer here once it was seen to answer there.
pub(crate) const ENGINE_LIMIT: Duration = Duration::from_secs(20);

/// Settings of an engine to change; what is not named stays.
#[derive(Clone, Debug, Default)]
pub struct EngineChanges {
    /// Each of them gives the setting, as `create` does; an empty text among them clears it first.
    pub options: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<Vec<String>>,
    /// Registries without verified TLS.
    pub insecure_registries: Option<Vec<String>>,
    /// Mirrors of Docker Hub.
    pub registry_mirrors: Option<Vec<String>>,
    /// The storage driver; empty means that the engine chooses.
    pub storage_driver: Option<String>,
    /// The daemon's environment.
    pub env: Option<Vec<(String, String)>>,
    /// Its proxies become this computer's, as they are now.
    pub proxy_from_host: bool,
    /// Networks to take from.
    pub address_pools: Option<Vec<String>>,
    /// More accounts that may use the engine.
    pub users: Option<Vec<String>>,
    /// Authorities, PEM.
    pub authorities: Option<Vec<String>>,
    /// Authorities of registries, PEM.
    pub registry_authorities: Option<Vec<(String, String)>>,
}

impl EngineChanges {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        let Self { options, labels, insecure_registries, registry_mirrors, storage_driver, env, .. } = self;
        let Self { address_pools, users, authorities, registry_authorities, .. } = self;
        let lists = [options, labels, insecure_registries, registry_mirrors, address_pools, users, authorities];
        lists.iter().all(|list| list.is_none())
            && storage_driver.is_none()
            && env.is_none()
            && registry_authorities.is_none()
            && !self.proxy_from_host
    }

    /// The settings with these changes.
    pub(crate) fn applied_to(self, mut engine: EngineSpec) -> EngineSpec {
        let list = |to: &mut Vec<String>, from: Option<Vec<String>>| {
            if let Some(from) = from {
                *to = from.into_iter().filter(|entry| !entry.is_empty()).collect();
            }
        };
        list(&mut engine.options, self.options);
        list(&mut engine.labels, self.labels);
        list(&mut engine.insecure_registries, self.insecure_registries);
        list(&mut engine.registry_mirrors, self.registry_mirrors);
        list(&mut engine.address_pools, self.address_pools);
        list(&mut engine.users, self.users);
        list(&mut engine.authorities, self.authorities);
        if let Some(driver) = self.storage_driver {
            engine.storage_driver = Some(driver).filter(|driver| !driver.is_empty());
        }
        if let Some(env) = self.env {
            engine.env = env.into_iter().filter(|(name, _)| !name.is_empty()).collect();
        }
        if let Some(authorities) = self.registry_authorities {
            engine.registry_authorities = authorities.into_iter().filter(|(host, _)| !host.is_empty()).collect();
        }
        engine
    }
}

impl App {
    /// The text of a file with the certificate of an authority.
    ///
    /// # Errors
    /// A file that cannot be read, or has another thing than certificates in it.
    pub fn authority(path: &Path) -> Result<String> {
        let text = std::fs::read_to_string(path).map_err(|error| files::explain(error, "cannot read", path))?;
        certificates::end_of(&text).map_err(|error| {
            error
                .within(format!("{} is no certificate of an authority", path.display()))
                .with_code(Code::Usage)
                .hint("it begins with -----BEGIN CERTIFICATE-----")
        })?;
        if text.contains("PRIVATE KEY") {
            return Err(Error::new(Code::Usage, format!("{} has a private key in it", path.display()))
                .hint("only the certificate is wanted"));
        }
        Ok(text)
    }

    /// Makes a running machine what was asked for: installs its engine where it is missing, writes its settings and
    /// certificates, and proves that it answers, here within `limit`. A second time it changes nothing. Returns what was done; nothing is known of
    /// it for machines that have their engine in their image.
    ///
    /// # Errors
    /// A machine that does not run, or which step failed and why; the machine stays usable, and another run carries on.
    pub async fn provision(&self, name: &MachineName, limit: Duration, reporter: &Reporter) -> Result<Option<Outcome>> {
        let _lock = self.lock(name, reporter).await?;
        let record = Mutex::new(self.running(name).await?);
        let journal = self.journal(&record, reporter);
        self.provision_locked(&journal, false, limit, reporter).await
    }

    pub(crate) async fn provision_locked(
        &self,
        journal: &Journal<'_>,
        upgrade: bool,
        limit: Duration,
        reporter: &Reporter,
    ) -> Result<Option<Outcome>> {
        let record = journal.snapshot();
        if !self.is_provisioned_over_ssh(&record)? {
            self.hand_over(journal, reporter).await?;
            return Ok(None);
        }
        let endpoints = self.endpoints(&record)?;
        let outcome = self.provision_over_ssh(journal, endpoints, SSH_LIMIT, upgrade, reporter).await?;
        self.await_engine(journal, endpoints, limit, reporter).await?;
        Ok(Some(outcome))
    }

    /// Says what [`provision`](Self::provision) would do, and changes nothing.
    ///
    /// # Errors
    /// A machine that does not run or is unfit, one that has its engine in its image.
    pub async fn provision_plan(&self, name: &MachineName, reporter: &Reporter) -> Result<Outcome> {
        let record = self.running(name).await?;
        if !self.is_provisioned_over_ssh(&record)? {
            return Err(Error::other(format!(
                "machine {:?} has its engine in its image: there is nothing to plan",
                name.as_str()
            ))
            .hint(format!("`machine provision {name}` brings it its settings and certificates")));
        }
        let endpoints = self.endpoints(&record)?;
        let cancel = CancelOnDrop::new();
        let work = self.work_over_ssh(&record, endpoints, SSH_LIMIT, reporter, &cancel)?;
        machine_ssh::blocking(move || work.rehearse()).await
    }

    /// Changes settings of a machine's engine. A running one gets them at once, its engine restarts and its containers go on;
    /// one that is off gets them at its next start. Returns whether it runs.
    ///
    /// # Errors
    /// Settings that cannot be; nothing is changed then. Or whatever failed on the machine.
    pub async fn set_engine(&self, name: &MachineName, changes: EngineChanges, reporter: &Reporter) -> Result<bool> {
        let _lock = self.lock(name, reporter).await?;
        let record = self.complete_record(name)?;
        let proxy_from_host = changes.proxy_from_host;
        let mut engine = changes.applied_to(record.spec.engine.clone());
        if proxy_from_host {
            engine.env = self.with_proxies(engine.env, &record.driver, &record.spec.options)?;
        }
        machine_engine::daemon_json(&engine, &record.driver)?;
        machine_engine::engine_environment(&engine)?;
        let over_ssh = self.is_provisioned_over_ssh(&record)?;
        check_for_seed(&engine, over_ssh)?;
        let driver = self.driver(&record.driver)?;
        let running = self.look(&*driver, &record).await == MachineState::Running;
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        journal.update("settings", |record| record.spec.engine = engine)?;
        if running {
            self.hand_over(&journal, reporter).await?;
        }
        Ok(running)
    }

    /// The record of a machine that runs.
    pub(crate) async fn running(&self, name: &MachineName) -> Result<MachineRecord> {
        let record = self.complete_record(name)?;
        let driver = self.driver(&record.driver)?;
        match self.look(&*driver, &record).await {
            MachineState::Running => Ok(record),
            _ => Err(Self::not_running(name)),
        }
    }

    /// Whether there is something that the engine of a machine was not told yet.
    pub(crate) fn has_news(&self, record: &MachineRecord, endpoints: Endpoints) -> Result<bool> {
        if !self.certificate_covers(record, endpoints.engine.ip()) {
            return Ok(true);
        }
        let told = std::fs::read_to_string(self.store.folder(&record.name).join(TOLD)).unwrap_or_default();
        Ok(told.trim() != self.digest_of(record)?)
    }

    /// Notes that the engine of a machine has what is kept of it here.
    pub(crate) fn note_as_told(&self, record: &MachineRecord) -> Result<()> {
        let path = self.store.folder(&record.name).join(TOLD);
        machine_files::write_whole(&path, self.digest_of(record)?.as_bytes(), machine_files::PRIVATE)
    }

    fn certificate_covers(&self, record: &MachineRecord, address: IpAddr) -> bool {
        let path = self.store.folder(&record.name).join("server.pem");
        std::fs::read_to_string(path).is_ok_and(|pem| certificates::covers(&pem, address))
    }

    fn digest_of(&self, record: &MachineRecord) -> Result<String> {
        use sha2::Digest as _;
        let tls = self.tls_files(record)?;
        let engine =
            serde_json::to_string(&record.spec.engine).map_err(|e| Error::other("cannot write settings").because(e))?;
        let all = [engine, tls.ca, tls.certificate, tls.key].join("\n");
        Ok(sha2::Sha256::digest(all).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn tls_files(&self, record: &MachineRecord) -> Result<TlsFiles> {
        let dir = self.store.folder(&record.name);
        let read = |file: &str| {
            let path = dir.join(file);
            std::fs::read_to_string(&path).map_err(|error| files::explain(error, "cannot read", &path))
        };
        Ok(TlsFiles { ca: read("ca.pem")?, certificate: read("server.pem")?, key: read("server-key.pem")? })
    }

    /// Provisions a machine that runs or boots, which has `boot_limit` until it lets us in.
    pub(crate) async fn provision_over_ssh(
        &self,
        journal: &Journal<'_>,
        endpoints: Endpoints,
        boot_limit: Duration,
        upgrade: bool,
        reporter: &Reporter,
    ) -> Result<Outcome> {
        self.change_host_key(journal, endpoints, boot_limit, reporter).await?;
        let record = journal.snapshot();
        if !self.certificate_covers(&record, endpoints.engine.ip()) {
            let ends = self.write_certificates(&record)?;
            journal.update("certificates", |record| record.certificate_ends = Some(ends))?;
        }
        let told = self.digest_of(&record)?;
        // Given up, the work ends with its next word.
        let cancel = CancelOnDrop::new();
        let mut work = self.work_over_ssh(&record, endpoints, boot_limit, reporter, &cancel)?;
        work.request.upgrade = upgrade;
        let provisioned = machine_ssh::blocking(move || work.run());
        let outcome = self.while_it_runs(&record, provisioned).await?;
        let path = self.store.folder(&record.name).join(TOLD);
        machine_files::write_whole(&path, told.as_bytes(), machine_files::PRIVATE)?;
        Ok(outcome)
    }

    fn work_over_ssh(
        &self,
        record: &MachineRecord,
        endpoints: Endpoints,
        boot_limit: Duration,
        reporter: &Reporter,
        cancel: &CancelOnDrop,
    ) -> Result<Runner> {
        let dir = self.store.folder(&record.name);
        let driver = self.driver(&record.driver)?;
        // Where ports are forwarded, the one here is another than the one there.
        let port = if driver.capabilities().adopted { endpoints.engine.port() } else { ENGINE_PORT };
        let cancel = cancel.0.clone();
        Ok(Runner {
            target: driver.ssh_target(MachineRef { record, dir: &dir }, endpoints),
            request: Request {
                machine: record.name.to_string(),
                driver: record.driver.clone(),
                engine: record.spec.engine.clone(),
                tls: self.tls_files(record)?,
                listen: if endpoints.engine.is_ipv6() { "[::]" } else { "0.0.0.0" }.to_owned(),
                port,
                data_disk: driver.capabilities().images.then(|| DATA_DISK.to_owned()),
                upgrade: false,
            },
            boot_limit,
            reporter: reporter.clone(),
            transcript: dir.join(TRANSCRIPT),
            go_on: Box::new(move || cancel.check()),
        })
    }

    /// Waits for `work`, but not longer than the machine runs: SSH alone would notice its end late and tell no reason.
    async fn while_it_runs<T>(&self, record: &MachineRecord, work: impl Future<Output = Result<T>>) -> Result<T> {
        let driver = self.driver(&record.driver)?;
        let dir = self.store.folder(&record.name);
        tokio::pin!(work);
        loop {
            let result = tokio::select! {
                result = &mut work => return result,
                () = tokio::time::sleep(LOOK_EVERY), if driver.capabilities().local => {
                    driver.observe(MachineRef { record, dir: &dir }).await.state
                }
            };
            let reason = match result {
                MachineState::Broken(reason) => reason,
                MachineState::Stopped | MachineState::Missing => "it was stopped".to_owned(),
                _ => continue,
            };
            let console = crate::readiness::last_lines(&dir.join("serial.log"), 600);
            return Err(Error::other(format!("the machine ended while it was provisioned: {reason}"))
                .hint(format!("its console's last lines:\n{console}")));
        }
    }
}

/// What a seed has no room for.
fn check_for_seed(engine: &EngineSpec, over_ssh: bool) -> Result<()> {
    let only_over_ssh = [
        (engine.users.is_empty(), "--docker-user"),
        (engine.authorities.is_empty(), "--engine-ca"),
        (engine.registry_authorities.is_empty(), "--engine-registry-ca"),
        (engine.source.is_none(), "--engine-source"),
        (engine.version.is_none(), "--engine-version"),
        (engine.install_url.is_none(), "--engine-install-url"),
    ];
    match only_over_ssh.iter().find(|(absent, _)| !absent && !over_ssh) {
        Some((_, flag)) => {
            Err(Error::new(Code::Usage, format!("{flag} is of no use here: the image brings the engine")).hint(
                "it works with a vendor's image (--image debian-13) and with hosts that are adopted (-d generic)",
            ))
        }
        None => Ok(()),
    }
}

impl App {
    /// Refuses settings that a machine of this spec and driver could not be given.
    pub(crate) fn check_engine(&self, spec: &MachineSpec, driver: &str) -> Result<()> {
        let over_ssh = match self.driver(driver)?.capabilities().images {
            true => self.image_named(spec.image.as_deref())?.seed == SeedKind::NoCloud,
            false => true,
        };
        check_for_seed(&spec.engine, over_ssh)
    }
}
