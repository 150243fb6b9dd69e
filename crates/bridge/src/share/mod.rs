//! Folders of this computer that a machine sees.

mod connection;
mod early;
mod events;
mod mounts;
mod opening;
mod row;
mod sftp;
mod shares;
mod unshared;
mod ways;

pub(crate) use events::FileEvents;
pub use row::{Carried, ShareRow, ShareState};
pub(crate) use shares::{Rows, Shares};
pub(crate) use unshared::Unshared;
