//! `supervise`: the process of one running machine, from this side.

use machine_core::{MachineName, MachineRef, Reporter, Result};

use crate::app::App;
use crate::files;

impl App {
    /// Is the supervisor of a machine until that machine ends. Blocks.
    ///
    /// # Errors
    /// No such machine, another supervisor that has it already, or what kept it from starting.
    pub fn supervise(&self, name: &MachineName) -> Result<()> {
        let record = self.store.load(name)?;
        let dir = self.store.folder(name);
        files::runtime_folder(&self.environment.runtime)?;
        let config = self.qemu().supervise_config(MachineRef { record: &record, dir: &dir })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| machine_core::Error::other("cannot start the runtime").because(e))?;
        runtime.block_on(machine_qemu::supervise(config))
    }

    /// Sees to it that a machine whose supervisor died gets another one: every command that looks at machines does this.
    pub fn adopt_orphans(&self, names: &[MachineName], reporter: &Reporter) {
        for name in names {
            let Ok(record) = self.store.load(name) else { continue };
            if record.driver != "qemu" {
                continue;
            }
            let dir = self.store.folder(name);
            match self.qemu().adopt_if_orphaned(MachineRef { record: &record, dir: &dir }) {
                Ok(true) => reporter.info(format!("machine {:?} had lost its supervisor: a new one adopts it", name.as_str())),
                Ok(false) => {}
                Err(error) => reporter.warn(format!("machine {:?} has no supervisor: {error}", name.as_str())),
            }
        }
    }
}
