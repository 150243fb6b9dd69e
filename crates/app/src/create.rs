//! `create`: from a name to an engine that answers.
//!
//! The order of durable points, each of which leaves a record that `rm` and a second `create` can work with:
//!
//! ```text
//! reserved -> identity -> disks -> created -> process -> ports -> ready
//!    keys and      driver.create   seed     driver.start      engine answered
//!    certificates
//! ```
//!
//! A second `create` of a name begins anew when the first one got no further than `disks` (phase `creating`), and carries on
//! when its parts were all there (phase `created`): nothing that ran is thrown away.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use machine_core::{
    Code, Endpoints, EngineSpec, Error, MachineName, MachineRecord, MachineSpec, Phase, Publish, RECORD_SCHEMA,
    Reporter, Result, ShareType,
};
use machine_ssh::KeyPair;

use crate::app::{App, Journal};
use crate::certificates::{self, Authority};
use crate::driver_options::DriverWords;
use crate::seed;
use crate::shares::check_events;

/// How long a host may take to show its key.
const HOST_KEY_LIMIT: Duration = Duration::from_secs(20);

/// What `create` is asked for.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// The new machine's name.
    pub name: MachineName,
    /// What shall provide it.
    pub driver: String,
    /// What it shall be; zeros are filled in by the driver.
    pub spec: MachineSpec,
    /// Return only when the engine answers.
    pub wait: bool,
    /// How long the engine may take.
    pub timeout: Duration,
}

impl CreateRequest {
    /// The same, for a host whose key was confirmed.
    #[must_use]
    pub fn trusting(mut self, host: &UnconfirmedHost) -> Self {
        self.spec.options.insert("host_key".into(), host.key.to_string().into());
        self
    }
}

/// What `create` made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The machine's name.
    pub name: MachineName,
    /// Where it is reached.
    pub endpoints: Endpoints,
    /// The engine's version, when it was waited for.
    pub engine_version: Option<String>,
    /// Whether its engine was not waited for and may not be up yet.
    pub booting: bool,
}

/// What `create` is asked for, in the user's words.
#[derive(Clone, Debug)]
pub struct CreateWords {
    /// The new machine's name.
    pub name: MachineName,
    /// What shall provide it; `MACHINE_DRIVER`, else `qemu`, when it is not said.
    pub driver: Option<String>,
    /// Virtual CPUs; 0 when not said.
    pub cpus: u32,
    /// Memory, MiB; 0 when not said.
    pub memory_mib: u64,
    /// Size of the data disk, MiB; 0 when not said.
    pub disk_mib: u64,
    /// The image.
    pub image: Option<String>,
    /// More names for the server certificate.
    pub tls_san: Vec<String>,
    /// Where ports that containers publish appear.
    pub publish: Publish,
    /// Folders that it shall see, `DIR[:GUEST][:ro]`.
    pub shares: Vec<String>,
    /// What is to carry them.
    pub share_type: ShareType,
    /// The engine's settings.
    pub engine: EngineSpec,
    /// The engine reaches registries by this computer's proxies.
    pub proxy_from_host: bool,
    /// What only one driver understands.
    pub to_driver: DriverWords,
    /// Return only when the engine answers.
    pub wait: bool,
    /// How long the engine may take.
    pub timeout: Duration,
}

/// A host key that nobody has confirmed yet.
#[derive(Clone, Debug)]
pub struct UnconfirmedHost {
    /// The host as the user calls it.
    pub host: String,
    /// The key that it shows.
    pub key: machine_ssh::HostKey,
}

impl App {
    /// The request that the user's words mean, with what the environment adds.
    ///
    /// # Errors
    /// Words of another driver, or ones that are missing.
    pub fn create_request(&self, words: CreateWords) -> Result<CreateRequest> {
        let environment = &self.environment;
        let driver = words.driver.or_else(|| environment.driver.clone()).unwrap_or_else(|| "qemu".to_owned());
        // docker-machine's name for it.
        let driver = if driver == "amazonec2" { "ec2".to_owned() } else { driver };
        self.check_share_type(words.share_type, &driver)?;
        let said = self.said_to(&driver, words.to_driver)?;
        let mut engine = words.engine;
        if engine.registry_mirrors.is_empty() {
            engine.registry_mirrors.extend(environment.registry_mirror.clone());
        }
        if engine.install_url.is_none() && !self.driver(&driver)?.capabilities().images {
            engine.install_url.clone_from(&environment.install_url);
        }
        if words.proxy_from_host {
            let mut env = self.proxy_variables(&driver, &said.options)?;
            // What is said in so many words counts more.
            env.extend(engine.env);
            engine.env = env;
        }
        let ssh_user = said.ssh_user;
        let shares = self.shared_folders(&words.shares, &driver, &ssh_user)?;
        check_events(&shares, words.share_type)?;
        Ok(CreateRequest {
            name: words.name,
            driver: driver.clone(),
            spec: MachineSpec {
                cpus: words.cpus,
                memory_mib: words.memory_mib,
                disk_mib: if words.disk_mib == 0 { said.disk_mib.unwrap_or(0) } else { words.disk_mib },
                image: words.image,
                ssh_user,
                tls_san: words.tls_san,
                engine,
                publish: words.publish,
                shares,
                share_type: words.share_type,
                options: said.options,
            },
            wait: words.wait,
            timeout: words.timeout,
        })
    }

    /// The key of a host that is to be adopted and whose key the user has not named: to be shown to a person.
    ///
    /// # Errors
    /// A host that does not answer.
    pub async fn unconfirmed_host(&self, request: &CreateRequest) -> Result<Option<UnconfirmedHost>> {
        let asks =
            self.driver(&request.driver)?.capabilities().adopted && !request.spec.options.contains_key("host_key");
        if !asks || self.store.load(&request.name).is_ok_and(|record| record.phase != Phase::Creating) {
            return Ok(None);
        }
        let options = machine_generic::GenericOptions::of(&request.spec)?;
        let host = options.address.clone();
        let shown = machine_ssh::blocking(move || {
            let address = machine_generic::resolve(&options.address, options.ssh_port)?;
            machine_ssh::Session::shown_host_key(address, HOST_KEY_LIMIT)
                .map_err(|error| Error::from(error).hint(machine_generic::UNREACHABLE))
        });
        let key = shown.await.map_err(|error| error.with_code(Code::PreCreate))?;
        Ok(Some(UnconfirmedHost { host, key }))
    }

    /// Makes a machine.
    ///
    /// # Errors
    /// [`Code::AlreadyExists`] for a name in use, [`Code::PreCreate`] when this computer cannot carry it (nothing was made
    /// then), or whatever failed later: the record then knows of everything made, and `rm` or a second `create` works.
    pub async fn create(&self, request: CreateRequest, reporter: &Reporter) -> Result<Created> {
        let name = request.name.clone();
        let driver = self.driver(&request.driver)?;
        // Refused here, before anything exists.
        machine_engine::daemon_json(&request.spec.engine, &request.driver)?;
        machine_engine::engine_environment(&request.spec.engine)?;
        certificates::subject_alternative_names(&name, &request.spec.tls_san)?;
        request.spec.engine.users.iter().try_for_each(|user| machine_engine::check_account_name(user))?;

        let _lock = self.lock(&name, reporter).await?;
        self.store.sweep();
        if self.store.exists(&name) {
            match self.store.load(&name) {
                Ok(record) if record.phase == Phase::Created => return self.carry_on(record, &request, reporter).await,
                Ok(record) if record.phase == Phase::Ready => return Err(already_exists(&name)),
                Ok(_) => {}
                // A record that cannot be read may be of a machine that matters: only a missing one is known to be nothing,
                // and only where there are no disks either, which are made long after the record.
                Err(error) if !self.store.record_is_absent(&name) => return Err(error),
                Err(error) if self.store.folder(&name).join("data.qcow2").exists() => {
                    return Err(error.hint(format!(
                        "its disks are there: `machine rm -f {name}` removes them with all that is in them"
                    )));
                }
                Err(_) => {}
            }
            reporter.info(format!("Removing what an interrupted creation of {:?} left behind...", name.as_str()));
            self.remove_everything(&name, false, reporter).await?;
        }

        reporter.stage("check", "Running pre-create checks");
        let mut spec = request.spec.clone();
        if driver.capabilities().images {
            self.ensure_image(&mut spec, reporter).await?;
        }
        self.check_engine(&spec, &request.driver)?;
        driver.preflight(&mut spec, reporter).await?;
        self.warn_of_shares(&spec.shares, reporter);

        reporter.stage("identity", "Making keys and certificates");
        let record = Mutex::new(MachineRecord {
            schema: RECORD_SCHEMA,
            name: name.clone(),
            driver: request.driver.clone(),
            created: Timestamp::now(),
            spec,
            phase: Phase::Creating,
            certificate_ends: None,
            host_key: None,
            driver_state: serde_json::Value::Null,
        });
        let journal = self.journal(&record, reporter);
        journal.phase("reserved", Phase::Creating)?;
        self.give_identity(&journal)?;

        let local = driver.capabilities().local;
        reporter.stage("disks", if local { "Making disks" } else { "Making the machine" });
        let dir = self.store.folder(&name);
        let snapshot = journal.snapshot();
        let state = driver.create(journal.work(&snapshot, &dir)).await.map_err(|e| unfinished(&name, e))?;
        journal.update("created", |record| {
            record.driver_state = state;
            record.phase = Phase::Created;
        })?;
        if !driver.capabilities().login {
            return self.know(&journal, reporter);
        }
        self.bring_up(&journal, request.wait.then_some(request.timeout), reporter)
            .await
            .map_err(|e| unfinished(&name, e))
    }

    /// Completes a machine to which nothing is done: what its owner says is all there is.
    fn know(&self, journal: &Journal<'_>, reporter: &Reporter) -> Result<Created> {
        journal.phase("ready", Phase::Ready)?;
        let record = journal.snapshot();
        let endpoints = self.endpoints(&record)?;
        self.refresh_context(&record, endpoints, reporter);
        Ok(Created { name: record.name, endpoints, engine_version: None, booting: false })
    }

    /// Completes a creation that was interrupted after all parts were made.
    async fn carry_on(&self, record: MachineRecord, request: &CreateRequest, reporter: &Reporter) -> Result<Created> {
        let name = record.name.clone();
        if !is_what_was_asked_for(&request.spec, &record.spec) || record.driver != request.driver {
            return Err(already_exists(&name).hint(format!(
                "an earlier `create` with other settings did not finish: `machine start {name}` carries on, `machine rm {name}` removes it"
            )));
        }
        reporter.info(format!("Carrying on with the interrupted creation of {:?}...", name.as_str()));
        let record = Mutex::new(record);
        let journal = self.journal(&record, reporter);
        if !self.driver(&request.driver)?.capabilities().login {
            return self.know(&journal, reporter);
        }
        self.bring_up(&journal, request.wait.then_some(request.timeout), reporter)
            .await
            .map_err(|e| unfinished(&name, e))
    }

    /// Makes the keys and certificates of a machine: they are its own, and never shared.
    fn give_identity(&self, journal: &Journal<'_>) -> Result<()> {
        let record = journal.snapshot();
        let capabilities = self.driver(&record.driver)?.capabilities();
        let host_key = match capabilities.adopted || !capabilities.login {
            // It has its own, which the user has confirmed; or nobody logs in.
            true => record.spec.options.get("host_key").and_then(|key| key.as_str()).unwrap_or_default().to_owned(),
            false => self.give_keys(&record.name)?,
        };
        let ends = self.write_certificates(&record)?;
        journal.update("identity", |record| {
            record.host_key = Some(host_key);
            record.certificate_ends = Some(ends);
        })
    }

    /// Makes the client's key and the host key of a machine in its folder; returns the latter's public half, to be pinned.
    pub(crate) fn give_keys(&self, name: &MachineName) -> Result<String> {
        let dir = self.store.folder(name);
        let client = KeyPair::generate(&format!("machine {name}"))?;
        let host = KeyPair::generate(name.as_str())?;
        client.save(&dir.join(seed::CLIENT_KEY))?;
        host.save(&dir.join(seed::HOST_KEY))?;
        Ok(key_only(&host.public_openssh))
    }

    /// Writes the certificates of a machine into its folder; returns when its server's ends.
    pub(crate) fn write_certificates(&self, record: &MachineRecord) -> Result<Timestamp> {
        let dir = self.store.folder(&record.name);
        let now = Timestamp::now();
        let authority = Authority::open(&self.store, self.environment.user.as_deref(), now)?;
        authority.hand_out(&dir)?;
        let mut names = record.spec.tls_san.clone();
        // Other than loopback, which stands in every certificate, an address belongs to this machine.
        let machine = machine_core::MachineRef { record, dir: &dir };
        if let Some(endpoints) = self.driver(&record.driver)?.endpoints(machine) {
            names.push(endpoints.engine.ip().to_string());
        }
        let server = authority.server(&record.name, &names, now)?;
        machine_files::write_whole(&dir.join("server-key.pem"), server.key.as_bytes(), machine_files::PRIVATE)?;
        machine_files::write_whole(&dir.join("server.pem"), server.certificate.as_bytes(), machine_files::PUBLIC)?;
        Ok(server.ends)
    }
}

/// Whether what a second `create` says agrees with what the first one made; what it leaves open does.
fn is_what_was_asked_for(wanted: &MachineSpec, present: &MachineSpec) -> bool {
    let number = |asked: u64, present: u64| asked == 0 || asked == present;
    let image = |asked: &String| {
        present.image.as_ref().is_some_and(|image| image == asked || image.starts_with(&format!("{asked}@")))
    };
    let said = |options: &serde_json::Map<String, serde_json::Value>| {
        options.iter().filter(|(_, value)| *value != "auto").all(|(key, value)| present.options.get(key) == Some(value))
    };
    number(wanted.cpus.into(), present.cpus.into())
        && number(wanted.memory_mib, present.memory_mib)
        && number(wanted.disk_mib, present.disk_mib)
        && wanted.image.as_ref().is_none_or(image)
        && (wanted.ssh_user.is_empty() || wanted.ssh_user == present.ssh_user)
        && wanted.tls_san == present.tls_san
        && wanted.engine == present.engine
        && wanted.publish == present.publish
        && wanted.shares == present.shares
        && wanted.share_type == present.share_type
        && said(&wanted.options)
}

/// A public key without its comment.
fn key_only(public: &str) -> String {
    public.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

fn already_exists(name: &MachineName) -> Error {
    Error::new(Code::AlreadyExists, format!("Docker machine \"{name}\" already exists"))
        .hint(format!("`machine start {name}` starts it, `machine rm {name}` removes it"))
}

fn unfinished(name: &MachineName, error: Error) -> Error {
    error.within(format!("machine {:?}", name.as_str())).hint(format!(
        "what was made is kept: `machine create {name}` carries on or begins anew, `machine rm {name}` removes it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_create_agrees_with_the_first_when_it_says_the_same_or_less() {
        let present = MachineSpec {
            cpus: 2,
            memory_mib: 2048,
            disk_mib: 20480,
            image: Some("machine@0123456789ab".into()),
            ssh_user: "docker".into(),
            tls_san: Vec::new(),
            publish: Default::default(),
            shares: Vec::new(),
            share_type: Default::default(),
            engine: machine_core::EngineSpec::default(),
            options: [("accelerator".to_owned(), "auto".into())].into_iter().collect(),
        };
        let open = MachineSpec { cpus: 0, memory_mib: 0, disk_mib: 0, image: None, ..present.clone() };
        assert!(is_what_was_asked_for(&open, &present));
        assert!(is_what_was_asked_for(&MachineSpec { image: Some("machine".into()), ..open.clone() }, &present));
        for other in [
            MachineSpec { cpus: 4, ..open.clone() },
            MachineSpec { image: Some("other".into()), ..open.clone() },
            MachineSpec { tls_san: vec!["x".into()], ..open.clone() },
            MachineSpec { share_type: ShareType::NineP, ..open.clone() },
            MachineSpec { options: [("accelerator".to_owned(), "tcg".into())].into_iter().collect(), ..open.clone() },
        ] {
            assert!(!is_what_was_asked_for(&other, &present), "{other:?}");
        }
    }
}
