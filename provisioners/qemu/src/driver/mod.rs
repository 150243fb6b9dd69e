//! Machines under QEMU as the rest of the house knows them.

mod bounds;
mod moved;
mod observed;
mod options;
mod preflight;
mod presence;
mod provider;
mod state;
mod system;
mod usage;

pub use bounds::{Range, SizeBounds, size_bounds};
pub use options::host_access;
pub use provider::{Launcher, QemuConfig, QemuDriver};
