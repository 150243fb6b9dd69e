//! Warm states: a guest that has booted and whose engine runs, saved before it was anybody's machine. Later machines of the
//! same shape go on from there instead of booting.

mod cache;
mod channel;
mod migration;
mod shape;
mod suspended;

pub(crate) use cache::{NewState, SavedState};
pub use cache::{WarmRow, WarmStates};
pub(crate) use channel::{Channel, Request};
pub(crate) use migration::{call_off, load, save};
pub(crate) use shape::{Shape, TEMPLATE_DISK_MIB, state_key};
pub(crate) use suspended::{Suspended, state as suspended_state, unfinished};
