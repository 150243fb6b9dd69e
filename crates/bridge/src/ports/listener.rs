//! A TCP port of this computer that leads into a machine.

use std::io::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use super::gate::Gate;
use super::relay::{relay, reset};

/// How many connections may wait until they are taken: what systems allow at most by default (Linux `somaxconn`, since 5.4).
const BACKLOG: u32 = 4096;
/// How long nothing is taken when this process has no descriptors left.
const BREATHER: Duration = Duration::from_millis(200);

/// Listens at `address`.
///
/// # Errors
/// The system's reason; an address in use is `AddrInUse`.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let SocketAddr::V6(_) = address {
        // [::] shall not take what 0.0.0.0 has a listener for.
        socket2::SockRef::from(&socket).set_only_v6(true)?;
    }
    // Linux: connections that have just ended do not hold the port (TIME_WAIT). On macOS the option would let two programs listen
    // at addresses that overlap, on Windows at the same one (setsockopt(2), "Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE").
    #[cfg(target_os = "linux")]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Leads every connection of `listener` through `gate`, until it is dropped; the connections end with it.
pub(crate) async fn serve(listener: TcpListener, gate: Arc<Gate>, only_this_computer: bool) {
    let mut connections = JoinSet::new();
    loop {
        let (client, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection to a published port was not taken");
                    tokio::time::sleep(BREATHER).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        if only_this_computer && !peer.ip().to_canonical().is_loopback() {
            reset(&client);
            continue;
        }
        let gate = Arc::clone(&gate);
        connections.spawn(async move {
            match gate.pass().await {
                Ok(machine) => relay(client, machine).await,
                Err(error) => {
                    tracing::info!(%error, "a connection did not get into the machine");
                    reset(&client);
                }
            }
        });
    }
}
