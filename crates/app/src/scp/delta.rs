//! By rsync, which sends only the parts of files that differ.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use machine_core::{Code, Error, Reporter, Result, ResultExt as _};
use machine_files::{PRIVATE, write_whole};
use machine_ssh::{Session, blocking};

use super::copy::{LOOK_LIMIT, ScpWords};
use super::words::Site;
use crate::app::App;

const CONNECT_LIMIT: Duration = Duration::from_secs(60);
/// For rsync's own ssh: the host with its pinned key, in the machine's folder.
const CONFIG: &str = "ssh_config";

impl App {
    pub(super) async fn delta(&self, from: &Site, to: &Site, words: ScpWords, reporter: &Reporter) -> Result<()> {
        let (machine, user) = match (from, to) {
            (Site::There { machine, user, .. }, Site::Here(_)) | (Site::Here(_), Site::There { machine, user, .. }) => {
                (machine, user)
            }
            (Site::There { .. }, Site::There { .. }) => {
                return Err(Error::new(Code::Usage, "rsync copies nothing from one machine to another")
                    .hint("leave --delta out, or copy it here first"));
            }
            (Site::Here(_), Site::Here(_)) => {
                return Err(Error::new(Code::Usage, "both paths are of this computer: neither names a machine"));
            }
        };
        let (rsync, ssh) = (self.program("rsync", "--delta")?, self.program("ssh", "--delta")?);
        let target = self.scp_target(machine, user.as_deref())?;
        let there = {
            let target = target.clone();
            blocking(move || Session::connect(&target, CONNECT_LIMIT)?.exec("command -v rsync >/dev/null", LOOK_LIMIT))
                .await?
        };
        if !there.status.success() {
            return Err(Error::other(format!("--delta needs `rsync` in machine {:?} too", machine.as_str()))
                .hint(format!("Debian, Ubuntu: `machine ssh {machine} -- sudo apt-get install -y rsync`"))
                .hint("or leave --delta out: with -r only files that differ are sent as well"));
        }
        let config = self.store.folder(machine).join(CONFIG);
        let host = self.ssh_host(machine)?;
        write_whole(&config, host.block()?.as_bytes(), PRIVATE)?;

        let mut command = tokio::process::Command::new(rsync);
        // -s: the far shell takes no word apart.
        command.arg("-s").arg(if words.recursive { "-rlpt" } else { "-Lpt" });
        command.arg(if words.quiet { "-q" } else { "--progress" });
        // rsync takes the words apart at spaces, with quotes and without backslashes (rsync(1), --rsh).
        let shell = format!("{} -F {} -l {}", quoted(&ssh)?, quoted(&config)?, target.user);
        command.args(["-e", &shell, "--"]);
        for site in [from, to] {
            match site {
                Site::There { machine, place, .. } => command.arg(format!("{machine}:{place}")),
                // Absolute, so that no name with a ':' is taken for a host.
                Site::Here(path) => command.arg(local(&self.environment.current, path)?),
            };
        }
        reporter.stage("copy", "Copying by rsync");
        command.stdin(Stdio::null()).stdout(words.output).kill_on_drop(true);
        let mut child = command.spawn().context(|| "cannot start rsync".into())?;
        let status = child.wait().await.context(|| "cannot wait for rsync".into())?;
        match status.code() {
            Some(0) => Ok(()),
            // rsync(1), EXIT VALUES.
            Some(23 | 24) => Err(Error::other("rsync left something out; it says what above")),
            Some(code) => Err(Error::other(format!("rsync failed with exit code {code}; it says why above"))),
            None => Err(Error::other("rsync was ended by a signal")),
        }
    }
}

fn local(current: &Path, path: &Path) -> Result<std::ffi::OsString> {
    if cfg!(windows) {
        // rsync's ports to Windows take `C:` for a host; a path of the present folder has none.
        let relative = path.to_string_lossy().replace('\\', "/");
        if path.is_absolute() || relative.contains(':') {
            return Err(Error::new(Code::Usage, format!("rsync does not understand {}", path.display()))
                .hint("go to that drive and folder first, and say the path from there"));
        }
        return Ok(format!("./{relative}").into());
    }
    // Not `join` alone: a '/' at the end, which means something to rsync, stays by it.
    Ok(current.join(path).into_os_string())
}

fn quoted(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) if !text.contains('"') => Ok(format!("\"{}\"", text.replace('\\', "/"))),
        _ => Err(Error::other(format!("rsync cannot be told of the path {}", path.display()))
            .hint("keep machines elsewhere with --storage-path or MACHINE_STORAGE_PATH")),
    }
}
