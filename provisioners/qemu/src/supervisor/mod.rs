//! The process of one running machine.

mod attend;
mod beginning;
mod bring_up;
mod companion;
mod config;
mod handover;
mod lifecycle;
mod obituary;
mod run;
mod suspend;

pub use companion::Companion;
pub use config::{ImageLookup, SuperviseConfig, WarmStart};
pub use lifecycle::supervise;
