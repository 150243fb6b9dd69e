//! What runs in a machine: the engine's list of containers, made anew at each of its events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use machine_core::Result;
use machine_docker::{ContainerSummary, Engine};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};

use crate::bridge::BridgeConfig;
use crate::share::Unshared;

/// How often the list is made without an event: events may be lost with a connection.
const RECONCILE: Duration = Duration::from_secs(60);
/// How long after a failure the engine is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(15);
/// How far back events are asked for, so that none is missed between the list and the subscription.
const OVERLAP: Duration = Duration::from_secs(5);

type Told = watch::Sender<Option<Arc<Vec<ContainerSummary>>>>;

/// Tells `told` of the running containers whenever they change. Goes on until it is dropped.
pub(crate) async fn follow(config: &BridgeConfig, address: SocketAddr, told: &Told, unshared: Option<&Unshared>) {
    let mut said = String::new();
    loop {
        if let Err(error) = session(config, address, told, unshared).await {
            // The engine is starting, restarting, or the guest stands still: the same reason is not worth a line each time.
            let text = error.to_string();
            if text != said {
                tracing::info!(machine = config.machine, %error, "the engine is not followed");
                said = text;
            }
        }
        sleep(AGAIN).await;
    }
}

async fn session(config: &BridgeConfig, address: SocketAddr, told: &Told, unshared: Option<&Unshared>) -> Result<()> {
    let mut target = (config.engine)(address)?;
    target.timeout = LIMIT;
    let engine = Engine::connect(&target)?;
    let mut events = engine.container_events(Some(Timestamp::now() - OVERLAP));
    let mut next = Instant::now();
    let mut looking: Option<JoinHandle<()>> = None;
    loop {
        tokio::select! {
            event = events.next() => match event? {
                Some(change) if change.moves_ports() => {}
                Some(change) => {
                    if let (Some(unshared), true) = (unshared, change.is_creation()) {
                        look_at_mounts(engine.clone(), change.id, unshared.clone());
                    }
                    continue;
                }
                None => return Ok(()),
            },
            () = sleep_until(next) => {}
        }
        let containers = engine.containers(false).await?;
        next = Instant::now() + RECONCILE;
        let containers = Arc::new(containers);
        // Folders of a network drive may let one wait; nothing else waits for that, and there is one such look at a time.
        if let (Some(unshared), true) = (unshared, looking.as_ref().is_none_or(JoinHandle::is_finished)) {
            let (unshared, containers) = (unshared.clone(), Arc::clone(&containers));
            looking = Some(spawn_blocking(move || unshared.running(&containers)));
        }
        told.send_replace(Some(containers));
    }
}

/// What a new container mounts: it may have come to its end before the next list.
fn look_at_mounts(engine: Engine, id: String, unshared: Unshared) {
    tokio::spawn(async move {
        let Ok(id) = id.parse() else { return };
        if let Ok(mounts) = engine.bind_mounts(&id).await {
            spawn_blocking(move || unshared.made(mounts.container, mounts.sources));
        }
    });
}
