//! `use`: a machine becomes the one that `docker` talks to in every terminal.

use machine_core::{Code, MachineName, Reporter, Result};
use machine_docker::context_name;

use crate::app::App;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The Docker context that is the current one now.
    pub context: String,
    /// A variable of this terminal that `docker` follows all the same, with its value.
    pub overridden: Option<(&'static str, String)>,
}

impl App {
    /// Makes a machine's Docker context the current one.
    ///
    /// # Errors
    /// No such machine, one that never ran, or a context of that name that is not ours.
    pub fn use_machine(&self, name: &MachineName, reporter: &Reporter) -> Result<Chosen> {
        let record = self.complete_record(name)?;
        let context = context_name(name.as_str());
        if let Ok(endpoints) = self.endpoints(&record) {
            self.refresh_context(&record, endpoints, reporter);
        }
        self.contexts()?.set_current(&context).map_err(|error| match error.code() {
            Code::NotFound => error.hint(format!("`machine start {name}` makes it")),
            _ => error,
        })?;
        Ok(Chosen { context, overridden: self.overridden() })
    }

    /// Goes back to Docker's default context, if a machine of this store is the current one.
    ///
    /// # Errors
    /// Docker's settings that cannot be read or written.
    pub fn use_none(&self) -> Result<()> {
        self.contexts()?.unset_current()
    }

    fn overridden(&self) -> Option<(&'static str, String)> {
        let environment = &self.environment;
        let host = environment.docker_host.clone().map(|value| ("DOCKER_HOST", value));
        host.or_else(|| environment.docker_context.clone().map(|value| ("DOCKER_CONTEXT", value)))
    }
}
