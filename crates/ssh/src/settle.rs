//! One step of a connection that never blocks.
//!
//! libssh2 allows one packet half-sent at a time: an operation that stopped because the socket was full must be the next
//! one repeated, before any other (`transport_send_existing` in its transport.c). Repeating it cannot stall, as a server
//! always takes what its window allows. Everything else may be interleaved freely.

use std::io;
use std::time::{Duration, Instant};

use ssh2::BlockDirections;

use crate::connect::{Fault, Session, would_block};
use crate::pump::{SILENCE, Stop};
use crate::readiness::{Interest, wait};

/// How long one wait may last, or why there is no more waiting.
pub(crate) type Patience<'a> = &'a dyn Fn() -> Result<Duration, Stop>;

/// Does `operation`, or answers `None` when it needs something from the other side first.
pub(crate) fn settle<T>(
    session: &Session,
    patience: Patience<'_>,
    mut operation: impl FnMut() -> Result<T, ssh2::Error>,
) -> Result<Option<T>, Stop> {
    loop {
        match operation() {
            Ok(value) => return Ok(Some(value)),
            Err(error) if !would_block(&error) => return Err(Fault::Ssh(error).into()),
            Err(_) => {}
        }
        if !wait_for_room(session, patience)? {
            return Ok(None);
        }
    }
}

/// As [`settle`], for the operations that answer with the standard library's errors.
pub(crate) fn settle_io<T>(
    session: &Session,
    patience: Patience<'_>,
    mut operation: impl FnMut() -> io::Result<T>,
) -> Result<Option<T>, Stop> {
    loop {
        match operation() {
            Ok(value) => return Ok(Some(value)),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                let last = ssh2::Error::last_session_error(&session.ssh);
                return Err(last.map_or(Fault::Socket(error), Fault::Ssh).into());
            }
            Err(_) => {}
        }
        if !wait_for_room(session, patience)? {
            return Ok(None);
        }
    }
}

/// Whether the operation that would block must be repeated at once: it was stopped half-way by a full socket, which
/// has room now.
fn wait_for_room(session: &Session, patience: Patience<'_>) -> Result<bool, Stop> {
    let directions = session.ssh.block_directions();
    if !matches!(directions, BlockDirections::Outbound | BlockDirections::Both) {
        return Ok(false);
    }
    let began = Instant::now();
    let both = Interest { read: directions == BlockDirections::Both, write: true };
    while !wait(&session.socket, both, None, patience()?)? {
        if began.elapsed() > SILENCE {
            return Err(Stop::Silent(SILENCE));
        }
    }
    Ok(true)
}
