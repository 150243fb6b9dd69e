//! `cargo xtask cross`: proving from Linux what can be proved of the program on Windows and macOS.
//!
//! On Windows: it lints, links, and its tests run under Wine. On macOS: it lints, nothing more.

mod checks;
mod toolchain;
mod wine;

pub use checks::{Options, run};
