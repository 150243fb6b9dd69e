//! What a running machine shares with this computer.

pub mod clock;
pub mod engine_way;
pub mod names;
pub mod socket;
