//! Which file is where: everything that a machine of this driver keeps.

use std::path::{Path, PathBuf};

use machine_core::{Error, Result, ResultExt};

use crate::plan::{MOST_FOLDERS, MachinePaths, folder_socket};
use crate::virtiofs;

/// The longest path that a Unix socket can have, bytes: `sun_path` without its end mark (Linux 108, macOS 104; QEMU and
/// Windows take Linux's).
pub(crate) const LONGEST_SOCKET: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// The files of one machine: its folder, and its sockets in a short private folder elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFiles {
    dir: PathBuf,
    runtime: PathBuf,
    token: String,
}

impl MachineFiles {
    /// The files of the machine in `dir`, known by `token`; sockets go below `runtime_dir`.
    pub fn new(dir: &Path, runtime_dir: &Path, token: &str) -> Self {
        Self { dir: dir.to_owned(), runtime: runtime_dir.join(short(token)), token: token.to_owned() }
    }

    /// What changes: the overlay on the image's disk.
    pub fn os_disk(&self) -> PathBuf {
        os_disk(&self.dir)
    }

    /// Containers, images and volumes.
    pub fn data_disk(&self) -> PathBuf {
        data_disk(&self.dir)
    }

    /// What tells the guest who it is; written by whoever creates the machine.
    pub fn seed(&self) -> PathBuf {
        self.dir.join("seed.img")
    }

    /// The seed disk of a start that leaves a warm state: a template's at first, then the machine's own.
    pub(crate) fn first_seed(&self) -> PathBuf {
        self.dir.join("first-seed.img")
    }

    /// There from the making of the disks until the machine is about to be somebody's: until then they may be made again.
    pub(crate) fn fresh_mark(&self) -> PathBuf {
        fresh_mark(&self.dir)
    }

    /// The serial console's output; appended.
    pub fn serial_log(&self) -> PathBuf {
        self.dir.join("serial.log")
    }

    /// What QEMU itself printed; appended.
    pub fn qemu_log(&self) -> PathBuf {
        self.dir.join("qemu.log")
    }

    /// What the supervisor did, as JSON lines.
    pub fn event_log(&self) -> PathBuf {
        self.dir.join("events.jsonl")
    }

    /// What the supervisor printed, where whoever launches it keeps that.
    pub fn supervisor_log(&self) -> PathBuf {
        self.dir.join("supervisor.log")
    }

    /// The facts of the present run ([`crate::RunFile`]).
    pub fn run(&self) -> PathBuf {
        run_file(&self.dir)
    }

    /// How the last run ended ([`crate::LastExit`]).
    pub fn last_exit(&self) -> PathBuf {
        last_exit(&self.dir)
    }

    /// The OS lock that makes a supervisor the only one.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("supervisor.lock")
    }

    /// The folder of the sockets.
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// QEMU's monitor.
    pub fn qmp_socket(&self) -> PathBuf {
        self.runtime.join("qmp")
    }

    /// The channel to the guest service.
    pub fn channel_socket(&self) -> PathBuf {
        self.runtime.join("channel")
    }

    /// The supervisor's control socket; a named pipe on Windows.
    pub fn control_socket(&self) -> PathBuf {
        if cfg!(windows) {
            PathBuf::from(format!(r"\\.\pipe\machine-{}", self.token))
        } else {
            self.runtime.join("control")
        }
    }

    /// The Docker socket: plain API of the machine's engine; a named pipe on Windows.
    pub fn docker_socket(&self) -> PathBuf {
        if cfg!(windows) {
            PathBuf::from(format!(r"\\.\pipe\machine-{}-docker", self.token))
        } else {
            self.runtime.join("docker.sock")
        }
    }

    /// The files that QEMU opens.
    pub fn for_qemu(&self) -> MachinePaths {
        MachinePaths {
            os_disk: self.os_disk(),
            data_disk: self.data_disk(),
            seed: self.seed(),
            serial_log: self.serial_log(),
            qmp_socket: self.qmp_socket(),
            channel_socket: self.channel_socket(),
            folder_socket: self.runtime.join("fs"),
            vars: None,
        }
    }

    /// Makes the folder of the sockets, for this user alone, or checks that it is.
    ///
    /// # Errors
    /// When it cannot be made, or somebody else may enter it.
    pub fn make_runtime(&self) -> Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.runtime).context(|| format!("cannot make the folder {}", self.runtime.display()))?;
        self.check_private()
    }

    #[cfg(unix)]
    fn check_private(&self) -> Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        let facts = std::fs::symlink_metadata(&self.runtime)
            .context(|| format!("cannot look at the folder {}", self.runtime.display()))?;
        if facts.is_dir() && facts.uid() == rustix::process::getuid().as_raw() && facts.mode() & 0o077 == 0 {
            return Ok(());
        }
        Err(Error::other(format!("the folder {} is not this user's alone", self.runtime.display()))
            .hint("remove it and try again"))
    }

    /// Windows: below the user's profile, which has its own access list.
    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "one signature on three systems")]
    fn check_private(&self) -> Result<()> {
        Ok(())
    }

    /// Removes the sockets and their folder.
    ///
    /// # Errors
    /// When something else than our sockets is in there, or it may not be removed.
    pub fn remove_runtime(&self) -> Result<()> {
        let mut sockets = vec![self.qmp_socket(), self.channel_socket()];
        if !cfg!(windows) {
            sockets.extend([self.control_socket(), self.docker_socket()]);
        }
        for number in 0..MOST_FOLDERS {
            let socket = folder_socket(&self.runtime.join("fs"), number);
            virtiofs::dismiss(&socket);
            sockets.push(socket);
        }
        for socket in sockets {
            gone(std::fs::remove_file(&socket)).context(|| format!("cannot remove the socket {}", socket.display()))?;
        }
        gone(std::fs::remove_dir(&self.runtime))
            .context(|| format!("cannot remove the folder {}", self.runtime.display()))
    }
}

/// Checks that the sockets of a machine below `runtime_dir` have paths that the system takes.
///
/// # Errors
/// With the length that there is too much.
pub(crate) fn check_socket_length(runtime_dir: &Path) -> Result<()> {
    let longest = MachineFiles::new(Path::new(""), runtime_dir, "0123456789ab").runtime().join("docker.sock");
    let length = longest.as_os_str().len();
    if length <= LONGEST_SOCKET {
        return Ok(());
    }
    Err(Error::new(
        machine_core::Code::PreCreate,
        format!(
            "the folder for sockets {} is too long: a socket there would have {length} bytes, {LONGEST_SOCKET} at most",
            runtime_dir.display()
        ),
    )
    .hint("choose a shorter one (on Linux, XDG_RUNTIME_DIR names it)"))
}

pub(crate) fn os_disk(dir: &Path) -> PathBuf {
    dir.join("os.qcow2")
}

/// An OS disk that is about to take the place of the present one.
pub(crate) fn next_os_disk(dir: &Path) -> PathBuf {
    dir.join("os.next.qcow2")
}

pub(crate) fn data_disk(dir: &Path) -> PathBuf {
    dir.join("data.qcow2")
}

pub(crate) fn fresh_mark(dir: &Path) -> PathBuf {
    dir.join("fresh")
}

pub(crate) fn run_file(dir: &Path) -> PathBuf {
    dir.join("run.json")
}

pub(crate) fn last_exit(dir: &Path) -> PathBuf {
    dir.join("last_exit.json")
}

/// The first characters of a token: enough to tell the machines of one user apart, few enough for a socket's path.
fn short(token: &str) -> String {
    token.chars().filter(char::is_ascii_alphanumeric).take(12).collect()
}

/// Removing what is not there has worked.
pub(crate) fn gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_too_long_for_sockets_is_refused_with_the_numbers() {
        check_socket_length(Path::new("/run/user/1000/machine")).unwrap();
        let error = check_socket_length(Path::new(&format!("/{}", "x".repeat(100)))).unwrap_err();
        assert!(error.to_string().contains("would have 126 bytes"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_may_enter_is_refused_and_ours_goes_without_a_trace() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let files = MachineFiles::new(dir.path(), dir.path(), "5f0c0b5e-aaaa-bbbb");
        assert_eq!(files.runtime(), dir.path().join("5f0c0b5eaaaa"));
        files.make_runtime().unwrap();
        files.make_runtime().unwrap();
        std::fs::set_permissions(files.runtime(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(files.make_runtime().unwrap_err().to_string().contains("not this user's alone"));
        std::fs::write(files.qmp_socket(), "").unwrap();
        files.remove_runtime().unwrap();
        files.remove_runtime().unwrap();
        assert!(!files.runtime().exists());
    }
}
