//! Commands in the guest, over SSH: the same in every guest, whatever its image.

use std::sync::Arc;
use std::time::Duration;

use machine_core::{Endpoints, Result, SshTarget};
use machine_ssh::Session;

/// How long a login and a command may take: seconds without hardware acceleration.
const LIMIT: Duration = Duration::from_secs(30);

/// The way to the guest's shell.
#[derive(Clone)]
pub(crate) struct GuestShell {
    target: Arc<dyn Fn(Endpoints) -> SshTarget + Send + Sync>,
    endpoints: Endpoints,
}

impl GuestShell {
    pub(crate) fn new(target: Arc<dyn Fn(Endpoints) -> SshTarget + Send + Sync>, endpoints: Endpoints) -> Self {
        Self { target, endpoints }
    }

    /// How to log in.
    pub(crate) fn target(&self) -> SshTarget {
        (self.target)(self.endpoints)
    }

    /// Runs `script` as root and returns what it says.
    ///
    /// # Errors
    /// `doing`, with the script's last words when it fails.
    pub(crate) async fn root(&self, doing: &'static str, script: &str) -> Result<String> {
        let target = self.target();
        let script = script.to_owned();
        machine_ssh::blocking(move || {
            let mut session = Session::connect(&target, LIMIT)?;
            session.exec_with_input("sudo -n sh -s", &mut script.as_bytes(), LIMIT)?.text(doing)
        })
        .await
    }
}
