//! The system packages that building and testing needs, and how they come onto this computer.

mod apt;
mod backports;
mod crate_program;
mod docker;
mod groups;
mod install;
mod moto;
mod nushell;

pub use crate_program::install as crate_program;
pub use docker::environment as docker_environment;
pub use groups::Group;
pub use install::run;
pub use moto::install as moto;
pub use nushell::install as nushell;
