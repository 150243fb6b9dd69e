//! The supervisor's control socket: JSON lines, one request and its replies per connection.

mod client;
mod server;
#[cfg(test)]
#[cfg(unix)]
mod tests;
mod wire;

pub(crate) use client::{ask, is_listening};
pub(crate) use server::{Board, Command, Control, Notices};
pub use wire::{Call, Reply, RunState, Status};
