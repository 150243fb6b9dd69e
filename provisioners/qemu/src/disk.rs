//! `qemu-img`, in one place.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use machine_core::{Code, Error, Result, ResultExt};
use serde::Deserialize;
use tokio::process::Command;

use crate::qemu_command;

/// How long `qemu-img` may take: none of these calls copies data.
const LIMIT: Duration = Duration::from_secs(60);

/// What `qemu-img info` says of a disk file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskInfo {
    /// `qcow2`, `raw`, ...
    pub format: String,
    /// The size that a guest sees, bytes.
    pub virtual_size: u64,
    /// What it takes here, bytes.
    #[serde(default)]
    pub actual_size: u64,
    /// The file that it is an overlay of.
    #[serde(default)]
    pub backing_filename: Option<PathBuf>,
}

/// The program `qemu-img`.
#[derive(Clone, Debug)]
pub struct DiskTool {
    program: PathBuf,
}

impl DiskTool {
    /// The one at `program`.
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Makes `overlay`, a thin qcow2 disk that reads from `base` what was not written to it. `base` is never written.
    ///
    /// # Errors
    /// What `qemu-img` says, with a hint for a full or read-only disk.
    pub async fn create_overlay(&self, base: &Path, base_format: &str, overlay: &Path) -> Result<()> {
        let base = absolute(base)?;
        let arguments = ["create", "-q", "-f", "qcow2", "-F", base_format, "-b"];
        let mut command = self.command(&arguments);
        command.arg(base).arg(absolute(overlay)?);
        self.run(command, "make the disk", overlay).await.map(drop)
    }

    /// Makes `disk`, an empty qcow2 disk of `mib` MiB that takes space only as it fills.
    ///
    /// # Errors
    /// As [`DiskTool::create_overlay`].
    pub async fn create_empty(&self, disk: &Path, mib: u64) -> Result<()> {
        let mut command = self.command(&["create", "-q", "-f", "qcow2", "-o", "preallocation=off"]);
        command.arg(absolute(disk)?).arg(format!("{mib}M"));
        self.run(command, "make the disk", disk).await.map(drop)
    }

    /// Grows the qcow2 disk `disk` to `mib` MiB; one that is larger already is left as it is. No QEMU may run on it.
    ///
    /// # Errors
    /// As [`DiskTool::create_overlay`].
    pub async fn grow(&self, disk: &Path, mib: u64) -> Result<()> {
        if self.info(disk).await?.virtual_size >= mib.saturating_mul(1 << 20) {
            return Ok(());
        }
        let mut command = self.command(&["resize", "-q", "-f", "qcow2"]);
        command.arg(absolute(disk)?).arg(format!("{mib}M"));
        self.run(command, "grow the disk", disk).await.map(drop)
    }

    /// Makes `base` the disk that `overlay` reads from, whatever it named before; that is not opened (`-u`).
    ///
    /// # Errors
    /// As [`DiskTool::create_overlay`].
    pub async fn rebase(&self, overlay: &Path, base: &Path, base_format: &str) -> Result<()> {
        let mut command = self.command(&["rebase", "-q", "-u", "-f", "qcow2", "-F", base_format, "-b"]);
        command.arg(absolute(base)?).arg(absolute(overlay)?);
        self.run(command, "rebase the disk", overlay).await.map(drop)
    }

    /// Looks at `disk`, also while a QEMU runs on it.
    ///
    /// # Errors
    /// As [`DiskTool::create_overlay`].
    pub async fn info(&self, disk: &Path) -> Result<DiskInfo> {
        let mut command = self.command(&["info", "--force-share", "--output=json"]);
        command.arg(absolute(disk)?);
        let output = self.run(command, "look at the disk", disk).await?;
        parse_info(&output.stdout).context(|| format!("cannot understand what qemu-img says of {}", disk.display()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::from(qemu_command::command(&self.program, arguments));
        command.kill_on_drop(true);
        command
    }

    async fn run(&self, mut command: Command, what: &str, disk: &Path) -> Result<Output> {
        let failed = || format!("cannot {what} {}", disk.display());
        let output = tokio::time::timeout(LIMIT, command.output())
            .await
            .map_err(|_| Error::new(Code::TimedOut, format!("{}: qemu-img took more than {LIMIT:?}", failed())))?
            .map_err(|error| {
                Error::other(format!("cannot run {}", self.program.display()))
                    .because(error)
                    .hint("install QEMU's disk tools (Debian, Ubuntu: qemu-utils)")
            })
            .context(failed)?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(refusal(failed(), &said))
    }
}

/// What `qemu-img` refused, with what to do where that is known (the texts are strerror's in the C locale).
fn refusal(failed: String, said: &str) -> Error {
    let error = Error::other(failed).because(said.trim().trim_start_matches("qemu-img: "));
    if said.contains("No space left on device") {
        return error.hint("the disk is full: free some space there, or keep machines elsewhere with --storage-path");
    }
    if said.contains("Read-only file system") || said.contains("Permission denied") {
        return error.hint("the folder may not be written: keep machines elsewhere with --storage-path");
    }
    error
}

/// Absolute paths are never taken for a protocol: QEMU looks for a colon before the first slash only.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).context(|| format!("cannot make {} absolute", path.display()))
}

fn parse_info(text: &[u8]) -> serde_json::Result<DiskInfo> {
    serde_json::from_slice(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_answer_of_qemu_img_is_read() {
        let text = br#"{"children": [], "backing-filename-format": "qcow2", "virtual-size": 21474836480,
            "filename": "os.qcow2", "cluster-size": 65536, "format": "qcow2", "actual-size": 200704,
            "backing-filename": "/a, b/base.qcow2", "dirty-flag": false}"#;
        let info = parse_info(text).unwrap();
        assert_eq!((info.format.as_str(), info.virtual_size, info.actual_size), ("qcow2", 21_474_836_480, 200_704));
        assert_eq!(info.backing_filename, Some("/a, b/base.qcow2".into()));
    }

    #[test]
    fn a_full_and_a_read_only_disk_are_named_with_a_hint() {
        let full = refusal("cannot make the disk a".into(), "qemu-img: a: Could not write: No space left on device\n");
        assert_eq!(full.to_string(), "cannot make the disk a: a: Could not write: No space left on device");
        assert!(full.hints()[0].contains("full"));
        assert!(refusal(String::new(), "a: Read-only file system").hints()[0].contains("may not be written"));
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(text: Vec<u8>) {
            let _ = parse_info(&text);
        }
    }
}
