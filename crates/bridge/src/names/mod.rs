//! Names as this computer knows them, for the guest and its containers: a small DNS server on loopback that asks the
//! system's own resolver. A rule in the guest (`rules/`) leads there.

mod nameservers;
mod question;
mod server;
mod system;
mod upstream;

pub(crate) use server::{NameServer, Names};
