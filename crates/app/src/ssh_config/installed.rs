//! The file of ours that the user's configuration includes. Once it is there it follows the machines: it is written anew wherever their
//! Docker contexts are, and when one is removed.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use machine_core::{Error, MachineName, Reporter, Result, ResultExt as _};
use machine_files::{PRIVATE, make_private_folder, write_whole};

use super::host::word;
use super::include;
use crate::app::App;

const LOCK: &str = "_ssh-config";
/// How long another process may be at it: it reads records and writes two small files.
const PATIENCE: Duration = Duration::from_secs(10);

impl App {
    fn ssh_config_file(&self) -> PathBuf {
        self.environment.store.join("ssh_config")
    }

    /// The user's own configuration; where it is a link, what that leads to.
    fn own_ssh_config(&self) -> Result<PathBuf> {
        let home = self.environment.home.as_ref().ok_or_else(|| {
            Error::other("no home folder is known, so there is no ~/.ssh/config")
                .hint("`machine ssh-config` prints the text, for `ssh -F`")
        })?;
        let path = home.join(".ssh").join("config");
        Ok(fs::canonicalize(&path).unwrap_or(path))
    }

    /// Makes OpenSSH know the machines by their names, from now on. Returns the user's file, which now includes ours.
    ///
    /// # Errors
    /// A file that cannot be read or written; it is then as it was.
    pub fn install_ssh_config(&self) -> Result<PathBuf> {
        let _lock = self.store.lock_file(LOCK, PATIENCE)?;
        self.write_ssh_config()?;
        self.change_own_ssh_config(include::with)
    }

    /// Takes that back. Returns the user's file.
    ///
    /// # Errors
    /// A file that cannot be read or written; it is then as it was.
    pub fn uninstall_ssh_config(&self) -> Result<PathBuf> {
        let _lock = self.store.lock_file(LOCK, PATIENCE)?;
        // The line first: it must not lead to a file that is not there.
        let own = self.change_own_ssh_config(include::without)?;
        let file = self.ssh_config_file();
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context(|| format!("cannot remove {}", file.display()))
            }
            _ => Ok(own),
        }
    }

    /// Writes the file anew, if it is installed. A failure is a warning: the machine itself works.
    pub(crate) fn refresh_ssh_config(&self, reporter: &Reporter) {
        if !self.ssh_config_file().exists() {
            return;
        }
        let written = self.store.lock_file(LOCK, PATIENCE).and_then(|_lock| {
            // Another one may have uninstalled it meanwhile.
            if self.ssh_config_file().exists() { self.write_ssh_config() } else { Ok(()) }
        });
        if let Err(error) = written {
            reporter.warn(format!("`ssh` does not know the machines as they are now: {error}"));
        }
    }

    fn write_ssh_config(&self) -> Result<()> {
        let config = self.ssh_config(&[])?;
        let off: Vec<&str> = config.off.iter().map(MachineName::as_str).collect();
        let mut text = "# Written by `machine`, which writes it anew: changes to it are lost.\n".to_owned();
        if !off.is_empty() {
            text.push_str(&format!("# Not running, here again when started: {}\n", off.join(" ")));
        }
        text.push_str(&config.text);
        write_whole(&self.ssh_config_file(), text.as_bytes(), PRIVATE)
    }

    fn change_own_ssh_config(&self, change: fn(&str, &str) -> String) -> Result<PathBuf> {
        let path = self.own_ssh_config()?;
        let before = match fs::read(&path) {
            Ok(bytes) => Some(String::from_utf8(bytes).map_err(|_| {
                Error::other(format!("{} is not text (UTF-8): it is left alone", path.display()))
                    .hint("put this line at its top yourself: Include STORE/ssh_config")
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).context(|| format!("cannot read {}", path.display())),
        };
        let after = change(before.as_deref().unwrap_or_default(), &word(&self.ssh_config_file())?);
        match (&before, after.is_empty()) {
            (Some(before), _) if *before == after => {}
            (None, true) => {}
            (Some(_), true) => fs::remove_file(&path).context(|| format!("cannot remove {}", path.display()))?,
            _ => {
                if let Some(folder) = path.parent() {
                    make_private_folder(folder)?;
                }
                write_whole(&path, after.as_bytes(), mode_of(&path))?;
            }
        }
        Ok(path)
    }
}

/// As it is; OpenSSH wants nobody else to write to it.
#[cfg(unix)]
fn mode_of(path: &std::path::Path) -> u32 {
    fs::metadata(path).map_or(PRIVATE, |found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o755)
}

#[cfg(not(unix))]
fn mode_of(_: &std::path::Path) -> u32 {
    PRIVATE
}
