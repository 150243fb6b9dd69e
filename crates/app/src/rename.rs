//! `rename`: another name for a machine.
//!
//! ```text
//! the new record beside the old one -> the folder gets its new name -> the new record takes the old one's place
//! ```
//!
//! A crash before the second leaves the old machine, one after it the new one: `Store::load` takes the record that has the folder's name.

use machine_core::{Code, Error, MachineName, MachineRecord, MachineRef, MachineState, Reporter, Result};
use machine_docker::context_name;

use crate::app::App;
use crate::store::does_not_exist;

impl App {
    /// Gives a machine another name. One of this computer must be off; others may run.
    ///
    /// # Errors
    /// No such machine, a name that is in use, a machine that runs, or whatever failed: it then has one of the two names.
    pub async fn rename(&self, from: &MachineName, to: &MachineName, reporter: &Reporter) -> Result<()> {
        if from == to {
            return Err(Error::new(Code::Usage, format!("machine {:?} has that name already", from.as_str())));
        }
        if !self.store.exists(from) {
            return Err(does_not_exist(from));
        }
        // Before the locks: where case does not count, both names have one.
        self.is_free(to)?;
        // Always in the same order: two that rename crosswise must not wait for each other.
        let (first, second) = if from < to { (from, to) } else { (to, from) };
        let _locks = (self.lock(first, reporter).await?, self.lock(second, reporter).await?);
        self.is_free(to)?;
        let record = self.complete_record(from)?;
        self.can_be_renamed(&record).await?;

        reporter.stage("rename", format!("Renaming {from} to {to}"));
        // Made again under the new name at the next start; what is left of it by a crash is, too.
        self.give_back_default_sockets_of(&record, reporter);
        let contexts = self.contexts()?;
        let was_chosen =
            contexts.current().ok().flatten().is_some_and(|current| current == context_name(from.as_str()));
        self.remove_context(from, reporter);
        // The name is in the server's certificate: the next start makes another.
        let renamed = MachineRecord { name: to.clone(), certificate_ends: None, ..record };
        if let Err(error) = self.store.rename(from, &renamed, |checkpoint| self.crash_after(checkpoint)) {
            if let Ok(record) = self.store.load(from)
                && let Ok(endpoints) = self.endpoints(&record)
            {
                self.refresh_context(&record, endpoints, reporter);
                if was_chosen && contexts.set_current(&context_name(from.as_str())).is_err() {
                    reporter.warn(format!("`docker` talks to its default context now: `machine use {from}`"));
                }
            }
            return Err(error);
        }
        let dir = self.store.folder(to);
        match self.driver(&renamed.driver)?.endpoints(MachineRef { record: &renamed, dir: &dir }) {
            Some(endpoints) => self.refresh_context(&renamed, endpoints, reporter),
            None => self.refresh_ssh_config(reporter),
        }
        // One that is off has no context until it is started.
        if was_chosen && contexts.set_current(&context_name(to.as_str())).is_err() {
            reporter.warn(format!("`docker` talks to its default context now: start {to}, then `machine use {to}`"));
        }
        Ok(())
    }

    fn is_free(&self, name: &MachineName) -> Result<()> {
        if self.store.exists(name) {
            return Err(Error::new(Code::AlreadyExists, format!("Docker machine \"{name}\" already exists"))
                .hint("choose a name that `machine ls` does not show"));
        }
        Ok(())
    }

    /// What runs here has its files open and its name on its command line.
    async fn can_be_renamed(&self, record: &MachineRecord) -> Result<()> {
        if let Some(workshop) = self.workshop_of(record)? {
            return Err(Error::new(
                Code::Usage,
                format!(
                    "machine {:?} is a host of the workshop {:?}, which knows it by its name",
                    record.name.as_str(),
                    workshop.as_str()
                ),
            )
            .hint(format!("`machine workshop status {workshop}` tells whose it is")));
        }
        let driver = self.driver(&record.driver)?;
        if !driver.capabilities().local {
            return Ok(());
        }
        let name = &record.name;
        match self.look(&*driver, record).await {
            MachineState::Stopped => Ok(()),
            MachineState::Saved => Err(Error::other(format!("Machine \"{name}\" is suspended.")).hint(format!(
                "its saved memory knows it by its name: `machine start {name}`, then `machine stop {name}`"
            ))),
            state => Err(Error::other(format!(
                "machine {:?} is {}, and is renamed while it is off",
                name.as_str(),
                state.name()
            ))
            .hint(format!("`machine stop {name}` shuts it down"))),
        }
    }
}
