//! Passing clients of the socket on to the engine, byte by byte: Docker's API changes its protocol on the way (attach and
//! exec are hijacked, build sessions upgrade to HTTP/2), and nothing here has to know.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::task::JoinSet;

use super::listener::{Client, Listener};
use super::refusal::refuse;
use super::spare::Spare;

/// What is read at once, bytes: one record of TLS.
const CHUNK: usize = 16 << 10;
/// How long to wait when no client can be accepted (out of descriptors, say).
const PAUSE: Duration = Duration::from_millis(200);

/// Serves clients for ever. They end with it.
pub(crate) async fn serve(mut listener: Listener, engine: Arc<Spare>) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(client) => drop(clients.spawn(pass(client, Arc::clone(&engine)))),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client of the Docker socket");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn pass(mut client: Client, engine: Arc<Spare>) {
    // The client speaks first (HTTP): one that only looks whether somebody listens costs the engine nothing.
    let mut first = vec![0; CHUNK];
    match client.read(&mut first).await {
        Ok(count) if count > 0 => first.truncate(count),
        _ => return,
    }
    let mut stream = match engine.take().await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::info!(%error, "a client of the Docker socket was refused");
            return refuse(&mut client, &first, &error).await;
        }
    };
    let passed = async {
        stream.write_all(&first).await?;
        stream.flush().await?;
        drop(first);
        // The end of one direction closes that half alone; this returns when both have ended.
        copy_bidirectional_with_sizes(&mut client, &mut stream, CHUNK, CHUNK).await
    };
    if let Err(error) = passed.await {
        tracing::debug!(%error, "a client of the Docker socket broke off");
    }
}
