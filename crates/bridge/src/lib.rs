//! What a running machine shares with this computer, run by its supervisor: ports that containers publish appear here, and
//! folders of this computer appear there.
//!
//! Everything here makes itself again when another supervisor takes the machine over, and nothing of it ends the machine.

mod bridge;
mod follow;
mod guest_shell;
mod ports;
mod question;
mod share;
mod tunnel;

pub use bridge::{Bridge, BridgeConfig};
pub use ports::{PortRow, PortState};
pub use question::{Answer, Question};
pub use share::{ShareRow, ShareState};
pub use tunnel::tunnel;
