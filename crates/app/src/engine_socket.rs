//! The socket or pipe of this computer that speaks plain Docker API for one machine.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a socket that is not there yet is tried.
const PAUSE: Duration = Duration::from_millis(20);

/// A Unix socket, or a named pipe on Windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSocket(PathBuf);

impl EngineSocket {
    /// The one at `path`, whether it is there or not.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What `DOCKER_HOST` and a context say: `unix:///...`, `npipe:////./pipe/...`.
    pub fn url(&self) -> String {
        let path = self.0.to_string_lossy();
        if cfg!(windows) { format!("npipe://{}", path.replace('\\', "/")) } else { format!("unix://{path}") }
    }

    /// Whether somebody listens there.
    #[cfg(unix)]
    pub fn answers(&self) -> bool {
        std::os::unix::net::UnixStream::connect(&self.0).is_ok()
    }

    /// Whether somebody listens there.
    #[cfg(windows)]
    pub fn answers(&self) -> bool {
        const ERROR_PIPE_BUSY: i32 = 231;
        match std::fs::File::options().read(true).write(true).open(&self.0) {
            Ok(_) => true,
            Err(error) => error.raw_os_error() == Some(ERROR_PIPE_BUSY),
        }
    }

    /// The same, waiting for it. Blocks.
    pub(crate) fn answers_within(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        loop {
            if self.answers() {
                return true;
            }
            if begun.elapsed() >= limit {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
    }
}
