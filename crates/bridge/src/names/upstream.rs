//! Handing a query to another name server as it is.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long each server may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The answer of the first of `servers` that gives one.
pub(super) async fn ask(servers: &[SocketAddr], query: &[u8], datagram: bool) -> Option<Vec<u8>> {
    for server in servers {
        let answer =
            async { if datagram { by_datagram(*server, query).await } else { by_stream(*server, query).await } };
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%server, %error, "a name server is not reached"),
            Err(_) => tracing::debug!(%server, "a name server does not answer"),
        }
    }
    None
}

async fn by_datagram(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let own: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    // A port of its own for each query, and connected: nobody else's datagrams arrive.
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    loop {
        let count = socket.recv(&mut answer).await?;
        if count >= 12 && answer[..2] == query[..2] {
            answer.truncate(count);
            return Ok(answer);
        }
    }
}

async fn by_stream(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_message(&mut stream, query).await?;
    read_message(&mut stream).await
}

/// Reads a message with its length in front (RFC 1035, 4.2.2).
pub(super) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes a message with its length in front, at once.
pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    stream.write_all(&bytes).await
}
