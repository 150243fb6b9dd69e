//! A UDP port of this computer that leads into a machine.

use std::collections::HashMap;
use std::io::Result;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::buffers::Buffer;

/// How long a client that says nothing, and is told nothing, is remembered (RFC 4787, REQ-5, asks for two minutes).
const MEMORY: Duration = Duration::from_secs(120);
/// How many clients are remembered at once.
const CLIENTS: usize = 512;

/// Listens at `address`.
///
/// # Errors
/// The system's reason; an address in use is `AddrInUse`.
pub(crate) fn listen(address: SocketAddr) -> Result<UdpSocket> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Somebody who sent something.
struct Client {
    machine: Arc<UdpSocket>,
    answers: AbortHandle,
    heard: Instant,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

/// Leads datagrams to `machine` and its answers back, until it is dropped.
pub(crate) async fn serve(socket: UdpSocket, machine: SocketAddr, only_this_computer: bool) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    loop {
        if let Err(error) = socket.readable().await {
            return tracing::warn!(%error, "a published UDP port ended");
        }
        let mut buffer = Buffer::take();
        // Windows reports here that an answer found nobody (ICMP port unreachable): no reason to end.
        let Ok((length, peer)) = socket.try_recv_from(&mut buffer.0) else { continue };
        if only_this_computer && !peer.ip().to_canonical().is_loopback() {
            continue;
        }
        clients.retain(|_, client| !client.answers.is_finished());
        if !clients.contains_key(&peer) {
            if clients.len() >= CLIENTS
                && let Some(quietest) = clients.iter().min_by_key(|(_, client)| client.heard).map(|(peer, _)| *peer)
            {
                clients.remove(&quietest);
            }
            match meet(&socket, peer, machine).await {
                Ok(client) => drop(clients.insert(peer, client)),
                Err(error) => {
                    tracing::debug!(%error, "a datagram was lost");
                    continue;
                }
            }
        }
        if let Some(client) = clients.get_mut(&peer) {
            client.heard = Instant::now();
            // Datagrams may be lost.
            let _ = client.machine.send(&buffer.0[..length]).await;
        }
    }
}

async fn meet(socket: &Arc<UdpSocket>, peer: SocketAddr, machine: SocketAddr) -> Result<Client> {
    let inward = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    inward.connect(machine).await?;
    let (outward, answers) = (Arc::clone(socket), Arc::clone(&inward));
    let task = tokio::spawn(async move {
        while let Ok(Ok(())) = timeout(MEMORY, answers.readable()).await {
            let mut buffer = Buffer::take();
            if let Ok(length) = answers.try_recv(&mut buffer.0) {
                let _ = outward.send_to(&buffer.0[..length], peer).await;
            }
        }
    });
    Ok(Client { machine: inward, answers: task.abort_handle(), heard: Instant::now() })
}
