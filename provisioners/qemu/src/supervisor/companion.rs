//! What runs beside a machine in its supervisor, and the network that it is given.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use async_trait::async_trait;
use machine_core::{Endpoints, Error, GuestNetwork, Protocol, Result};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::qmp::Qmp;
use crate::run_file::Ports;
use crate::usernet::{GUEST, HostForward, forward_command, hostfwd_added, parse_usernet, withdraw_command};

/// What a running machine shares with this computer. It ends with the machine, and its own end changes nothing for the machine.
#[async_trait]
pub trait Companion: Send + Sync {
    /// Runs until it is dropped; begun again when another supervisor takes the machine over.
    ///
    /// What it tells `events` (a name and an object) is written among the machine's events.
    async fn run(&self, network: Arc<dyn GuestNetwork>, endpoints: Endpoints, events: UnboundedSender<(String, Value)>);

    /// The guest stands still, by somebody's wish or for want of something.
    fn paused(&self);

    /// The guest goes on after it stood still.
    fn resumed(&self);

    /// What the user should know of it now.
    fn warnings(&self) -> Vec<String>;

    /// Answers a client of the supervisor.
    ///
    /// # Errors
    /// What the client is told.
    async fn ask(&self, question: Value) -> Result<Value>;
}

/// A companion at work. Dropping it ends the work.
pub(super) struct AtWork {
    task: JoinHandle<()>,
    events: UnboundedReceiver<(String, Value)>,
}

impl AtWork {
    /// Begins the work of `companion` on a machine that is reached at `ports`.
    pub(super) fn begin(companion: Arc<dyn Companion>, qmp: Arc<Qmp>, ports: Ports) -> Self {
        let (tell, events) = unbounded_channel();
        let task = tokio::spawn(async move {
            let network = UserNetwork { qmp, changing: Mutex::new(()) };
            if let Err(error) = network.clear(ports).await {
                tracing::warn!(%error, "forwards of an earlier supervisor were not removed");
            }
            companion.run(Arc::new(network), ports.into(), tell).await;
        });
        Self { task, events }
    }

    /// The next that it tells; waits for ever when there is nothing more.
    pub(super) async fn event(at_work: &mut Option<Self>) -> (String, Value) {
        if let Some(at_work) = at_work
            && let Some(event) = at_work.events.recv().await
        {
            return event;
        }
        std::future::pending().await
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// QEMU's user network: always the same addresses (QEMU's documentation, "-netdev user").
struct UserNetwork {
    qmp: Arc<Qmp>,
    /// To learn a port that QEMU chose takes two steps.
    changing: Mutex<()>,
}

impl UserNetwork {
    async fn present(&self) -> Result<Vec<HostForward>> {
        Ok(parse_usernet(&self.qmp.human("info usernet").await?))
    }

    /// Removes all forwards but the machine's own two.
    async fn clear(&self, ports: Ports) -> Result<()> {
        for forward in self.present().await? {
            let own = !forward.udp && [ports.ssh, ports.engine].contains(&forward.host_port);
            if !own {
                self.qmp.human(&withdraw_command(&forward)).await?;
            }
        }
        Ok(())
    }
}

fn leads_to(protocol: Protocol, inside: SocketAddrV4) -> impl Fn(&HostForward) -> bool {
    move |forward| {
        forward.udp == (protocol == Protocol::Udp)
            && forward.guest_port == inside.port()
            && forward.guest_address == *inside.ip()
            && forward.host_address.is_loopback()
    }
}

#[async_trait]
impl GuestNetwork for UserNetwork {
    fn guest(&self) -> Ipv4Addr {
        GUEST
    }

    fn guest_loopback(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 2, 16)
    }

    async fn forward(&self, protocol: Protocol, inside: SocketAddrV4) -> Result<u16> {
        let _alone = self.changing.lock().await;
        if let Some(present) = self.present().await?.into_iter().find(leads_to(protocol, inside)) {
            return Ok(present.host_port);
        }
        let refused = |complaint: String| {
            Error::other(format!("QEMU cannot lead a port of this computer to {protocol} {inside} of the machine"))
                .because(complaint)
        };
        hostfwd_added(&self.qmp.human(&forward_command(protocol, 0, inside)).await?).map_err(refused)?;
        let present = self.present().await?.into_iter().find(leads_to(protocol, inside));
        present.map(|forward| forward.host_port).ok_or_else(|| refused("it does not list it".to_owned()))
    }

    async fn withdraw(&self, protocol: Protocol, inside: SocketAddrV4) -> Result<()> {
        let _alone = self.changing.lock().await;
        for forward in self.present().await?.iter().filter(|forward| leads_to(protocol, inside)(forward)) {
            self.qmp.human(&withdraw_command(forward)).await?;
        }
        Ok(())
    }
}
