//! The ends of log files, and keeping them from growing for ever.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// From this size on a log is set aside at the next start, bytes.
const ROTATE_FROM: u64 = 5 << 20;
/// How much of the end of a log is looked at, bytes.
const TAIL: u64 = 16 << 10;

/// The size of a log, bytes; 0 when there is none.
pub(crate) fn length(log: &Path) -> u64 {
    log.metadata().map_or(0, |facts| facts.len())
}

/// At most the first 64 KiB of `log` from byte `from` on; empty when it cannot be read.
pub(crate) fn since(log: &Path, from: u64) -> Vec<u8> {
    read(log, SeekFrom::Start(from), 64 << 10)
}

/// The last lines of `log` that were written after byte `from`, without terminal control sequences and empty lines.
pub(crate) fn last_lines(log: &Path, from: u64, count: usize) -> Vec<String> {
    let start = from.max(length(log).saturating_sub(TAIL));
    let text = read(log, SeekFrom::Start(start), TAIL);
    let lines: Vec<String> =
        String::from_utf8_lossy(&text).split(['\n', '\r']).map(plain).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

/// The line with which a Linux kernel says that it has given up, if one is among `lines`.
pub(crate) fn kernel_panic(lines: &[String]) -> Option<&str> {
    let (line, at) = lines.iter().rev().find_map(|line| line.find("Kernel panic").map(|at| (line, at)))?;
    line.get(at..)
}

/// Sets `log` aside as `NAME.1` when it has become large. Nobody may be writing to it.
pub(crate) fn rotate(log: &Path) {
    if length(log) < ROTATE_FROM {
        return;
    }
    let mut aside = log.as_os_str().to_owned();
    aside.push(".1");
    if let Err(error) = std::fs::rename(log, &aside) {
        tracing::warn!(log = %log.display(), %error, "cannot set a large log aside");
    }
}

fn read(log: &Path, from: SeekFrom, most: u64) -> Vec<u8> {
    let mut text = Vec::new();
    let attempt = File::open(log).and_then(|mut file| {
        file.seek(from)?;
        file.take(most).read_to_end(&mut text)
    });
    if let Err(error) = attempt {
        tracing::debug!(log = %log.display(), %error, "no log to read");
    }
    text
}

/// A line as people read it: without colours and other control sequences (ECMA-48).
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' => {
                if characters.next() == Some('[') {
                    let _final_byte = characters.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_lines_of_this_run_are_shown_without_control_sequences() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("serial.log");
        assert_eq!(last_lines(&log, 0, 3), Vec::<String>::new());
        std::fs::write(&log, "an earlier run\n\u{1b}[2J\u{1b}[32mOK\u{1b}[0m one\r\n\r\ntwo\nthree\nfour").unwrap();
        assert_eq!(last_lines(&log, 15, 9), ["OK one", "two", "three", "four"]);
        assert_eq!(last_lines(&log, 0, 2), ["three", "four"]);
        assert_eq!(since(&log, 15 + 4), b"\x1b[32mOK\x1b[0m one\r\n\r\ntwo\nthree\nfour");
    }

    #[test]
    fn a_kernel_panic_is_recognised() {
        let lines =
            ["[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root".to_owned(), "[ 1.1] CPU: 0".to_owned()];
        assert_eq!(kernel_panic(&lines), Some("Kernel panic - not syncing: VFS: Unable to mount root"));
        assert_eq!(kernel_panic(&lines[1..]), None);
    }

    #[test]
    fn only_a_large_log_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("serial.log");
        rotate(&log);
        std::fs::write(&log, "small").unwrap();
        rotate(&log);
        assert_eq!(length(&log), 5);
        File::options().write(true).open(&log).unwrap().set_len(ROTATE_FROM).unwrap();
        rotate(&log);
        assert_eq!((length(&log), length(&dir.path().join("serial.log.1"))), (0, ROTATE_FROM));
    }

    proptest! {
        #[test]
        fn no_control_character_survives(line in "(\\PC|\u{1b}\\[?|[\u{0}-\u{1f}]){0,80}") {
            prop_assert!(!plain(&line).chars().any(char::is_control));
        }
    }
}
