//! The commands, a file per idea.

pub mod chosen;
pub mod connection;
pub mod create;
pub mod disk_usage;
pub mod doctor;
pub mod ec2;
pub mod help;
pub mod image;
pub mod import_docker_machine;
pub mod list;
pub mod logs;
pub mod ports;
pub mod power;
pub mod provision;
pub mod remove;
mod several;
pub mod share;
pub mod shell_init;
pub mod ssh;
pub mod supervise;
pub mod support_bundle;
pub mod sync;
pub mod tunnel;
pub mod user;
pub mod version;
