//! Folders served by virtiofsd: one process for each, for one run of QEMU.
//!
//! It takes one connection, QEMU's, and ends with it. So nobody has to end it, a supervisor that dies takes no folder away, and one
//! that was left before QEMU came ends when somebody connects and goes ([`dismiss`]).

use std::path::Path;

use machine_core::Result;

use crate::plan::FolderDaemon;

/// Starts the process of a folder. It listens when this returns; what it says is appended to `log`.
///
/// - The socket is its standard input: it is there, and connections wait, before the process is.
/// - `--sandbox namespace` (its default): nothing but the folder is there for it. It needs no privilege of ours: a user's own process
///   gets a user namespace with that one user in it (virtiofsd's README, "Running as non-root").
/// - `--translate-uid`, since 1.13: whoever makes a file in the guest, it is this user's, as by 9p and SFTP.
///
/// # Errors
/// A program that cannot be run.
#[cfg(unix)]
pub(crate) fn serve(daemon: &FolderDaemon, log: &Path) -> Result<()> {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixListener;

    use machine_core::ResultExt as _;

    let failed = || format!("cannot share {} by virtiofs ({})", daemon.folder.display(), daemon.program.display());
    dismiss(&daemon.socket);
    let listener = UnixListener::bind(&daemon.socket).context(failed)?;
    let output = crate::event_log::open_appending(log).context(failed)?;
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut command = tokio::process::Command::new(&daemon.program);
    command
        .arg("--shared-dir")
        .arg(&daemon.folder)
        .args(["--fd", "0", "--log-level", "error", "--sandbox", "namespace"])
        .args(["--translate-uid", &format!("squash-guest:0:{user}:{}", u32::MAX)])
        .args(["--translate-gid", &format!("squash-guest:0:{group}:{}", u32::MAX)])
        .args(daemon.read_only.then_some("--readonly"))
        .stdin(OwnedFd::from(listener))
        .stdout(output.try_clone().context(failed)?)
        .stderr(output)
        .process_group(0);
    let mut child = command.spawn().context(failed)?;
    let folder = daemon.folder.clone();
    tokio::spawn(async move {
        let ended = child.wait().await;
        tracing::info!(folder = %folder.display(), ?ended, "virtiofsd has ended");
    });
    Ok(())
}

/// Nothing plans one there.
#[cfg(not(unix))]
pub(crate) fn serve(daemon: &FolderDaemon, _log: &Path) -> Result<()> {
    Err(machine_core::Error::other(format!("{} cannot be shared by virtiofs here", daemon.folder.display())))
}

/// Ends the process at a socket that waits for a QEMU which never came, and removes the socket.
pub(crate) fn dismiss(socket: &Path) {
    #[cfg(unix)]
    drop(std::os::unix::net::UnixStream::connect(socket));
    // That it is not there is the rule; one that stays is told by whoever binds it.
    let _ = std::fs::remove_file(socket);
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    /// What the program is told, written down by one that is played; it takes one connection from its standard input as virtiofsd does.
    #[tokio::test]
    async fn the_process_gets_a_socket_that_listens_and_ends_when_somebody_came_and_went() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("virtiofsd");
        let played = "#!/usr/bin/env python3\nimport socket, sys\nopen('told', 'w').write('\\n'.join(sys.argv[1:]))\n\
                      client, _ = socket.socket(fileno=0).accept()\nclient.recv(1)\nopen('over', 'w').write('x')\n";
        std::fs::write(
            &program,
            played
                .replace("'told'", &format!("{:?}", dir.path().join("told")))
                .replace("'over'", &format!("{:?}", dir.path().join("over"))),
        )
        .unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let daemon =
            FolderDaemon { program, folder: "/home/a b".into(), read_only: true, socket: dir.path().join("fs0") };
        serve(&daemon, &dir.path().join("log")).unwrap();
        assert!(daemon.socket.exists(), "QEMU may connect at once");
        let there = |name: &'static str| {
            let path = dir.path().join(name);
            async move {
                while std::fs::read_to_string(&path).map_or(true, |text| text.is_empty()) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                std::fs::read_to_string(path).unwrap()
            }
        };
        let told = there("told").await;
        let words: Vec<&str> = told.lines().collect();
        assert_eq!(words[..4], ["--shared-dir", "/home/a b", "--fd", "0"]);
        assert!(words.contains(&"--readonly") && words.contains(&"namespace"), "{told}");
        dismiss(&daemon.socket);
        there("over").await;
        assert!(!daemon.socket.exists());
    }
}
