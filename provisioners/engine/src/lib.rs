//! Makes any bare Linux a Docker host, over SSH.
//!
//! [`Facts`] are read from the host by one script, [`plan`] decides from them and a [`Request`] what is to be done (pure, no
//! I/O), and [`Runner`] does it step by step: what is satisfied already is left alone, so that a second run changes nothing
//! and a broken one is carried on by the next.

mod accounts;
mod daemon_json;
mod diagnosis;
mod distribution;
mod facts;
mod host_key;
mod merge;
mod plan;
mod preparation;
mod privilege;
mod remote;
mod request;
mod runner;
mod step;
mod transcript;

pub use accounts::{Account, add_account, check_account_name, list_accounts, remove_account};
pub use daemon_json::{daemon_json, engine_environment};
pub use distribution::{Distribution, Family};
pub use facts::{CloudInit, Facts, Firewall, Init, Sudo};
pub use host_key::{HostKeyChange, NewHostKey};
pub use plan::{Plan, plan};
pub use preparation::{clone_repository, load, pull_images, put_off_end, set_password, unpack_in_home};
pub use request::{Request, Source, TlsFiles};
pub use runner::{Outcome, Runner, StepState};
pub use step::{Action, File, Step};
