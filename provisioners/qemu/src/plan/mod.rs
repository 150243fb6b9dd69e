//! From facts and wishes to QEMU's command line: pure, so that every host can be planned for on every host.

#[cfg(test)]
#[cfg(target_os = "linux")]
mod accepted;
mod arguments;
mod choice;
mod folders;
mod limits;
mod request;
#[cfg(test)]
mod tests;

pub(crate) use folders::{MOST_FOLDERS, check_carrier, folder_socket};
pub(crate) use limits::LEAST_MEMORY_MIB;
pub(crate) use request::FolderDaemon;
pub use request::{AcceleratorChoice, MachinePaths, Plan, PlanInput, plan};
