//! `logs`: what a machine, its supervisor and its QEMU wrote.

use std::path::PathBuf;

use machine_core::{Code, Error, MachineName, Result};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::readiness::{Console, printable};
use crate::store;

/// Whose log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    /// The guest's serial console.
    Serial,
    /// The supervisor.
    Supervisor,
    /// QEMU's own messages.
    Qemu,
    /// Events, JSON lines.
    Events,
    /// What was said on the machine when it was last provisioned.
    Provision,
}

impl LogKind {
    fn file(self) -> &'static str {
        match self {
            Self::Serial => "serial.log",
            Self::Supervisor => "supervisor.log",
            Self::Qemu => "qemu.log",
            Self::Events => "events.jsonl",
            Self::Provision => crate::provision::TRANSCRIPT,
        }
    }
}

/// A log that is being followed.
pub struct Following(Console);

impl Following {
    /// The lines that came since the last call.
    pub fn new_lines(&mut self) -> Vec<String> {
        self.0.new_lines()
    }
}

impl App {
    fn log_path(&self, name: &MachineName, kind: LogKind) -> Result<PathBuf> {
        if !self.store.exists(name) {
            return Err(store::does_not_exist(name));
        }
        let path = self.store.folder(name).join(kind.file());
        if !path.exists() {
            let first = if kind == LogKind::Provision { "provision" } else { "start" };
            return Err(Error::new(Code::NotFound, format!("machine {:?} has no {} yet", name.as_str(), kind.file()))
                .hint(format!("it comes with the first `machine {first} {name}`")));
        }
        Ok(path)
    }

    /// The last `lines` lines of a log, control characters removed, and the means to follow it. The log that is meant when
    /// none is named is the supervisor's, or the last provisioning's of a host that has no supervisor.
    ///
    /// # Errors
    /// No such machine, or it has not written that log yet.
    pub fn log(&self, name: &MachineName, kind: Option<LogKind>, lines: usize) -> Result<(Vec<String>, Following)> {
        let is_local = || {
            let driver = self.store.load(name).and_then(|record| self.driver(&record.driver));
            driver.map_or(true, |driver| driver.capabilities().local)
        };
        let kind = kind.unwrap_or_else(|| if is_local() { LogKind::Supervisor } else { LogKind::Provision });
        let path = self.log_path(name, kind)?;
        let following = Following(Console::from_here(&path));
        let text = store::tail(&path, 8 << 20);
        let all: Vec<String> = text.lines().map(|line| printable(line.trim_end())).collect();
        let from = all.len().saturating_sub(lines);
        Ok((all[from..].to_vec(), following))
    }
}
