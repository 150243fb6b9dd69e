//! What is said on the host: kept in a file, reported line by line, and remembered for a failure.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use machine_core::{Error, Reporter, Result};

/// Lines that a failure shows.
const SHOWN: usize = 12;
/// What is remembered of one step for its diagnosis, bytes.
const REMEMBERED: usize = 256 << 10;

pub(crate) struct Transcript<'a> {
    file: File,
    path: PathBuf,
    reporter: &'a Reporter,
    partial: Vec<u8>,
    /// Of the present step.
    text: String,
    last: VecDeque<String>,
}

impl<'a> Transcript<'a> {
    /// A new one, in place of what is at `path`.
    pub(crate) fn begin(path: &Path, reporter: &'a Reporter) -> Result<Self> {
        let file = File::create(path)
            .map_err(|error| Error::other(format!("cannot write {}", path.display())).because(error))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            reporter,
            partial: Vec::new(),
            text: String::new(),
            last: VecDeque::new(),
        })
    }

    /// Begins a step.
    pub(crate) fn step(&mut self, id: &str, title: &str) {
        self.end_line();
        self.text.clear();
        self.last.clear();
        // A log that cannot be written is no reason to give up.
        let _ = writeln!(self.file, "== {id}: {title}");
    }

    /// Takes what came, in any pieces.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.keep(&line);
        }
        // A tool without line breaks must not fill the memory.
        if self.partial.len() > 64 << 10 {
            self.end_line();
        }
    }

    /// What has no line break at its end is a line too.
    pub(crate) fn end_line(&mut self) {
        let rest = std::mem::take(&mut self.partial);
        if !rest.is_empty() {
            self.keep(&rest);
        }
    }

    fn keep(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        // A progress bar overwrites itself: what it showed last counts. What a host says must not steer this terminal.
        let line = line.trim_end().rsplit('\r').next().unwrap_or_default();
        let line: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        let _ = writeln!(self.file, "{line}");
        if self.text.len() < REMEMBERED {
            self.text.push_str(&line);
            self.text.push('\n');
        }
        self.reporter.detail(line.as_str());
        if !line.trim().is_empty() {
            if self.last.len() == SHOWN {
                self.last.pop_front();
            }
            self.last.push_back(line);
        }
    }

    /// All that the present step said, as far as it is remembered.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The present step's last lines, for a hint.
    pub(crate) fn shown(&self) -> Option<String> {
        if self.last.is_empty() {
            return None;
        }
        let last: Vec<&str> = self.last.iter().map(String::as_str).collect();
        Some(format!("its last lines (all of them are in {}):\n{}", self.path.display(), last.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_in_any_pieces_becomes_lines_without_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let reporter = Reporter::silent();
        let mut transcript = Transcript::begin(&path, &reporter).unwrap();
        transcript.step("a", "A");
        for piece in ["on", "e\n10%\r", "100%\x1b[0m\nla", "st"] {
            transcript.take(piece.as_bytes());
        }
        transcript.end_line();
        assert_eq!(transcript.text(), "one\n100%[0m\nlast\n");
        assert!(transcript.shown().unwrap().ends_with("one\n100%[0m\nlast"));
        transcript.step("b", "B");
        assert!(transcript.text().is_empty() && transcript.shown().is_none());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "== a: A\none\n100%[0m\nlast\n== b: B\n");
    }
}
