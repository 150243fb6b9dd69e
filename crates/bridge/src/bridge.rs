//! The parts of the bridge, and what they have in common.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use machine_core::{Carrier, Endpoints, Error, GuestNetwork, Publish, Result, SharedFolder, SshTarget};
use machine_docker::{ContainerSummary, EngineTarget};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::engine_way::EngineWay;
use crate::follow::follow;
use crate::guest_shell::GuestShell;
use crate::names::{NameServer, Names};
use crate::ports::{PortRow, Ports};
use crate::question::{Answer, Question};
use crate::rules::{self, GuestRules, Rules};
use crate::share::{FileEvents, Rows, Shares, Unshared};
use crate::socket::{Listener, Spare, serve};

/// What the bridge of one machine is given. Certificates are renewed while it runs: they are read when they are needed.
#[derive(Clone)]
pub struct BridgeConfig {
    /// The machine's name.
    pub machine: String,
    /// How its engine is reached at an address.
    pub engine: Arc<dyn Fn(SocketAddr) -> Result<EngineTarget> + Send + Sync>,
    /// How to log in to it.
    pub ssh: Arc<dyn Fn(Endpoints) -> SshTarget + Send + Sync>,
    /// Where ports that containers publish on all addresses appear.
    pub publish: Publish,
    /// Where the Docker socket is to be: a Unix socket's path, or a named pipe's; none for a machine elsewhere.
    pub socket: Option<PathBuf>,
    /// Whether the guest and its containers reach this computer.
    pub host_access: bool,
    /// The folders that it sees.
    pub shares: Vec<SharedFolder>,
    /// What is to carry them, where the guest has a device for it.
    pub carrier: Carrier,
}

/// Where events go.
pub(crate) type Events = UnboundedSender<(String, Value)>;

/// The containers that run, as the engine listed them last; none before it first answered.
pub(crate) type Containers = watch::Receiver<Option<Arc<Vec<ContainerSummary>>>>;

/// The bridge of one machine.
pub struct Bridge {
    config: BridgeConfig,
    ports: Arc<Mutex<Vec<PortRow>>>,
    shares: watch::Sender<Vec<SharedFolder>>,
    /// As they were at first: a change that comes before the work begins is not missed.
    first_shares: watch::Receiver<Vec<SharedFolder>>,
    share_rows: Arc<Rows>,
    unshared: Unshared,
    /// The guest stands still.
    paused: watch::Sender<bool>,
    running: Mutex<Option<Running>>,
    /// For whom ports are published.
    publish: watch::Sender<Publish>,
    /// How the rules in the guest stand.
    rules: watch::Sender<Rules>,
    /// What does not work of it, for the user.
    trouble: Mutex<Vec<String>>,
}

/// What is told when the guest goes on.
struct Running {
    clock: Arc<Clock>,
    engine: Arc<Spare>,
}

impl Bridge {
    /// A bridge that does nothing yet.
    pub fn new(config: BridgeConfig) -> Self {
        let (shares, known) = watch::channel(config.shares.clone());
        let share_rows = Arc::new(Rows::default());
        share_rows.expect(&config.shares);
        Self {
            publish: watch::Sender::new(config.publish),
            config,
            ports: Arc::default(),
            shares,
            first_shares: known.clone(),
            share_rows,
            unshared: Unshared::new(known),
            paused: watch::Sender::new(false),
            running: Mutex::new(None),
            rules: watch::Sender::default(),
            trouble: Mutex::default(),
        }
    }

    /// Bridges until it is dropped. What the machine's log should know is told to `events`, each with a name and an object.
    pub async fn run(&self, network: Arc<dyn GuestNetwork>, endpoints: Endpoints, events: Events) {
        let (told, containers) = watch::channel(None);
        let shell = GuestShell::new(self.config.ssh.clone(), endpoints);
        let unshared = self.unshared.telling(events.clone());
        let shares =
            Shares::new(self.config.clone(), endpoints, self.first_shares.clone(), Arc::clone(&self.share_rows));
        self.rules.send_replace(Rules::default());
        let file_events =
            FileEvents::new(containers.clone(), shares.way(), Arc::clone(&self.share_rows), events.clone());
        let of_guest = (network.guest(), network.guest_loopback());
        let rules = self.rules.subscribe();
        let ports = Ports::new(network, shell.clone(), rules, self.publish.subscribe(), self.ports.clone(), events);
        let (target, address) = (Arc::clone(&self.config.engine), endpoints.engine);
        let way = Arc::new(EngineWay::new(move || target(address)));
        let clock = Arc::new(Clock::new(Arc::clone(&way), shell.clone(), self.paused.subscribe()));
        let engine = Arc::new(Spare::new(way, self.config.machine.clone(), self.paused.subscribe()));
        *lock(&self.running) = Some(Running { clock: Arc::clone(&clock), engine: Arc::clone(&engine) });
        tokio::join!(
            follow(&self.config, endpoints.engine, &told, Some(&unshared)),
            ports.run(containers),
            shares.run(),
            file_events.run(),
            self.serve_socket(engine),
            self.keep_names(of_guest, shell, clock.came_back()),
            clock.keep(),
        );
    }

    async fn serve_socket(&self, engine: Arc<Spare>) {
        let Some(socket) = &self.config.socket else { return };
        match Listener::bind(socket) {
            Ok(listener) => {
                tokio::join!(serve(listener, Arc::clone(&engine)), engine.keep());
            }
            Err(error) => self.complain(&error),
        }
    }

    /// Serves names to a guest that may reach this computer, and keeps the rules in it.
    async fn keep_names(
        &self,
        (guest, loopback): (Ipv4Addr, Ipv4Addr),
        shell: GuestShell,
        came_back: watch::Receiver<u64>,
    ) {
        let host_access = self.config.host_access;
        let server =
            if host_access { NameServer::bind().await.inspect_err(|error| self.complain(error)).ok() } else { None };
        let names = server.as_ref().map(NameServer::port);
        let served = async {
            if let Some(server) = server {
                server.serve(Names::of_this_computer()).await;
            }
        };
        let rules = GuestRules { guest, loopback, names, host_access };
        tokio::join!(served, rules::keep(rules, shell, came_back, &self.rules));
    }

    fn complain(&self, error: &Error) {
        tracing::warn!(machine = self.config.machine, %error, "a part of the bridge does not work");
        lock(&self.trouble).push(error.to_string());
    }

    /// The guest stands still.
    pub fn paused(&self) {
        self.paused.send_replace(true);
    }

    /// The guest goes on after it stood still.
    pub fn resumed(&self) {
        self.paused.send_replace(false);
        if let Some(running) = &*lock(&self.running) {
            running.engine.discard();
            running.clock.look_now();
        }
    }

    /// What the user should know now.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<_> = self.port_rows().iter().filter_map(PortRow::warning).collect();
        warnings.extend(self.share_rows.all().iter().flat_map(crate::share::ShareRow::warnings));
        warnings.extend(self.share_rows.missing_events());
        warnings.extend(self.unshared.warnings(&self.config.machine));
        let trouble = self.rules.borrow().trouble.clone();
        warnings.extend(trouble.map(|why| {
            format!("ports published on 127.0.0.1, and names of this computer, do not work in the machine yet: {why}")
        }));
        warnings.extend(lock(&self.trouble).clone());
        warnings
    }

    /// Answers a [`Question`].
    ///
    /// # Errors
    /// A question of a newer program.
    pub async fn ask(&self, question: Value) -> Result<Value> {
        let question: Question = serde_json::from_value(question).map_err(|error| {
            Error::other("the machine's supervisor does not understand the question")
                .because(error)
                .hint("it is of another version: stop and start the machine")
        })?;
        let answer = match question {
            Question::Ports => Answer::Ports { ports: self.port_rows() },
            Question::Publish { publish } => {
                self.publish.send_replace(publish);
                Answer::Ports { ports: self.port_rows() }
            }
            Question::Clock => {
                let report = lock(&self.running).as_ref().map(|running| running.clock.report());
                Answer::Clock { clock: report.unwrap_or_default() }
            }
            Question::Shares => self.shares(),
            Question::Share { shares } => {
                self.share_rows.expect(&shares);
                self.shares.send_replace(shares);
                self.shares()
            }
        };
        serde_json::to_value(answer).map_err(|error| Error::other("cannot write an answer").because(error))
    }

    fn shares(&self) -> Answer {
        let mut warnings = self.share_rows.missing_events();
        warnings.extend(self.unshared.warnings(&self.config.machine));
        Answer::Shares { shares: self.share_rows.all(), warnings }
    }

    fn port_rows(&self) -> Vec<PortRow> {
        lock(&self.ports).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
