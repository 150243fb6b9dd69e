//! The commands, a file per idea.

pub mod chosen;
pub mod connection;
pub mod create;
pub mod docker;
pub mod doctor;
pub mod ec2;
pub mod image;
pub mod list;
pub mod logs;
pub mod mount;
pub mod ports;
pub mod power;
pub mod provision;
pub mod remove;
pub mod rename;
pub mod scp;
mod several;
pub mod share;
pub mod ssh;
pub mod ssh_config;
pub mod supervise;
pub mod sync;
pub mod tunnel;
pub mod user;
pub mod version;
