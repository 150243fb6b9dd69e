//! One machine in the words of ssh_config(5), and the files that these name.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use machine_core::{Error, MachineName, MachineRef, Result, SshTarget};
use machine_files::{PRIVATE, write_whole};

use crate::app::App;

/// The pinned keys that OpenSSH reads, in a machine's folder.
const KNOWN_HOSTS: &str = "known_hosts";

/// Machines as hosts of OpenSSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshConfig {
    /// The text for ssh_config(5).
    pub text: String,
    /// Machines that have no address, because they do not run.
    pub off: Vec<MachineName>,
}

/// What OpenSSH needs to know of a machine.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) target: SshTarget,
    pub(crate) known_hosts: PathBuf,
}

impl Host {
    /// The name under which the host key is known: an address that another machine gets later is not that machine.
    fn alias(&self) -> String {
        format!("machine-{}", self.name)
    }

    /// The line of the file with the pinned key.
    fn known_hosts_line(&self) -> String {
        format!("{} {}\n", self.alias(), self.target.host_key)
    }

    /// A `Host` block.
    pub(crate) fn block(&self) -> Result<String> {
        let (key, known_hosts) = (word(&self.target.key)?, word(&self.known_hosts)?);
        let mut text = String::new();
        let lines = [
            ("Host", self.name.clone()),
            ("  HostName", self.target.address.ip().to_string()),
            ("  Port", self.target.address.port().to_string()),
            ("  User", self.target.user.clone()),
            ("  IdentityFile", key),
            ("  IdentitiesOnly", "yes".to_owned()),
            ("  HostKeyAlias", self.alias()),
            ("  UserKnownHostsFile", known_hosts),
            ("  StrictHostKeyChecking", "yes".to_owned()),
            // The file is ours, and says what was pinned.
            ("  UpdateHostKeys", "no".to_owned()),
        ];
        for (key, value) in lines {
            let _ = writeln!(text, "{key} {value}");
        }
        Ok(text)
    }
}

/// A path as ssh_config(5) takes it: `"` around spaces, `%%` for a `%`, `/` on Windows too.
///
/// # Errors
/// A path that cannot be said there.
pub(super) fn word(path: &Path) -> Result<String> {
    let refuse = |why: &str| {
        Err(Error::other(format!("the path {} cannot be written in an OpenSSH configuration: {why}", path.display()))
            .hint("keep machines elsewhere with --storage-path or MACHINE_STORAGE_PATH"))
    };
    let Some(text) = path.to_str() else { return refuse("it is not valid Unicode") };
    if text.contains(['"', '\n', '\r']) || text.contains("${") {
        return refuse("it has a character that is special there");
    }
    let text = if cfg!(windows) { text.replace('\\', "/") } else { text.replace('\\', "\\\\") };
    Ok(format!("\"{}\"", text.replace('%', "%%")))
}

impl App {
    /// Machines as hosts of OpenSSH: those that are named, else all that run. Writes the files that the text names.
    ///
    /// # Errors
    /// No such machine, or one that was named and does not run.
    pub fn ssh_config(&self, names: &[MachineName]) -> Result<SshConfig> {
        let mut config = SshConfig { text: String::new(), off: Vec::new() };
        for name in names {
            config.text.push_str(&self.ssh_host(name)?.block()?);
        }
        if !names.is_empty() {
            return Ok(config);
        }
        for name in self.names()? {
            // One that cannot be read is told by `ls`, and does not keep the others away.
            let Ok(name) = name.parse::<MachineName>() else { continue };
            match self.ssh_host(&name).and_then(|host| host.block()) {
                Ok(block) => config.text.push_str(&block),
                Err(error) => {
                    tracing::debug!(%name, %error, "no host for OpenSSH");
                    config.off.push(name);
                }
            }
        }
        Ok(config)
    }

    /// A running machine for OpenSSH, with the file of its pinned key.
    pub(crate) fn ssh_host(&self, name: &MachineName) -> Result<Host> {
        let record = self.store.load(name)?;
        self.check_login(&record)?;
        let dir = self.store.folder(name);
        let machine = MachineRef { record: &record, dir: &dir };
        let driver = self.driver(&record.driver)?;
        // Not `App::endpoints`, which looks after the supervisor of whatever it is asked for.
        let endpoints = driver.endpoints(machine).ok_or_else(|| Self::not_running(name))?;
        let target = driver.ssh_target(machine, endpoints);
        let host = Host { name: name.to_string(), target, known_hosts: self.store.folder(name).join(KNOWN_HOSTS) };
        let line = host.known_hosts_line();
        if std::fs::read_to_string(&host.known_hosts).ok().as_deref() != Some(line.as_str()) {
            write_whole(&host.known_hosts, line.as_bytes(), PRIVATE)?;
        }
        Ok(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_a_host_with_its_own_key_and_its_pinned_one() {
        let host = Host {
            name: "dev".into(),
            target: SshTarget {
                address: "127.0.0.1:2222".parse().unwrap(),
                user: "docker".into(),
                key: "/my store/100%/id".into(),
                host_key: "ssh-ed25519 AAAA".into(),
                machine: "dev".into(),
            },
            known_hosts: "/my store/100%/known_hosts".into(),
        };
        insta::assert_snapshot!(host.block().unwrap(), @r#"
        Host dev
          HostName 127.0.0.1
          Port 2222
          User docker
          IdentityFile "/my store/100%%/id"
          IdentitiesOnly yes
          HostKeyAlias machine-dev
          UserKnownHostsFile "/my store/100%%/known_hosts"
          StrictHostKeyChecking yes
          UpdateHostKeys no
        "#);
        assert_eq!(host.known_hosts_line(), "machine-dev ssh-ed25519 AAAA\n");
        for bad in ["/a\"b", "/a${HOME}", "/a\nb"] {
            assert!(word(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
