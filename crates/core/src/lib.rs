//! The words of `machine`: names, specs, records, states, events, errors, and the traits between rooms.
//!
//! Nothing here does I/O, reads a clock, or knows where a home folder is.

mod driver;
mod error;
mod event;
mod guest_network;
mod machine_name;
mod observation;
mod record;
mod share_type;
mod shared_folder;
mod spec;

pub use driver::{Capabilities, Checkpoint, Driver, MachineRef, Work};
pub use error::{Code, Error, Result, ResultExt, io_hint};
pub use event::{Event, EventKind, Level, Reporter, Stage};
pub use guest_network::{GuestNetwork, Protocol};
pub use machine_name::MachineName;
pub use observation::{Endpoints, MachineState, Observation, SshTarget, Usage};
pub use record::{MachineRecord, Phase, RECORD_SCHEMA};
pub use share_type::{Carrier, ShareType};
pub use shared_folder::SharedFolder;
pub use spec::{EngineSource, EngineSpec, MachineSpec, Publish};
