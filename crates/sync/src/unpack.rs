//! What comes from the machine, as a tar archive. Nothing of it is believed: only what was asked for is taken.

use std::io::{self, Read};

use machine_core::{Error, Result};

use crate::entry::{Entry, PERMISSIONS, Time};
use crate::listing::read_time;
use crate::place::Place;

/// Who takes what comes.
pub(crate) trait Arrival {
    /// Takes a file; `Ok` also when it could not be kept, which is told elsewhere.
    ///
    /// # Errors
    /// That of `content`, or that nobody asked for it.
    fn take(&mut self, place: Place, entry: Entry, content: &mut dyn Read) -> io::Result<()>;
}

/// How an archive ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// With its end.
    Whole,
    /// In the middle.
    CutShort,
}

/// Reads an archive to its end, or to where it is cut.
///
/// # Errors
/// What nobody asked for, and what is no archive.
pub(crate) fn unpack(archive: impl Read, arrival: &mut dyn Arrival) -> Result<Unpacked> {
    let mut archive = Watched { archive, ended: false };
    let result = (|| {
        let mut reader = tar::Archive::new(&mut archive);
        for entry in reader.entries()? {
            let mut entry = entry?;
            let (place, found) = described(&mut entry)?;
            arrival.take(place, found, &mut entry)?;
        }
        // What is behind the end: without it the other side would wait for somebody to take it.
        io::copy(&mut archive, &mut io::sink())
    })();
    match result {
        Ok(_) => Ok(Unpacked::Whole),
        Err(_) if archive.ended => Ok(Unpacked::CutShort),
        Err(error) => Err(Error::other("what the machine sends is not what it was asked for").because(error).hint(
            "the rest was not taken; `tar` in the machine is not GNU's, or somebody has put another in its place",
        )),
    }
}

/// An input of which it is known whether its end was met.
struct Watched<R> {
    archive: R,
    ended: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.archive.read(buffer);
        // A stream that is compressed says that it was cut.
        self.ended |= match &result {
            Ok(count) => *count == 0 && !buffer.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        };
        result
    }
}

fn described<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<(Place, Entry)> {
    let path = entry.path_bytes().into_owned();
    let path = path.strip_prefix(b"./").unwrap_or(&path).to_vec();
    let place = Place::new(path).map_err(io::Error::other)?;
    if !entry.header().entry_type().is_file() {
        return Err(io::Error::other(format!("{place} is not a file")));
    }
    let mode = entry.header().mode()? & PERMISSIONS;
    let whole = Time { seconds: entry.header().mtime()?.cast_signed(), nanoseconds: 0 };
    let mut exact = None;
    if let Some(records) = entry.pax_extensions()? {
        for record in records {
            let record = record?;
            if record.key_bytes() == b"mtime" {
                exact = record.value().ok().and_then(read_time);
            }
        }
    }
    Ok((place, Entry::File { mode: Some(mode), size: entry.size(), modified: exact.unwrap_or(whole) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Kept(Vec<(String, Vec<u8>)>);

    impl Arrival for Kept {
        fn take(&mut self, place: Place, _: Entry, content: &mut dyn Read) -> io::Result<()> {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            self.0.push((place.to_string(), bytes));
            Ok(())
        }
    }

    fn archive(path: &[u8], kind: tar::EntryType) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_size(3);
        header.set_mtime(7);
        if kind == tar::EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, &b"abc"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn an_archive_with_anything_but_files_below_the_folder_is_refused() {
        let mut kept = Kept(Vec::new());
        assert_eq!(unpack(&*archive(b"./a/b", tar::EntryType::Regular), &mut kept).unwrap(), Unpacked::Whole);
        assert_eq!(kept.0, [("a/b".to_owned(), b"abc".to_vec())]);
        for (path, kind) in [
            (&b"../a"[..], tar::EntryType::Regular),
            (b"/etc/passwd", tar::EntryType::Regular),
            (b"./a/../../b", tar::EntryType::Regular),
            (b"./a", tar::EntryType::Symlink),
            (b"./a", tar::EntryType::Link),
            (b"./a", tar::EntryType::Char),
            (b"./a", tar::EntryType::Directory),
        ] {
            let mut kept = Kept(Vec::new());
            assert!(unpack(&*archive(path, kind), &mut kept).is_err(), "{path:?} {kind:?}");
            assert!(kept.0.is_empty());
        }
    }

    #[test]
    fn an_archive_that_is_cut_is_known_to_be() {
        let whole = archive(b"./a", tar::EntryType::Regular);
        for length in [100, 512, 514] {
            let unpacked = unpack(&whole[..length], &mut Kept(Vec::new())).unwrap();
            assert_eq!(unpacked, Unpacked::CutShort, "{length}");
        }
    }
}
