//! Rules of the guest's own network by which names, ports and the way to this computer are led as the bridge needs it.

mod keep;
mod script;

pub(crate) use keep::{Rules, in_force, keep};
pub(crate) use script::GuestRules;
