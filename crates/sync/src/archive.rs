//! What is sent, as a tar archive that is made while it is read.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};

use tar::{Builder, EntryType, Header};

use crate::entry::{Entry, Time};
use crate::local::LocalFolder;
use crate::place::Place;
use crate::report::Problem;
use crate::stop::Stop;

/// Permissions of what comes from a side that has none.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
/// Blocks of tar, bytes (POSIX.1-2024, pax: "ustar Interchange Format").
const BLOCK: u64 = 512;

/// Reads as an archive. Every name, link and time is in a pax record, which has no limits on them.
pub(crate) struct Archive<'a> {
    folder: &'a LocalFolder,
    entries: VecDeque<(Place, Entry)>,
    stop: &'a Stop,
    /// Bytes that come next.
    ready: VecDeque<u8>,
    open: Option<Open>,
    ended: bool,
    /// What of the files has been read, bytes.
    pub(crate) read: u64,
    /// What went, as it was when it was begun.
    pub(crate) sent: Vec<(Place, Entry)>,
    pub(crate) problems: Vec<Problem>,
    progress: &'a dyn Fn(u64),
}

/// A file on its way.
struct Open {
    file: File,
    place: Place,
    entry: Entry,
    /// What the archive was told would come and has not, bytes.
    left: u64,
}

impl<'a> Archive<'a> {
    pub(crate) fn of(
        folder: &'a LocalFolder,
        entries: Vec<(Place, Entry)>,
        stop: &'a Stop,
        progress: &'a dyn Fn(u64),
    ) -> Self {
        Self {
            folder,
            entries: entries.into(),
            stop,
            ready: VecDeque::new(),
            open: None,
            ended: false,
            read: 0,
            sent: Vec::new(),
            problems: Vec::new(),
            progress,
        }
    }

    /// Begins the next entry, or ends the archive.
    fn next(&mut self) -> io::Result<()> {
        let Some((place, entry)) = self.entries.pop_front() else {
            self.ended = true;
            // Two blocks of zeros.
            self.ready.resize(self.ready.len() + 2 * 512, 0);
            return Ok(());
        };
        let entry = match &entry {
            Entry::File { mode, .. } => match self.folder.open_file(&place) {
                Ok((file, Entry::File { mode: now, size, modified })) => {
                    let entry = Entry::File { mode: now.or(*mode), size, modified };
                    let left = size;
                    self.open = Some(Open { file, place: place.clone(), entry: entry.clone(), left });
                    entry
                }
                Ok(_) => return Ok(()),
                Err(error) => {
                    self.problems.push(Problem::new(&place, format!("cannot be read: {error}")));
                    return Ok(());
                }
            },
            other => other.clone(),
        };
        self.ready.extend(header(&place, &entry)?);
        if !matches!(entry, Entry::File { .. }) {
            self.sent.push((place, entry));
        }
        Ok(())
    }

    /// Ends the present file.
    fn close(&mut self, open: Open) -> io::Result<()> {
        let padding = (BLOCK - open.entry.size() % BLOCK) % BLOCK;
        self.ready.extend(std::iter::repeat_n(0, usize::try_from(padding).unwrap_or_default()));
        let metadata = open.file.metadata()?;
        let unchanged = match &open.entry {
            Entry::File { size, modified, .. } => {
                *size == metadata.len() && *modified == crate::system::time_of(metadata.modified()?)
            }
            _ => false,
        };
        if !unchanged {
            self.problems
                .push(Problem::new(&open.place, "it changed while it was copied; the next run copies it again"));
        }
        self.sent.push((open.place, open.entry));
        Ok(())
    }
}

impl Read for Archive<'_> {
    /// Fills the buffer: each piece becomes a packet, and packets are what costs time in an emulated machine.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.piece(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }
}

impl Archive<'_> {
    /// What comes next, as far as it is in one piece.
    fn piece(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        loop {
            if !self.ready.is_empty() {
                return self.ready.read(buffer);
            }
            let Some(open) = &mut self.open else {
                if self.ended {
                    return Ok(0);
                }
                self.next()?;
                continue;
            };
            let most = buffer.len().min(usize::try_from(open.left).unwrap_or(usize::MAX));
            if most == 0 {
                if let Some(open) = self.open.take() {
                    self.close(open)?;
                }
                continue;
            }
            let mut count = open.file.read(&mut buffer[..most])?;
            if count == 0 {
                // It has become shorter; the archive was told otherwise.
                buffer[..most].fill(0);
                count = most;
            }
            open.left -= count as u64;
            self.read += count as u64;
            (self.progress)(self.read);
            return Ok(count);
        }
    }
}

/// A pax record and a header for it.
fn header(place: &Place, entry: &Entry) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let path = [b"./", place.as_bytes()].concat();
    let mut records: Vec<(&str, &[u8])> = vec![("path", &path)];
    let mut header = Header::new_ustar();
    header.set_uid(0);
    header.set_gid(0);
    header.set_path("-")?;
    let time;
    match entry {
        Entry::Folder { mode } => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(mode.unwrap_or(FOLDER_MODE));
            header.set_size(0);
        }
        Entry::File { mode, size, modified } => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(mode.unwrap_or(FILE_MODE));
            header.set_size(*size);
            time = write_time(*modified);
            records.push(("mtime", time.as_bytes()));
        }
        Entry::Link { target } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            header.set_link_name("-")?;
            records.push(("linkpath", target));
        }
    }
    header.set_cksum();
    builder.append_pax_extensions(records)?;
    // Nothing of the content: that follows as it is read.
    builder.append(&header, io::empty())?;
    // Taken out before the builder writes an archive's end.
    Ok(std::mem::take(builder.get_mut()))
}

fn write_time(time: Time) -> String {
    if time.seconds < 0 && time.nanoseconds > 0 {
        return format!("{}.{:09}", NegativeWhole(time.seconds + 1), 1_000_000_000 - time.nanoseconds);
    }
    format!("{}.{:09}", time.seconds, time.nanoseconds)
}

/// The whole part of a negative number, which may be 0.
struct NegativeWhole(i64);

impl std::fmt::Display for NegativeWhole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "-{}", self.0.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::listing::read_time;

    proptest! {
        #[test]
        fn a_time_is_read_back_as_it_was_written(seconds in -5_000_000_000_i64..5_000_000_000, nanoseconds in 0_u32..1_000_000_000) {
            let time = Time { seconds, nanoseconds };
            prop_assert_eq!(read_time(&write_time(time)), Some(time));
        }
    }
}
