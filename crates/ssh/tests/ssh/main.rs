//! SSH against a real OpenSSH server on loopback.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "the exception for tests does not reach what tests share")]

mod commands;
mod connecting;
mod server;
mod terminals;
mod tunnels;
