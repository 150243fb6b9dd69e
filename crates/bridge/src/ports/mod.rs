//! Ports that containers publish, on this computer.

mod buffers;
mod datagrams;
mod gate;
mod holder;
mod host_network;
mod listener;
mod relay;
mod row;
mod ssh_network;
mod table;
#[cfg(test)]
mod tests;
mod wanted;

pub use row::{PortRow, PortState};
pub(crate) use ssh_network::SshNetwork;
pub(crate) use table::Ports;
pub(crate) use wanted::name_of;
