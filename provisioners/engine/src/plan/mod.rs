//! What is to be done on a host: decided from facts, without any I/O.

mod amazon;
mod apt;
mod compose;
mod configuration;
mod host;
mod packaging;
mod refusals;
mod rpm;
mod service;
mod singles;
#[cfg(test)]
mod tests;

pub use compose::{Plan, plan};
