//! `import-docker-machine`: machines of docker-machine become machines of this store. Nothing is made anew, the old store stays
//! as it is, and so does the host: its engine goes on with the certificates that it has, which are copied with the key that
//! the host lets in. `regenerate-certs` gives it this store's own, from when on the old store does not reach it any more.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use machine_core::{
    Code, EngineSpec, Error, MachineRecord, MachineRef, MachineSpec, Phase, RECORD_SCHEMA, Reporter, Result,
};
use machine_ssh::HostKey;
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::certificates;
use crate::docker_machine_store::{OldConfig, folders, read_bounded};
use crate::{files, store};

/// How long a host may take to show its key.
const HOST_KEY_LIMIT: Duration = Duration::from_secs(20);
/// How long its engine may take to answer.
const ENGINE_LIMIT: Duration = Duration::from_secs(10);
/// What docker-machine keeps of a machine's trust, and who may read the copy.
const CERTIFICATES: [(&str, u32); 5] = [
    ("ca.pem", machine_files::PUBLIC),
    ("cert.pem", machine_files::PUBLIC),
    ("key.pem", machine_files::PRIVATE),
    ("server.pem", machine_files::PUBLIC),
    ("server-key.pem", machine_files::PRIVATE),
];

/// A machine of docker-machine's.
#[derive(Clone, Debug, Serialize)]
pub struct OldMachine {
    /// Its name; that of its folder where its record cannot be read.
    pub name: String,
    /// docker-machine's name of its driver.
    pub driver: Option<String>,
    /// Its host.
    pub address: Option<String>,
    /// Why it is not taken over.
    pub refusal: Option<String>,
    #[serde(skip)]
    config: Option<OldConfig>,
    #[serde(skip)]
    folder: PathBuf,
}

impl OldMachine {
    /// Whether it is logged in to, so that somebody has to confirm its host key.
    pub fn has_host_key(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.host.is_some())
    }
}

impl App {
    /// The machines of docker-machine's store at `path`, by default `~/.docker/machine`. Touches nothing and asks nobody.
    ///
    /// # Errors
    /// No such store.
    pub fn machines_of_docker_machine(&self, path: Option<&Path>) -> Result<Vec<OldMachine>> {
        let usual = || self.environment.home.as_ref().map(|home| home.join(".docker").join("machine"));
        let path = path.map(Path::to_owned).or_else(usual).ok_or_else(|| {
            Error::new(Code::Usage, "no home folder is known").hint("name the store of docker-machine")
        })?;
        Ok(folders(&path)?.into_iter().map(|folder| self.old_machine(folder)).collect())
    }

    fn old_machine(&self, folder: PathBuf) -> OldMachine {
        let of_folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match OldConfig::read(&folder) {
            Err(error) => {
                let refusal = Some(error.to_string());
                OldMachine { name: of_folder, driver: None, address: None, refusal, config: None, folder }
            }
            Ok(config) => OldMachine {
                name: config.name.to_string(),
                driver: Some(config.driver.clone()),
                address: config.host.as_ref().map(|host| host.address.clone()).or_else(|| config.url.clone()),
                refusal: self.refusal(&config, &of_folder),
                config: Some(config),
                folder,
            },
        }
    }

    fn refusal(&self, config: &OldConfig, of_folder: &str) -> Option<String> {
        let name = &config.name;
        if name.as_str() != of_folder {
            return Some(format!("its folder is called {of_folder:?}: it was copied or renamed by hand"));
        }
        if self.store.exists(name) && self.store.load(name).map_or(true, |record| record.phase != Phase::Creating) {
            return Some(format!("there is a machine {name:?} here already", name = name.as_str()));
        }
        if config.swarm {
            return Some("it belongs to a classic swarm, which engines do not have any more".to_owned());
        }
        match config.driver.as_str() {
            "generic" | "none" => None,
            "amazonec2" => Some(
                "an instance of docker-machine's has no tags by which `machine rm` would find it and all that belongs to it; \
                 `machine create -d generic` adopts it as a host"
                    .to_owned(),
            ),
            other => Some(format!("the driver {other:?} is not here")),
        }
    }

    /// The key that the host of a machine shows: to be confirmed by a person.
    ///
    /// # Errors
    /// A host that does not answer.
    pub async fn key_of_old_machine(&self, old: &OldMachine) -> Result<HostKey> {
        let host = old.config.as_ref().and_then(|config| config.host.clone());
        let host = host.ok_or_else(|| Error::other(format!("{} is no host that is reached by SSH", old.name)))?;
        machine_ssh::blocking(move || {
            let address = machine_generic::resolve(&host.address, host.ssh_port)?;
            Ok(machine_ssh::Session::shown_host_key(address, HOST_KEY_LIMIT)?)
        })
        .await
        .map_err(|error: Error| error.within(format!("machine {:?} was not taken over", old.name)))
    }

    /// Takes a machine over; one with a [host key](OldMachine::has_host_key) needs that. Returns the version of its engine, where that
    /// answers.
    ///
    /// # Errors
    /// A machine that is [refused](OldMachine::refusal), keys or certificates that are not there, a host that does not let us
    /// in. Nothing is left then but what `rm` removes and a second attempt replaces.
    pub async fn take_over(
        &self,
        old: &OldMachine,
        host_key: Option<&HostKey>,
        reporter: &Reporter,
    ) -> Result<Option<String>> {
        self.take_over_all(old, host_key, reporter)
            .await
            .map_err(|error| error.within(format!("machine {:?} was not taken over", old.name)))
    }

    async fn take_over_all(
        &self,
        old: &OldMachine,
        host_key: Option<&HostKey>,
        reporter: &Reporter,
    ) -> Result<Option<String>> {
        if let Some(why) = &old.refusal {
            return Err(Error::other(why.clone()));
        }
        let Some(config) = &old.config else { return Err(Error::other("its record is not known")) };
        let name = &config.name;
        let engine = settings(config, reporter);
        let Trust { files: trust, ends } = Trust::read(old, config, reporter)?;
        let options = match (&config.host, &config.url, host_key) {
            (Some(host), _, Some(key)) => json!({
                "address": host.address, "ssh_port": host.ssh_port, "engine_port": host.engine_port,
                "key": key_of(&old.folder, host.key.as_deref())?, "host_key": key.to_string(),
            }),
            (None, Some(url), _) => json!({ "url": url }),
            _ => return Err(Error::other("the key of its host is not confirmed")),
        };
        let driver = self.driver(&config.driver)?;
        let mut spec = MachineSpec {
            ssh_user: config.host.as_ref().map(|host| host.user.clone()).unwrap_or_default(),
            tls_san: config.tls_san.clone(),
            engine,
            options: options.as_object().cloned().unwrap_or_default(),
            ..store::remains(name, &config.driver).spec
        };
        let _lock = self.lock(name, reporter).await?;
        if self.store.exists(name) {
            // The refusal has seen to it that this is what an attempt left that was interrupted, unless one was quicker.
            if self.store.load(name).is_ok_and(|record| record.phase != Phase::Creating) {
                return Err(Error::new(Code::AlreadyExists, format!("Docker machine \"{name}\" already exists")));
            }
            self.remove_everything(name, false, reporter).await?;
        }
        reporter.stage("check", "Running pre-create checks");
        driver.preflight(&mut spec, reporter).await?;

        reporter.stage("identity", "Copying keys and certificates");
        let record = Mutex::new(MachineRecord {
            schema: RECORD_SCHEMA,
            created: Timestamp::now(),
            spec,
            certificate_ends: ends,
            host_key: host_key.map(HostKey::to_string),
            ..store::remains(name, &config.driver)
        });
        let journal = self.journal(&record, reporter);
        journal.phase("reserved", Phase::Creating)?;
        let dir = self.store.folder(name);
        for (file, mode, bytes) in &trust {
            machine_files::write_whole(&dir.join(file), bytes, *mode)?;
        }
        let snapshot = journal.snapshot();
        let state = driver.create(journal.work(&snapshot, &dir)).await?;
        journal.update("created", |record| record.driver_state = state)?;
        if config.host.is_some() {
            // Its engine has all that already: a start has no news for it.
            self.note_as_told(&journal.snapshot())?;
        }
        journal.phase("ready", Phase::Ready)?;
        let record = journal.snapshot();
        let Some(endpoints) = driver.endpoints(MachineRef { record: &record, dir: &dir }) else { return Ok(None) };
        self.refresh_context(&record, endpoints, reporter);
        match self.engine_version(&record, endpoints.engine, ENGINE_LIMIT).await {
            Ok(version) => Ok(Some(version)),
            Err(error) if config.host.is_some() => {
                reporter.warn(format!(
                    "the engine of {name} does not answer: {error}; `machine regenerate-certs {name}` gives it new certificates"
                ));
                Ok(None)
            }
            Err(error) => {
                reporter.warn(format!("the engine of {name} does not answer: {error}"));
                Ok(None)
            }
        }
    }
}

/// By what an engine and its client know each other.
struct Trust {
    files: Vec<(&'static str, u32, Vec<u8>)>,
    /// When the engine's certificate ends, where it was docker-machine that made it.
    ends: Option<Timestamp>,
}

impl Trust {
    fn read(old: &OldMachine, config: &OldConfig, reporter: &Reporter) -> Result<Self> {
        let name = &config.name;
        // docker-machine made no certificate for an engine that it does not log in to: its client's lie in the store.
        let client_only = config.host.is_none();
        let wanted = if client_only { &CERTIFICATES[..3] } else { &CERTIFICATES[..] };
        let of_store = old.folder.parent().and_then(Path::parent).map(|store| store.join("certs"));
        let mut files = Vec::new();
        for (file, mode) in wanted {
            let own = old.folder.join(file);
            let path = match &of_store {
                Some(store) if client_only && !own.exists() => store.join(file),
                _ => own,
            };
            let bytes = read_bounded(&path)
                .map_err(|error| error.hint(format!("`docker-machine regenerate-certs {name}` makes it")))?;
            files.push((*file, *mode, bytes));
        }
        let Some((.., server)) = files.iter().find(|(file, ..)| *file == "server.pem") else {
            return Ok(Self { files, ends: None });
        };
        let ends = certificates::end_of(&String::from_utf8_lossy(server))
            .map_err(|error| error.within(format!("{} is broken", old.folder.join("server.pem").display())))?;
        if ends < Timestamp::now() {
            reporter.warn(format!(
                "the certificate of {name} ended at {ends}: `machine regenerate-certs {name}` makes another"
            ));
        }
        Ok(Self { files, ends: Some(ends) })
    }
}

/// The engine's settings, or none where they are not understood here: the engine itself keeps them.
fn settings(config: &OldConfig, reporter: &Reporter) -> EngineSpec {
    let known = machine_engine::daemon_json(&config.engine, &config.driver)
        .and_then(|_| machine_engine::engine_environment(&config.engine).map(drop));
    match known {
        Ok(()) => config.engine.clone(),
        Err(error) => {
            reporter.warn(format!(
                "the settings of {}'s engine stay on its host and are not known here: {error}",
                config.name
            ));
            EngineSpec::default()
        }
    }
}

/// The private key: the copy in the machine's folder, which has moved with its store; else where docker-machine says.
fn key_of(folder: &Path, said: Option<&Path>) -> Result<PathBuf> {
    let beside = folder.join("id_rsa");
    let found = [Some(beside.as_path()), said].into_iter().flatten().find(|path| path.is_file());
    let key = found.ok_or_else(|| Error::new(Code::NotFound, format!("there is no key in {}", folder.display())))?;
    // An absolute path: the record is read from anywhere.
    std::path::absolute(key).map_err(|error| files::explain(error, "cannot find", key))
}
