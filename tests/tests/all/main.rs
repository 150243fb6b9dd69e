//! The real program, with a QEMU that is played (fast) and with real machines (names that begin with `vm_`).
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod adopted;
mod bad_input;
mod broken_store;
mod completion;
mod connection;
mod containment;
mod crash;
mod disk_usage;
mod ec2;
mod faults;
mod help;
mod images;
mod import_docker_machine;
mod inside;
mod life;
mod look;
mod manual;
mod moving;
mod none;
mod output;
mod paused;
mod ports;
mod rename;
mod scp;
mod set;
mod shells;
mod sockets;
mod ssh_config;
mod support_bundle;
mod sync;
mod upgrade;
mod vm_crash;
mod vm_events;
mod vm_life;
mod vm_ports;
mod vm_provision;
mod vm_share;
mod vm_share_9p;
mod vm_share_virtiofs;
mod vm_socket;
mod vm_tutorial;
mod vm_warm;
