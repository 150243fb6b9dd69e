//! Many streams over one session.

mod handle;
mod joint;
mod orders;
mod thread;

pub use handle::{Incoming, Process, ProcessEnd, Tunnel};
