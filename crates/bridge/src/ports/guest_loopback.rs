//! The way to the loopback of a guest, where ports published on 127.0.0.1 are.

use std::net::Ipv4Addr;
use std::time::Duration;

use machine_core::GuestNetwork;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::guest_shell::GuestShell;

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The guest answers at one more address, and leads that to its own loopback. Packets come to it only from this computer. Made when
/// somebody first needs it: it takes a login.
pub(crate) enum GuestLoopback {
    /// Nobody has needed it.
    Unneeded,
    /// The guest is being told.
    Asked(JoinHandle<()>),
    /// It is there.
    Ready,
}

impl GuestLoopback {
    /// The address that leads there, once it does; asks for it.
    pub(crate) fn address(&mut self, network: &dyn GuestNetwork, shell: &GuestShell) -> Option<Ipv4Addr> {
        match self {
            Self::Ready => Some(network.guest_loopback()),
            Self::Asked(_) => None,
            Self::Unneeded => {
                *self = Self::Asked(tokio::spawn(lead(shell.clone(), script(network))));
                None
            }
        }
    }

    /// Returns when it has come to be there.
    pub(crate) async fn made(&mut self) {
        match self {
            // It ends only when it is done.
            Self::Asked(task) => drop(task.await),
            Self::Unneeded | Self::Ready => std::future::pending().await,
        }
        *self = Self::Ready;
    }
}

impl Drop for GuestLoopback {
    fn drop(&mut self) {
        if let Self::Asked(task) = self {
            task.abort();
        }
    }
}

async fn lead(shell: GuestShell, script: String) {
    while let Err(error) = shell.root("cannot lead ports to the machine's loopback", &script).await {
        tracing::warn!(%error, "ports published on 127.0.0.1 do not lead into the machine yet");
        sleep(AGAIN).await;
    }
}

fn script(network: &dyn GuestNetwork) -> String {
    format!(
        "set -e\n\
         dev=$(ip -o -4 address show to {guest} | sed -n 's/^[0-9]*: \\([^ ]*\\).*/\\1/p')\n\
         ip address replace {address}/32 dev \"$dev\"\n\
         echo 1 >\"/proc/sys/net/ipv4/conf/$dev/route_localnet\"\n\
         rule='PREROUTING -d {address}/32 -j DNAT --to-destination 127.0.0.1'\n\
         iptables -t nat -C $rule 2>/dev/null || iptables -t nat -I $rule\n",
        guest = network.guest(),
        address = network.guest_loopback(),
    )
}
