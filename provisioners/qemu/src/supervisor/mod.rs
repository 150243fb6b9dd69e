//! The process of one running machine.

mod attend;
mod bring_up;
mod config;
mod lifecycle;
mod obituary;
mod run;

pub use config::{ImageLookup, SuperviseConfig};
pub use lifecycle::supervise;
