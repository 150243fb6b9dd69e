//! Names as this computer knows them, for the guest and its containers: a small DNS server on loopback that asks the
//! system's own resolver, and the rule in the guest that leads there.

mod guest;
mod keep;
mod nameservers;
mod question;
mod server;
mod system;
mod upstream;

pub(crate) use guest::GuestNetworkRules;
pub(crate) use keep::{keep_names, keep_rules};
