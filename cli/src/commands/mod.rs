//! The commands, a file per idea.

pub mod connection;
pub mod create;
pub mod doctor;
pub mod image;
pub mod list;
pub mod logs;
pub mod power;
pub mod remove;
mod several;
pub mod ssh;
pub mod supervise;
pub mod version;
