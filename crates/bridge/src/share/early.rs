//! Containers that were up before their folders: the engine starts those with a restart policy as soon as the machine boots, with
//! an empty folder where the shared one is about to be, and they would keep that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use machine_core::Result;
use machine_docker::{BindMounts, ContainerId, ContainerVerb, Engine};
use tokio::task::JoinHandle;

use crate::bridge::BridgeConfig;

/// How long an engine may take to start, and how often it is asked meanwhile.
const BOOT: Duration = Duration::from_secs(300);
const AGAIN: Duration = Duration::from_secs(1);

/// How long one answer may take: a restart takes ten seconds where a program does not listen.
const LIMIT: Duration = Duration::from_secs(30);

/// The work, which ends when this is dropped.
pub(super) struct Restarting(pub JoinHandle<()>);

impl Drop for Restarting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Restarts the containers that started before a folder that they mount was there. `mounted` says when each was, by its place.
pub(super) async fn restart_early(config: BridgeConfig, address: SocketAddr, mounted: BTreeMap<String, Timestamp>) {
    let work = async {
        while let Err(error) = attempt(&config, address, &mounted).await {
            tracing::debug!(%error, "the engine does not list its containers yet");
            tokio::time::sleep(AGAIN).await;
        }
    };
    if tokio::time::timeout(BOOT, work).await.is_err() {
        tracing::warn!("the engine did not answer: containers may not see the folders that they mount");
    }
}

async fn attempt(config: &BridgeConfig, address: SocketAddr, mounted: &BTreeMap<String, Timestamp>) -> Result<()> {
    let mut target = (config.engine)(address)?;
    target.timeout = LIMIT;
    let engine = Engine::connect(&target)?;
    for container in engine.containers(false).await? {
        let Some(id) = container.id.and_then(|id| id.parse::<ContainerId>().ok()) else { continue };
        // One that is gone meanwhile needs nothing.
        let Ok(mounts) = engine.bind_mounts(&id).await else { continue };
        if is_early(&mounts, mounted) {
            tracing::info!(
                container = mounts.container,
                "it started before a folder that it mounts was there: restarted"
            );
            if let Err(error) = engine.change_container(&id, ContainerVerb::Restart).await {
                tracing::warn!(container = mounts.container, %error, "it cannot be restarted");
            }
        }
    }
    Ok(())
}

fn is_early(mounts: &BindMounts, mounted: &BTreeMap<String, Timestamp>) -> bool {
    let Some(started) = mounts.started else { return false };
    mounts
        .sources
        .iter()
        .any(|source| mounted.iter().any(|(place, time)| Path::new(source).starts_with(place) && started < *time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_early_when_its_folder_came_after_it() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mounted = BTreeMap::from([("/home/me/src".to_owned(), at(100))]);
        let container = |source: &str, started| BindMounts {
            container: "web".into(),
            sources: vec!["/var/run/docker.sock".into(), source.into()],
            started: Some(at(started)),
        };
        assert!(is_early(&container("/home/me/src/web", 99), &mounted));
        assert!(!is_early(&container("/home/me/src/web", 101), &mounted));
        assert!(!is_early(&container("/home/me/srcs", 99), &mounted));
    }
}
