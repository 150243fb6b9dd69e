//! `scp`: files and folders between this computer and machines, and from one machine to another.

mod between;
mod carried;
mod copy;
mod delta;
mod words;

pub use copy::ScpWords;
