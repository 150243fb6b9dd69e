//! A guest that is reached by SSH alone: a host elsewhere.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use machine_core::{Error, GuestNetwork, Protocol, Result};
use machine_ssh::{Session, Tunnel};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};

use crate::guest_shell::GuestShell;

/// How long a login may take.
const LOGIN: Duration = Duration::from_secs(30);
/// How long after a connection that could not be taken the next is.
const PAUSE: Duration = Duration::from_millis(200);

/// Leads connections through one SSH session, which is made when it is needed, and again when it was lost.
pub(crate) struct SshNetwork {
    way: Arc<Way>,
    forwards: Mutex<HashMap<u16, Forward>>,
}

struct Way {
    shell: GuestShell,
    tunnel: Mutex<Option<Tunnel>>,
}

/// A port of this computer's loopback. Dropping it closes it.
struct Forward {
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SshNetwork {
    pub(crate) fn new(shell: GuestShell) -> Self {
        Self { way: Arc::new(Way { shell, tunnel: Mutex::new(None) }), forwards: Mutex::default() }
    }
}

impl Way {
    async fn carry(&self, mut client: TcpStream, inside: SocketAddrV4) -> Result<()> {
        let mut machine = self.tunnel().await?.connect(&inside.ip().to_string(), inside.port()).await?;
        // Whoever breaks off has said so to the other side.
        let _ = copy_bidirectional(&mut client, &mut machine).await;
        Ok(())
    }

    async fn tunnel(&self) -> Result<Tunnel> {
        let mut kept = self.tunnel.lock().await;
        if let Some(tunnel) = kept.as_ref().filter(|tunnel| !tunnel.has_ended()) {
            return Ok(tunnel.clone());
        }
        let target = self.shell.target();
        let made = machine_ssh::blocking(move || Tunnel::over(Session::connect(&target, LOGIN)?)).await?;
        *kept = Some(made.clone());
        Ok(made)
    }
}

#[async_trait]
impl GuestNetwork for SshNetwork {
    /// Connections come from sshd, for which everything that listens on all addresses is on the loopback too.
    fn guest(&self) -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }

    fn guest_loopback(&self) -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }

    async fn forward(&self, protocol: Protocol, inside: SocketAddrV4) -> Result<u16> {
        if protocol == Protocol::Udp {
            return Err(Error::other("SSH carries no UDP"));
        }
        let mut forwards = self.forwards.lock().await;
        if let Some(forward) = forwards.get(&inside.port()) {
            return Ok(forward.port);
        }
        let failed = |error| Error::other("no port of this computer can be had").because(error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let task = tokio::spawn(serve(listener, Arc::clone(&self.way), inside));
        forwards.insert(inside.port(), Forward { port, task });
        Ok(port)
    }

    async fn withdraw(&self, _protocol: Protocol, inside: SocketAddrV4) -> Result<()> {
        self.forwards.lock().await.remove(&inside.port());
        Ok(())
    }
}

async fn serve(listener: TcpListener, way: Arc<Way>, inside: SocketAddrV4) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    let way = Arc::clone(&way);
                    connections.spawn(async move {
                        if let Err(error) = way.carry(client, inside).await {
                            tracing::info!(%error, "a connection did not get into the machine");
                        }
                    });
                }
                // Too many open files, as a rule.
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
