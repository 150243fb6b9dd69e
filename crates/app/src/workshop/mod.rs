//! Workshops: many like machines for many people, made, handed out, watched and removed as one.

mod create;
mod equip;
mod exec;
mod extend;
mod fleet;
mod handout;
mod page;
mod passwords;
mod record;
mod remove;
mod roster;
mod seats;
mod status;

pub use create::{WorkshopReport, WorkshopWords};
pub use exec::{ExecEnd, ExecLine};
pub use handout::{Handout, HandoutWords};
pub use record::{LoginBy, Seat, Workshop};
pub use roster::Person;
pub use status::{Cost as WorkshopCost, SeatStatus, WorkshopRow, WorkshopStatus};
