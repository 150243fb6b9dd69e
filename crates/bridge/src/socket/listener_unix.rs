//! A Unix socket that only this user opens.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use machine_core::{Result, ResultExt as _};
use tokio::net::{UnixListener, UnixStream};

/// One client's connection.
pub(super) type Client = UnixStream;

/// The listening side.
#[derive(Debug)]
pub(crate) struct Listener(UnixListener);

impl Listener {
    /// Listens at `path`, in a folder that is this user's alone. What a dead supervisor left there is replaced: whoever calls
    /// this is the machine's only supervisor.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(crate) fn bind(path: &Path) -> Result<Self> {
        let failed = || format!("cannot make the Docker socket {}", path.display());
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context(failed),
            _ => {}
        }
        // As many may wait to be accepted as the system allows: tokio asks for 1024, std for 128.
        let listener = UnixListener::bind(path).context(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).context(failed)?;
        Ok(Self(listener))
    }

    pub(super) async fn accept(&mut self) -> std::io::Result<Client> {
        self.0.accept().await.map(|(client, _)| client)
    }
}
