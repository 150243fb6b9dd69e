//! A step of provisioning: data, so that it can be shown, tested and repeated.

use std::fmt;
use std::time::Duration;

use machine_ssh::quote;
use sha2::Digest as _;

/// A file that shall be there, whole, root's.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Its path.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// Its content.
    pub text: String,
    /// Whether the content is not to be shown.
    pub secret: bool,
    /// Whether the engine reads it only when it starts.
    pub restarts: bool,
}

/// What a step does.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// Runs a script of a POSIX shell as root.
    Run(String),
    /// Writes files, those that differ.
    Write(Vec<File>),
    /// Logs in anew and runs a command as the login user: membership of a group needs a new login.
    FreshLogin(String),
}

/// A step.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// A stable word for programs.
    pub id: &'static str,
    /// What a person reads.
    pub title: String,
    /// A script that root runs: its success says that there is nothing to do. Files are compared by themselves.
    pub satisfied_by: Option<String>,
    /// What is done otherwise.
    pub action: Action,
    /// What a person can do when it fails.
    pub hint: Option<String>,
    /// How long it may take.
    pub limit: Duration,
}

/// Where the files lie that say that the engine has to start anew. Not on a disk: a reboot starts it anyway.
pub(crate) const CHANGED: &str = "/run/machine-engine.changed";

impl File {
    /// A file that everybody may read and that the engine reads at its start.
    pub(crate) fn new(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), mode: 0o644, text: text.into(), secret: false, restarts: true }
    }

    /// The same, for root alone and not to be shown.
    pub(crate) fn secret(path: &str, text: impl Into<String>) -> Self {
        Self { mode: 0o600, secret: true, ..Self::new(path, text) }
    }

    /// The same, of no concern to a running engine.
    pub(crate) fn without_restart(self) -> Self {
        Self { restarts: false, ..self }
    }

    /// SHA-256 of the content, hexadecimal.
    pub(crate) fn digest(&self) -> String {
        sha2::Sha256::digest(self.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The script that says whether the file is there as it shall be.
    pub(crate) fn is_there(&self) -> String {
        let (path, mode, digest) = (quote(&self.path), self.mode, self.digest());
        format!(
            "[ \"$(stat -c %a {path} 2>/dev/null)\" = {mode:o} ] && [ \"$(sha256sum <{path} | cut -c 1-64)\" = {digest} ]"
        )
    }

    /// What is to be done before it is written.
    pub(crate) fn preparation(&self) -> String {
        let folder = self.path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let mark = if self.restarts { format!(": >{CHANGED}\n") } else { String::new() };
        // The folder may hold files that others read: certs.d, trust stores.
        format!("set -e\numask 022\nmkdir -p {}\n{mark}", quote(folder))
    }
}

impl Step {
    /// The script that says whether there is nothing to do; none for a step that is always done.
    pub(crate) fn check(&self) -> Option<String> {
        match &self.action {
            Action::Write(files) => Some(files.iter().map(File::is_there).collect::<Vec<_>>().join(" && ")),
            _ => self.satisfied_by.clone(),
        }
    }
}

impl fmt::Display for Step {
    /// All of it, for golden files and `--plan --verbose`; secrets are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} ({} s)", self.id, self.title, self.limit.as_secs())?;
        if let (Some(check), Action::Run(_)) = (&self.satisfied_by, &self.action) {
            check.lines().try_for_each(|line| writeln!(f, "  ? {line}"))?;
        }
        match &self.action {
            Action::Run(script) => script.lines().try_for_each(|line| writeln!(f, "  # {line}"))?,
            Action::FreshLogin(command) => writeln!(f, "  $ {command}")?,
            Action::Write(files) => {
                for file in files {
                    writeln!(f, "  > {} {:o}", file.path, file.mode)?;
                    if file.secret {
                        writeln!(f, "    (a secret)")?;
                    } else {
                        file.text.lines().try_for_each(|line| writeln!(f, "    {line}"))?;
                    }
                }
            }
        }
        match &self.hint {
            Some(hint) => writeln!(f, "  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
