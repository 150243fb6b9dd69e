//! SSH to a machine: keys, sessions with a pinned host key, commands, terminals, and copies (libssh2).
//!
//! Everything here blocks, always with a time limit, and belongs on a thread that may: [`blocking`] is the way there from
//! async code. A host key other than the pinned one is refused before anything is said to the server.

mod attach;
mod connect;
mod copy;
mod exec;
mod found;
mod host_key;
mod key_pair;
mod pump;
mod readiness;
mod settle;
pub mod terminal;
mod tunnel;

pub use attach::{Attach, Tty, command_line};
pub use connect::{ConnectError, ConnectFailure, Session};
pub use copy::{Account, complain, quote};
pub use exec::{ExitStatus, Output, Stream};
pub use found::{Found, FoundKind};
pub use host_key::HostKey;
pub use key_pair::{KeyPair, is_encrypted};
pub use tunnel::{Incoming, Process, ProcessEnd, Tunnel};

use machine_core::{Code, Error, Result};

/// Runs blocking work of this room on a thread for such work.
///
/// The work goes on to its own time limit when the future is dropped.
///
/// # Errors
/// Those of `work`, or that the program is ending.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(Error::new(Code::Interrupted, "the program is ending").because(cancelled)),
        },
    }
}
