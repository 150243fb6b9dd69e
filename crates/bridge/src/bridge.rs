//! The parts of the bridge, and what they have in common.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use machine_core::{Endpoints, Error, GuestNetwork, Publish, Result, SharedFolder, SshTarget};
use machine_docker::{ContainerSummary, EngineTarget};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::follow::follow;
use crate::guest_shell::GuestShell;
use crate::ports::{PortRow, Ports};
use crate::question::{Answer, Question};
use crate::share::{Rows, Shares, Unshared};

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
    /// The folders that it sees.
    pub shares: Vec<SharedFolder>,
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
    share_rows: Arc<Rows>,
    unshared: Unshared,
}

impl Bridge {
    /// A bridge that does nothing yet.
    pub fn new(config: BridgeConfig) -> Self {
        let (shares, known) = watch::channel(config.shares.clone());
        let share_rows = Arc::new(Rows::default());
        share_rows.expect(&config.shares);
        Self { config, ports: Arc::default(), shares, share_rows, unshared: Unshared::new(known) }
    }

    /// Bridges until it is dropped. What the machine's log should know is told to `events`, each with a name and an object.
    pub async fn run(&self, network: Arc<dyn GuestNetwork>, endpoints: Endpoints, events: Events) {
        let (told, containers) = watch::channel(None);
        let shell = GuestShell::new(self.config.ssh.clone(), endpoints);
        let unshared = self.unshared.telling(events.clone());
        let ports = Ports::new(network, shell, self.config.publish, self.ports.clone(), events);
        let shares = Shares::new(self.config.clone(), endpoints, self.shares.subscribe(), Arc::clone(&self.share_rows));
        tokio::join!(
            follow(&self.config, endpoints.engine, &told, Some(&unshared)),
            ports.run(containers),
            shares.run(),
        );
    }

    /// The guest goes on after it stood still.
    pub fn resumed(&self) {}

    /// What the user should know now.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<_> = self.port_rows().iter().filter_map(PortRow::warning).collect();
        warnings.extend(self.share_rows.all().iter().flat_map(crate::share::ShareRow::warnings));
        warnings.extend(self.unshared.warnings(&self.config.machine));
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
        Answer::Shares { shares: self.share_rows.all(), warnings: self.unshared.warnings(&self.config.machine) }
    }

    fn port_rows(&self) -> Vec<PortRow> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
