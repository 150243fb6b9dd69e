//! What a supervisor is given.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use machine_core::{Carrier, Result, SharedFolder};
use machine_images::Image;

use super::companion::Companion;
use crate::machine_files::MachineFiles;
use crate::plan::AcceleratorChoice;
use crate::probe::Search;
use crate::run_file::Ports;
use crate::warm::WarmStates;

/// Finds an image by a name or by the SHA-256 of its disk: only one that is whole and on this computer.
pub type ImageLookup = Arc<dyn Fn(&str) -> Result<Image> + Send + Sync>;

/// What a start from a warm state needs.
#[derive(Clone)]
pub struct WarmStart {
    /// Where such states are kept.
    pub states: WarmStates,
    /// The seed disk of a template with this machine's settings.
    pub template_seed: Vec<u8>,
}

/// One machine, as its supervisor needs to know it.
#[derive(Clone)]
pub struct SuperviseConfig {
    /// Its name; also an argument of the supervisor's own command line, by which that process is known.
    pub machine: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its files.
    pub files: MachineFiles,
    /// The UUID among QEMU's arguments.
    pub token: String,
    /// The image that its OS disk is an overlay of, by digest.
    pub image_digest: String,
    /// Where images come from.
    pub image: ImageLookup,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Which accelerator to use.
    pub accelerator: AcceleratorChoice,
    /// The user's own arguments for QEMU.
    pub extra_arguments: Vec<String>,
    /// Folders of this computer that devices carry from the next start on.
    pub folders: Vec<SharedFolder>,
    /// Devices of which kind.
    pub carrier: Carrier,
    /// The ports of the last run, taken again when they are free.
    pub ports: Option<Ports>,
    /// Where QEMU is looked for.
    pub search: Search,
    /// The file that remembers which accelerators work here.
    pub verdicts: PathBuf,
    /// The size of the disk of containers, MiB.
    pub disk_mib: u64,
    /// Where a fresh machine may go on from instead of booting; none: it boots.
    pub warm: Option<WarmStart>,
    /// What runs beside the machine.
    pub companion: Option<Arc<dyn Companion>>,
    /// Only looks after a QEMU that runs already: where there is none, nothing is started.
    pub adopt_only: bool,
}

impl SuperviseConfig {
    /// The folders that QEMU can open: it does not start with one that it cannot. SFTP waits for the others.
    pub(super) fn folders_that_are_there(&self) -> Vec<SharedFolder> {
        self.folders.iter().filter(|share| std::fs::read_dir(&share.folder).is_ok()).cloned().collect()
    }
}

impl fmt::Debug for SuperviseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SuperviseConfig")
            .field("machine", &self.machine)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}
