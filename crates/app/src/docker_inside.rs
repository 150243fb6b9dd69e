//! `docker`: the Docker client of a machine itself, for computers that have none.

use machine_core::{Error, MachineName, Result};
use machine_ssh::{quote, terminal};

use crate::app::App;
use crate::ssh_use_cases::SshRequest;

/// What a shell returns for a command that is not there (POSIX, "Exit Status for Commands").
const NOT_FOUND: i32 = 127;

impl App {
    /// Runs `docker` with these words inside a machine, at this terminal, and returns its exit code. Blocks.
    ///
    /// # Errors
    /// As [`Self::ssh`], and a machine without a Docker client.
    pub fn docker(&self, name: &MachineName, request: SshRequest<'_>) -> Result<i32> {
        // Unlike those of `ssh`, these words are docker's, and no shell takes them apart.
        let words = std::iter::once("docker".to_owned()).chain(request.words.iter().map(|word| quote(word))).collect();
        let tty = request.tty.or_else(|| Some(terminal::is_interactive()));
        let code = self.ssh(name, SshRequest { words, tty, ..request })?;
        if code == NOT_FOUND && self.has_no_client(name) {
            return Err(Error::other(format!("machine {:?} has no Docker client", name.as_str()))
                .hint(format!("`machine provision {name}` installs one on a machine that was provisioned"))
                .hint("with a client of this computer: `machine use`, or `machine env`"));
        }
        Ok(code)
    }

    /// A container's own command that is not found has the same exit code.
    fn has_no_client(&self, name: &MachineName) -> bool {
        let look = || -> Result<bool> {
            let mut session =
                machine_ssh::Session::connect(&self.ssh_target(name)?, std::time::Duration::from_secs(30))?;
            Ok(!session.exec("command -v docker", std::time::Duration::from_secs(30))?.status.success())
        };
        look().unwrap_or(false)
    }
}
