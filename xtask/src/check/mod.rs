//! `cargo xtask test`: the stages, and the rules of the house that no compiler knows.

mod deny;
mod desktop;
#[cfg(test)]
mod house;
mod leaks;
mod runner;
mod stages;

pub use runner::{Options, run};
