//! Copies of a folder between this computer and a machine, over SSH: one way, or both.
//!
//! ```text
//! scan (local) ─┐                       ┌─ Errands of this computer ─ tar from the machine, written by cap-std
//!               ├─ Outcome (plan, merge)┤                                                                     ─ past
//! list (remote) ┘                       └─ Errands of the machine ─── tar to it, placed by cp
//! ```
//!
//! What decides is pure (`plan.rs`, `merge.rs`). What the machine says is believed in nothing that could lead out of the folder.

mod archive;
mod case;
mod entry;
mod exclusions;
mod listing;
mod local;
mod merge;
mod past;
mod place;
mod plan;
mod remote;
mod report;
mod run;
mod stop;
mod system;
mod transfer;
#[cfg(test)]
mod trials;
mod unpack;
mod watch;

pub use merge::Conflict;
pub use place::Place;
pub use report::{Action, Change, Copied, Problem, Report};
pub use run::{Direction, Request, run};
pub use stop::Stop;
pub use watch::{Watch, rest};
