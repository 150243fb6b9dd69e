//! Finding out what is true of this computer and of the QEMU on it.

mod host;
mod places;
mod qemu;
#[cfg(test)]
#[cfg(unix)]
mod tests;
mod virtiofsd;

pub use host::probe_host;
pub use places::Search;
pub use qemu::{fingerprint, probe, probe_qemu};
