//! Virtual machines on this computer under QEMU: probe the host, plan the command line, run it, talk to it.

mod control;
mod disk;
mod driver;
mod event_log;
mod facts;
mod firmware;
mod free_space;
mod json_file;
mod known_bad;
mod last_exit;
mod log_tail;
mod machine_files;
mod option_string;
mod plan;
mod probe;
mod process_identity;
mod qemu_command;
mod qemu_process;
mod qmp;
mod qmp_message;
mod run_file;
mod shutdown;
mod supervisor;
mod trial;
mod usernet;
mod verdict;
mod verdict_file;
mod warm;

pub use facts::{Accelerator, DeviceFact, HostFacts, HostOs, QemuFacts, Version};
pub use known_bad::{KNOWN_BAD, KnownBad, Remedy, Situation, matches as known_bad, oldest_supported};
pub use plan::{AcceleratorChoice, MachinePaths, Plan, PlanInput, plan};
pub use probe::{Search, fingerprint, probe, probe_host, probe_qemu};
pub use qemu_command::install_hint;
pub use verdict::{Decision, Exit, FirstSeconds, Verdict, VerdictKey, Verdicts, watch};

pub use disk::{DiskInfo, DiskTool};
pub use driver::{Launcher, QemuConfig, QemuDriver, Range, SizeBounds, host_access, size_bounds};
pub use free_space::free_space;
pub use last_exit::LastExit;
pub use machine_files::MachineFiles;
pub use process_identity::ProcessIdentity;
pub use run_file::{Ports, RunFile};
pub use supervisor::{Companion, ImageLookup, SuperviseConfig, WarmStart, supervise};
pub use trial::try_acceleration;
pub use verdict_file::load_verdicts;
pub use warm::{WarmRow, WarmStates};
