//! One connection: packets in, packets out.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::exports::Exports;
use super::folder::Folder;
use super::server;
use super::wire::{Framed, LONGEST, Packet, Replies, frame};

/// Answers are sent when there are so many bytes of them, or when no whole request is left.
const BATCH: usize = 256 * 1024;

/// What one connection has open.
pub(super) struct Session {
    pub exports: Arc<Exports>,
    pub handles: HashMap<u32, Handle>,
    pub next_handle: u32,
}

/// Something open.
pub(super) enum Handle {
    File { folder: Arc<Folder>, place: PathBuf, file: File, append: bool },
    Folder(Box<server::Listing>),
}

/// Serves one connection until the other side ends it.
///
/// Requests are taken one after the other, in their order, as OpenSSH's server does and `sshfs` counts on (it asks for a file's
/// attributes right behind its creation): the other side need not wait for an answer before it asks again. Their work blocks:
/// this future belongs on a thread of its own.
///
/// # Errors
/// A connection that is lost, or does not speak SFTP.
pub async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, exports: Arc<Exports>) -> io::Result<()> {
    let mut session = Session { exports, handles: HashMap::new(), next_handle: 0 };
    let mut received = Vec::with_capacity(LONGEST);
    let mut replies = Replies::default();
    loop {
        let mut taken = 0;
        loop {
            match frame(&received[taken..]) {
                Framed::Packet(packet, length) => {
                    match packet {
                        Packet::Init { version } => {
                            tracing::debug!(version, "an SFTP client");
                            replies.version();
                        }
                        Packet::Request { id, request } => server::answer(&mut session, id, request, &mut replies),
                    }
                    taken += length;
                }
                Framed::Incomplete => break,
                Framed::Broken => return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not SFTP")),
            }
            if replies.0.len() >= BATCH {
                stream.write_all(&replies.0).await?;
                replies.0.clear();
            }
        }
        received.drain(..taken);
        if !replies.0.is_empty() {
            stream.write_all(&replies.0).await?;
            replies.0.clear();
        }
        stream.flush().await?;
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}
