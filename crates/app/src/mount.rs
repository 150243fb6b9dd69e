//! `mount`: a folder of a machine on this computer, by sshfs, as docker-machine's. (The other way round are shares.)

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use machine_core::{Code, Error, MachineName, Result, ResultExt as _};
use machine_files::{PRIVATE, write_whole};
use tokio::io::AsyncReadExt as _;

use crate::app::App;
use crate::sync::place_of;

/// How long sshfs may take to connect, and an unmounting to end.
const LIMIT: Duration = Duration::from_secs(60);
/// How long the last words of a program that failed may take to come.
const WORDS: Duration = Duration::from_secs(1);
/// For sshfs' own ssh: the host with its pinned key, in the machine's folder.
const CONFIG: &str = "ssh_config";

/// What `mount` was asked for, in the user's words.
#[derive(Clone, Debug)]
pub struct MountWords {
    /// `NAME:PATH`; without a name, of the machine `default`.
    pub source: String,
    /// The folder of this computer; the same path as in the machine when it is not said.
    pub folder: Option<String>,
    /// Take it away again.
    pub unmount: bool,
}

impl App {
    /// Mounts a folder of a machine, or takes it away; returns what was done, in a sentence.
    ///
    /// # Errors
    /// A machine that does not run, a folder that is not there, no sshfs on this computer, or what sshfs says.
    pub async fn mount(&self, words: MountWords) -> Result<String> {
        let (machine, place) = match place_of(&words.source)? {
            Some(site) => site,
            None => (self.resolve(None)?, words.source.clone()),
        };
        // What was a machine's may be taken away after it.
        if !words.unmount {
            self.store.load(&machine)?;
        }
        let folder = match (&words.folder, place.starts_with('/')) {
            (Some(folder), _) => self.environment.current.join(folder),
            (None, true) => PathBuf::from(&place),
            (None, false) => {
                return Err(Error::new(Code::Usage, format!("where on this computer shall {machine}:{place} be?"))
                    .hint(format!("`machine mount {machine}:{place} DIR`")));
            }
        };
        if words.unmount { self.unmount(&folder).await } else { self.mount_at(&machine, &place, &folder).await }
    }

    async fn mount_at(&self, machine: &MachineName, place: &str, folder: &Path) -> Result<String> {
        // docker-machine's text.
        let sshfs = self.program("sshfs", "`mount`").map_err(|error| {
            error.within("You must have a copy of the sshfs binary locally to use the mount feature")
        })?;
        let host = self.ssh_host(machine)?;
        if !folder.is_dir() {
            return Err(Error::new(Code::NotFound, format!("{}: there is no such folder", folder.display()))
                .hint(format!("make it first: mkdir -p {}", folder.display())));
        }
        let config = self.store.folder(machine).join(CONFIG);
        write_whole(&config, host.block()?.as_bytes(), PRIVATE)?;
        let mut command = tokio::process::Command::new(sshfs);
        command.arg("-F").arg(&config);
        // A machine that goes away must not leave whoever looks into the folder waiting for ever.
        command.args(["-o", "reconnect,ServerAliveInterval=15,ServerAliveCountMax=3,BatchMode=yes"]);
        command.arg(format!("{machine}:{place}")).arg(folder);
        let hint = "the folder in the machine has to be there, and its sshd has to serve SFTP";
        run(command, &format!("sshfs cannot mount {machine}:{place}")).await.map_err(|error| error.hint(hint))?;
        Ok(format!(
            "{machine}:{place} is at {} now; `machine mount -u` with the same words takes it away.",
            folder.display()
        ))
    }

    async fn unmount(&self, folder: &Path) -> Result<String> {
        // Whoever mounted it may: on Linux by FUSE's own program, of which there are two generations.
        let tools: &[(&str, &[&str])] = if cfg!(target_os = "linux") {
            &[("fusermount3", &["-u"]), ("fusermount", &["-u"])]
        } else {
            &[("umount", &[])]
        };
        let found = tools.iter().find_map(|(name, words)| Some((self.program(name, "").ok()?, words)));
        let Some((program, words)) = found else {
            return self.program(tools[0].0, "`mount -u`").map(|_| String::new());
        };
        let mut command = tokio::process::Command::new(program);
        command.args(*words).arg(folder);
        run(command, &format!("cannot unmount {}", folder.display()))
            .await
            .map_err(|error| error.hint("a program or shell that is in the folder keeps it; leave it and try again"))?;
        Ok(format!("{} is unmounted.", folder.display()))
    }
}

/// Runs a program to its end. What it leaves in the background (sshfs itself, and its ssh) is not waited for.
async fn run(mut command: tokio::process::Command, doing: &str) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context(|| doing.to_owned())?;
    let status = match tokio::time::timeout(LIMIT, child.wait()).await {
        Ok(status) => status.context(|| doing.to_owned())?,
        Err(_) => {
            return Err(Error::new(Code::TimedOut, format!("{doing}: it did not end within {} s", LIMIT.as_secs())));
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut words = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _whatever_came = tokio::time::timeout(WORDS, stderr.read_to_end(&mut words)).await;
    }
    let words = String::from_utf8_lossy(&words).into_owned();
    let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join(" | ");
    Err(Error::other(format!("{doing}: {}", if last.is_empty() { status.to_string() } else { last })))
}
