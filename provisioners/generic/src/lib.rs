//! Docker hosts that exist already: any Linux that runs sshd, adopted by its address (`generic`), and engines known by their URL alone
//! (`none`).
//!
//! The host stays its owner's. It is never started, stopped or removed from here; its host key was confirmed once and is
//! pinned, its engine is provisioned over SSH.

mod driver;
mod none;
mod options;

pub use driver::{GenericDriver, UNREACHABLE};
pub use none::{NoneDriver, host_of_url};
pub use options::{GenericOptions, resolve};
