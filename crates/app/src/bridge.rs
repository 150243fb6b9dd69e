//! The bridge of a running machine: given to its supervisor, asked by the front ends.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use machine_bridge::{Answer, Bridge, BridgeConfig, ClockReport, PortRow, Question};
use machine_core::{
    Code, Endpoints, Error, GuestNetwork, MachineName, MachineRecord, MachineRef, Protocol, Publish, Reporter, Result,
};
use machine_qemu::Companion;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::app::App;

/// How long an engine may take for one answer to the bridge.
const ENGINE: std::time::Duration = std::time::Duration::from_secs(15);

/// The bridge, as a supervisor takes it.
struct OfMachine(Bridge);

#[async_trait]
impl Companion for OfMachine {
    async fn run(
        &self,
        network: Arc<dyn GuestNetwork>,
        endpoints: Endpoints,
        events: UnboundedSender<(String, Value)>,
    ) {
        self.0.run(network, endpoints, events).await;
    }

    fn paused(&self) {
        self.0.paused();
    }

    fn resumed(&self) {
        self.0.resumed();
    }

    fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }

    async fn ask(&self, question: Value) -> Result<Value> {
        self.0.ask(question).await
    }
}

impl App {
    /// What runs beside a machine of this computer.
    pub(crate) fn companion(&self, record: &MachineRecord) -> Result<Arc<dyn Companion>> {
        Ok(Arc::new(OfMachine(Bridge::new(self.bridge_config(record)?))))
    }

    fn bridge_config(&self, record: &MachineRecord) -> Result<BridgeConfig> {
        let (app, of) = (self.clone(), record.clone());
        let engine = move |address| app.engine_target(&of, address, ENGINE);
        let (driver, of, dir) = (self.driver(&record.driver)?, record.clone(), self.store.folder(&record.name));
        let ssh = move |endpoints| driver.ssh_target(MachineRef { record: &of, dir: &dir }, endpoints);
        Ok(BridgeConfig {
            machine: record.name.to_string(),
            engine: Arc::new(engine),
            ssh: Arc::new(ssh),
            publish: record.spec.publish,
            shares: record.spec.shares.clone(),
            carrier: record.spec.share_type.carrier(),
            socket: self.engine_socket(record)?.map(|socket| socket.path().to_owned()),
            host_access: machine_qemu::host_access(&record.spec),
        })
    }

    /// Brings what the containers of a machine elsewhere publish to this computer, for as long as it is polled; gives `tell` the
    /// ports whenever one changes.
    ///
    /// # Errors
    /// A machine that is off, or of this computer: its ports are here anyway.
    pub async fn tunnel(&self, name: &MachineName, tell: impl Fn(&[PortRow])) -> Result<()> {
        let record = self.complete_record(name)?;
        if self.driver(&record.driver)?.capabilities().local {
            return Err(Error::other(format!("the ports of machine {:?} are on this computer anyway", name.as_str()))
                .hint(format!("`machine ports {name}` lists them")));
        }
        self.check_login(&record)?;
        let endpoints = self.endpoints(&record)?;
        self.engine_version(&record, endpoints.engine, ENGINE).await?;
        machine_bridge::tunnel(&self.bridge_config(&record)?, endpoints, tell).await;
        Ok(())
    }

    /// The ports of a machine's containers on this computer.
    ///
    /// # Errors
    /// A machine that does not run, or not on this computer.
    pub async fn ports(&self, name: &MachineName) -> Result<Vec<PortRow>> {
        let Answer::Ports { ports } = self.ask_bridge(name, &Question::Ports).await? else { return Err(other_words()) };
        Ok(ports)
    }

    /// The address of the web page that a container of a machine publishes on `port`: on this computer, or where the machine is.
    ///
    /// # Errors
    /// A machine that does not run; a port of this computer that is not open.
    pub async fn page(&self, name: &MachineName, port: u16) -> Result<String> {
        let record = self.complete_record(name)?;
        if !self.driver(&record.driver)?.capabilities().local {
            let address = SocketAddr::new(self.endpoints(&record)?.engine.ip(), port);
            return Ok(format!("http://{address}/"));
        }
        let ports = self.ports(name).await?;
        let open =
            ports.iter().filter(|row| row.port == port && row.protocol == Protocol::Tcp).find_map(PortRow::open_at);
        let address = open.ok_or_else(|| Error::other(format!("port {port} is not open on this computer")))?;
        // By the name that browsers treat as safe, and that pages expect.
        Ok(if address.ip().is_loopback() { format!("http://localhost:{port}/") } else { format!("http://{address}/") })
    }

    /// Chooses who reaches ports that containers publish on all addresses. Returns whether that is so already: at a machine that is
    /// off, it is from its next start on.
    ///
    /// # Errors
    /// A machine that is not on this computer.
    pub async fn set_publish(&self, name: &MachineName, publish: Publish, reporter: &Reporter) -> Result<bool> {
        let lock = self.lock(name, reporter).await?;
        let mut record = self.complete_record(name)?;
        if !self.driver(&record.driver)?.capabilities().local {
            return Err(Error::new(
                Code::Usage,
                format!("machine {:?} is not on this computer: its ports are where it is", name.as_str()),
            ));
        }
        record.spec.publish = publish;
        self.store.save(&record)?;
        drop(lock);
        if self.endpoints(&record).is_err() {
            return Ok(false);
        }
        self.ask_bridge(name, &Question::Publish { publish }).await?;
        Ok(true)
    }

    /// How the clock of a machine of this computer goes.
    ///
    /// # Errors
    /// A machine that does not run, or not on this computer.
    pub async fn clock(&self, name: &MachineName) -> Result<ClockReport> {
        let Answer::Clock { clock } = self.ask_bridge(name, &Question::Clock).await? else { return Err(other_words()) };
        Ok(clock)
    }

    pub(crate) async fn ask_bridge(&self, name: &MachineName, question: &Question) -> Result<Answer> {
        let record = self.complete_record(name)?;
        if !self.driver(&record.driver)?.capabilities().local {
            return Err(Error::other(format!("machine {:?} is not on this computer", name.as_str())).hint(format!(
                "`machine tunnel {name}` brings its ports here; `machine ip {name}` is its own address"
            )));
        }
        self.endpoints(&record)?;
        self.adopt_orphan(&record);
        let dir = self.store.folder(name);
        let question = serde_json::to_value(question).map_err(|error| Error::other("cannot ask").because(error))?;
        let answer = self.qemu().ask_companion(MachineRef { record: &record, dir: &dir }, question).await?;
        serde_json::from_value(answer).map_err(|error| {
            Error::other(format!("the supervisor of machine {:?} answers in other words", name.as_str()))
                .because(error)
                .hint("it is of another version: stop and start the machine")
        })
    }
}

/// An answer to another question than the one that was asked.
pub(crate) fn other_words() -> Error {
    Error::other("the machine's supervisor answers something else")
        .hint("it is of another version: stop and start the machine")
}
