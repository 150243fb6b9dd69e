//! The machine's Docker socket: a Unix socket or named pipe on this computer that speaks plain Docker API.

#[cfg(unix)]
#[path = "listener_unix.rs"]
mod listener;
#[cfg(windows)]
#[path = "listener_windows.rs"]
mod listener;
mod proxy;
mod refusal;
mod spare;

pub(crate) use listener::Listener;
pub(crate) use proxy::serve;
pub(crate) use spare::Spare;
