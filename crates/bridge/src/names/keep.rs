//! Names, from the start of a machine to its end.

use std::time::Duration;

use machine_core::Result;
use tokio::sync::watch;
use tokio::time::sleep;

use super::guest::GuestNetworkRules;
use super::server::{NameServer, Names};
use crate::guest_shell::GuestShell;

/// Pauses after failures; the last one again and again. A guest that is only just being provisioned has no iptables yet.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];

/// Serves names to a guest and keeps the rules in it that lead here, for ever. `came_back` changes when the guest was away
/// and may have booted meanwhile: its rules are gone then.
///
/// # Errors
/// When no port can be had.
pub(crate) async fn keep_names(shell: GuestShell, came_back: watch::Receiver<u64>) -> Result<()> {
    let server = NameServer::bind(None).await?;
    let rules = GuestNetworkRules::Names { port: server.port() };
    tokio::join!(server.serve(Names::of_this_computer()), keep_rules(rules, shell, came_back));
    Ok(())
}

/// Keeps `rules` set in a guest, for ever.
pub(crate) async fn keep_rules(rules: GuestNetworkRules, shell: GuestShell, mut came_back: watch::Receiver<u64>) {
    loop {
        came_back.mark_unchanged();
        let mut pauses = PAUSES.into_iter();
        let mut pause = PAUSES[0];
        while let Err(error) = shell.root("cannot set the rules of the machine's network", &rules.script()).await {
            tracing::info!(%error, "the rules of the machine's network are not set yet");
            pause = pauses.next().unwrap_or(pause);
            sleep(pause).await;
        }
        tracing::info!(?rules, "the rules of the machine's network are set");
        if came_back.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
