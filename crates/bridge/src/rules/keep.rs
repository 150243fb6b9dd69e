//! The rules, from the start of a machine to its end.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::script::GuestRules;
use crate::guest_shell::GuestShell;

/// Pauses after failures; the last one again and again. A guest that is only just being provisioned has no iptables yet.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];

/// How the rules stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// They are in force.
    pub(crate) set: bool,
    /// Why they could not be set time and again.
    pub(crate) trouble: Option<String>,
}

/// Rules that nobody has to set: a guest that is reached from within.
pub(crate) fn in_force() -> watch::Receiver<Rules> {
    watch::channel(Rules { set: true, trouble: None }).1
}

/// Keeps `rules` set in a guest, for ever, and tells `told`. `came_back` changes when the guest was away and may have booted
/// meanwhile: its rules are gone then.
pub(crate) async fn keep(
    rules: GuestRules,
    shell: GuestShell,
    mut came_back: watch::Receiver<u64>,
    told: &watch::Sender<Rules>,
) {
    loop {
        came_back.mark_unchanged();
        let mut failures = 0;
        while let Err(error) = shell.root("cannot set the rules of the machine's network", &rules.script()).await {
            tracing::info!(%error, "the rules of the machine's network are not set yet");
            sleep(PAUSES[failures.min(PAUSES.len() - 1)]).await;
            failures += 1;
            if failures >= PAUSES.len() {
                told.send_modify(|rules| rules.trouble = Some(error.to_string()));
            }
        }
        tracing::info!(?rules, "the rules of the machine's network are set");
        told.send_replace(Rules { set: true, trouble: None });
        if came_back.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
