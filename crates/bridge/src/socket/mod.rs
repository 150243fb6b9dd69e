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

pub use listener::Listener;
pub use proxy::serve;
pub use spare::Spare;
