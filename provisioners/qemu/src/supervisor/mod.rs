//! The process of one running machine.

mod attend;
mod beginning;
mod bring_up;
mod config;
mod handover;
mod lifecycle;
mod obituary;
mod run;
mod suspend;

pub use config::{ImageLookup, SuperviseConfig, WarmStart};
pub use lifecycle::supervise;
