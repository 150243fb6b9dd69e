//! `workshop exec`: one command on all hosts, side by side.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use machine_core::{MachineName, Result};
use machine_ssh::{Session, Stream};

use crate::app::App;

/// How long a host may take to let us in.
const CONNECT: Duration = Duration::from_secs(20);
/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// The longest line that is waited for, bytes; what is longer is told in pieces.
const LONGEST: usize = 16 << 10;

/// A line that a host said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecLine {
    /// The host.
    pub host: MachineName,
    /// Whether it was said on standard error.
    pub is_error: bool,
    /// The line, without its end.
    pub text: String,
}

/// How the command ended on a host.
#[derive(Debug)]
pub struct ExecEnd {
    /// The host.
    pub host: MachineName,
    /// Its exit code; or why there is none.
    pub code: Result<i32>,
}

impl App {
    /// Runs a command by the shell of each host's login user, and hands on what they say, line by line.
    ///
    /// # Errors
    /// No such workshop. A host that cannot be reached is one of the ends.
    pub async fn exec_workshop(
        &self,
        name: &MachineName,
        command: &str,
        jobs: usize,
        sink: Arc<dyn Fn(ExecLine) + Send + Sync>,
    ) -> Result<Vec<ExecEnd>> {
        let workshop = self.workshop(name)?;
        let work = workshop.seats.iter().map(|seat| {
            let (host, sink, command) = (seat.host.clone(), Arc::clone(&sink), command.to_owned());
            let target = match self.store.load(&host) {
                Ok(record) if !workshop.has(&record) => Err(machine_core::Error::other("it is another machine")),
                Ok(_) => self.ssh_target(&host),
                Err(error) => Err(error),
            };
            async move {
                let code = match target {
                    Ok(target) => {
                        let host = host.clone();
                        machine_ssh::blocking(move || {
                            let mut session = Session::connect(&target, CONNECT)?;
                            let mut lines = [Lines::default(), Lines::default()];
                            let tell = |is_error: bool, text: String| {
                                sink(ExecLine { host: host.clone(), is_error, text });
                            };
                            let mut none = std::io::empty();
                            let status = session.exec_streaming(&command, &mut none, LIMIT, &mut |stream, bytes| {
                                let is_error = stream == Stream::Stderr;
                                lines[usize::from(is_error)].take(bytes, |text| tell(is_error, text));
                                Ok(())
                            })?;
                            for (is_error, rest) in [false, true].into_iter().zip(lines) {
                                rest.end(|text| tell(is_error, text));
                            }
                            Ok(status.code())
                        })
                        .await
                    }
                    Err(error) => Err(error),
                };
                ExecEnd { host, code }
            }
        });
        let mut ends: Vec<ExecEnd> = futures_util::stream::iter(work).buffer_unordered(jobs.max(1)).collect().await;
        ends.sort_by(|one, other| one.host.cmp(&other.host));
        Ok(ends)
    }
}

/// Bytes on their way to lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take(&mut self, bytes: &[u8], mut tell: impl FnMut(String)) {
        for byte in bytes {
            if *byte != b'\n' {
                self.0.push(*byte);
            }
            if *byte == b'\n' || self.0.len() >= LONGEST {
                tell(text(&std::mem::take(&mut self.0)));
            }
        }
    }

    fn end(self, mut tell: impl FnMut(String)) {
        if !self.0.is_empty() {
            tell(text(&self.0));
        }
    }
}

/// A line without what would move a terminal's cursor.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches('\r').chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines_and_the_last_one_needs_no_end() {
        let mut told = Vec::new();
        let mut lines = Lines::default();
        for piece in ["a", "b\r\nc\n", "\n\x1b[2Jd"] {
            lines.take(piece.as_bytes(), |line| told.push(line));
        }
        lines.end(|line| told.push(line));
        assert_eq!(told, ["ab", "c", "", "[2Jd"]);
        let mut long = Lines::default();
        let mut pieces = 0;
        long.take(&vec![b'x'; 3 * LONGEST], |_| pieces += 1);
        assert_eq!(pieces, 3, "a host that sends no line end does not fill the memory");
    }
}
