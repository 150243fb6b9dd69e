//! What a running machine shares with this computer, run by its supervisor: ports that containers publish appear here, folders of
//! this computer appear there, a socket speaks Docker's API, names are this computer's, and the clock is right.
//!
//! Everything here makes itself again when another supervisor takes the machine over, and nothing of it ends the machine.

mod bridge;
mod clock;
mod engine_way;
mod follow;
mod guest_shell;
mod names;
mod ports;
mod question;
mod rules;
mod share;
mod socket;
mod tunnel;

pub use bridge::{Bridge, BridgeConfig};
pub use clock::ClockReport;
pub use ports::{PortRow, PortState};
pub use question::{Answer, Question};
pub use share::{Carried, ShareRow, ShareState};
pub use tunnel::tunnel;
