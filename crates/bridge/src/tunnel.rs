//! Ports that containers of a host elsewhere publish, on this computer, through SSH: for as long as somebody wants them.

use std::sync::{Arc, Mutex, PoisonError};

use machine_core::Endpoints;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use crate::bridge::BridgeConfig;
use crate::follow::follow;
use crate::guest_shell::GuestShell;
use crate::ports::{PortRow, Ports, SshNetwork};
use crate::rules::in_force;

/// Keeps the ports until it is dropped, and gives `tell` all of them whenever one changes.
pub async fn tunnel(config: &BridgeConfig, endpoints: Endpoints, tell: impl Fn(&[PortRow])) {
    let (told, containers) = watch::channel(None);
    let (events, mut changes) = unbounded_channel();
    let rows: Arc<Mutex<Vec<PortRow>>> = Arc::default();
    let shell = GuestShell::new(config.ssh.clone(), endpoints);
    let network = Arc::new(SshNetwork::new(shell.clone()));
    let ports = Ports::new(network, shell, in_force(), watch::channel(config.publish).1, rows.clone(), events);
    let telling = async {
        while changes.recv().await.is_some() {
            while changes.try_recv().is_ok() {}
            let now = rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
            tell(&now);
        }
    };
    tokio::join!(follow(config, endpoints.engine, &told, None), ports.run(containers), telling);
}
