//! Machines under QEMU as the rest of the house knows them.

mod options;
mod preflight;
mod presence;
mod provider;
mod state;

pub use provider::{Launcher, QemuConfig, QemuDriver};
