//! Bytes between two connections, each direction closed by itself.

use std::io::{ErrorKind, Result};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::buffers::Buffer;

/// Carries bytes between `client` and `machine` until both directions have ended. A connection that one side breaks off is
/// broken off on the other side too, not closed in good order.
pub(crate) async fn relay(mut client: TcpStream, mut machine: TcpStream) {
    // Small pieces are for somebody who waits for them; a system that refuses this sends them all the same.
    let (_, _) = (client.set_nodelay(true), machine.set_nodelay(true));
    let outcome = {
        let (from_client, to_client) = client.split();
        let (from_machine, to_machine) = machine.split();
        tokio::try_join!(carry(from_client, to_machine), carry(from_machine, to_client))
    };
    if outcome.is_err() {
        reset(&client);
        reset(&machine);
    }
}

/// Makes the end of a connection a reset.
pub(crate) fn reset(stream: &TcpStream) {
    // One that is gone already needs none.
    let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}

async fn carry(from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<()> {
    loop {
        from.readable().await?;
        let mut buffer = Buffer::take();
        let read = match from.try_read(&mut buffer.0) {
            Ok(0) => return to.shutdown().await,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&buffer.0[..read]).await?;
    }
}
