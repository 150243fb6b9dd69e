//! The commands, a file per idea.

pub mod chosen;
pub mod connection;
pub mod create;
pub mod doctor;
pub mod ec2;
pub mod image;
pub mod list;
pub mod logs;
pub mod ports;
pub mod power;
pub mod provision;
pub mod remove;
mod several;
pub mod share;
pub mod ssh;
pub mod supervise;
pub mod sync;
pub mod tunnel;
pub mod user;
pub mod version;
pub mod workshop;
mod workshop_tables;
