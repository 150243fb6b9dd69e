//! `supervise`: the process of one running machine, from this side.

use std::path::Path;

use machine_core::{MachineName, MachineRecord, MachineRef, Result};
use machine_qemu::{WarmStart, WarmStates};

use crate::app::App;
use crate::files;
use crate::open_files;
use crate::seed;

impl App {
    /// Is the supervisor of a machine until that machine ends. Blocks. With `adopt_only` it starts nothing that does not run.
    ///
    /// # Errors
    /// No such machine, another supervisor that has it already, or what kept it from starting.
    pub fn supervise(&self, name: &MachineName, adopt_only: bool) -> Result<()> {
        open_files::allow_many();
        let record = self.store.load(name)?;
        let dir = self.store.folder(name);
        files::runtime_folder(&self.environment.runtime)?;
        let config = self.qemu().supervise_config(
            MachineRef { record: &record, dir: &dir },
            adopt_only,
            self.warm_start(&record, &dir),
            Some(self.companion(&record)?),
        )?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| machine_core::Error::other("cannot start the runtime").because(e))?;
        let ended = runtime.block_on(async {
            tokio::select! {
                ended = machine_qemu::supervise(config) => ended,
                () = self.keep_certificates_fresh(name) => Ok(()),
            }
        });
        // What still waits for an answer of the guest, on threads that may block, ends with this process.
        runtime.shutdown_background();
        ended
    }

    /// What a fresh machine of our own image needs to go on from a warm state; none where that cannot be composed: it boots.
    fn warm_start(&self, record: &MachineRecord, dir: &Path) -> Option<WarmStart> {
        let template_seed = seed::compose(record, dir).and_then(|seed| seed.to_template_disk()).ok()?;
        Some(WarmStart { states: self.warm_states(), template_seed })
    }

    /// The cache of warm states: beside the images that they are of.
    pub(crate) fn warm_states(&self) -> WarmStates {
        WarmStates::at(self.environment.images.join(".warm"))
    }

    /// Gives a machine whose supervisor died a new one, without waiting for it: every command that looks at a machine does
    /// this. Returns whether there was need. Only machines of this computer have supervisors.
    pub(crate) fn adopt_orphan(&self, record: &MachineRecord) -> bool {
        if record.driver != "qemu" {
            return false;
        }
        let dir = self.store.folder(&record.name);
        self.qemu().adopt_if_orphaned(MachineRef { record, dir: &dir }).unwrap_or_else(|error| {
            tracing::warn!(machine = record.name.as_str(), %error, "no supervisor could be started");
            false
        })
    }
}
