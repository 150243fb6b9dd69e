//! Requests, done.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::ReadDir;
use machine_files::to_guest;

use super::failure::Failure;
use super::folder::Folder;
use super::names;
use super::session::{Handle, Session};
use super::wire::{Attributes, LONGEST_READ, OpenFlags, Replies, Request, Status};

/// What one connection may have open; more than any program has, and less than this process may.
const MOST_HANDLES: usize = 4096;

/// Entries of one answer to READDIR, and bytes of their names, each of which is said twice: `sshfs` takes 128 KiB.
const ENTRIES: usize = 128;
const NAMES: usize = 32 * 1024;

/// A folder that is being listed.
pub(super) struct Listing {
    folder: Arc<Folder>,
    /// `.` and `..` come first.
    own: Option<Attributes>,
    entries: ReadDir,
    /// What came after the entries of the last answer.
    failed: Option<std::io::Error>,
}

/// Does a request and adds its answer.
pub(super) fn answer(session: &mut Session, id: u32, request: Option<Request<'_>>, replies: &mut Replies) {
    let Some(request) = request else {
        return replies.status(id, Status::BadMessage, "a request that makes no sense");
    };
    if let Err(failure) = carry_out(session, id, request, replies) {
        replies.status(id, failure.status, &failure.why);
    }
}

fn carry_out(session: &mut Session, id: u32, request: Request<'_>, replies: &mut Replies) -> Result<(), Failure> {
    let on = |path: &[u8]| -> Result<(Arc<Folder>, PathBuf), Failure> {
        let (folder, components) = session.exports.resolve(path)?;
        let place = folder.place(&components)?;
        Ok((folder, place))
    };
    match request {
        Request::Open { path, flags, attributes } => {
            let (folder, place) = on(path)?;
            let file = folder.open_file(&place, flags, attributes)?;
            let append = flags.has(OpenFlags::APPEND);
            let handle = session.keep(Handle::File { folder, place, file, append })?;
            replies.handle(id, handle);
            return Ok(());
        }
        Request::Close { handle } => {
            let number = number(handle)?;
            session.handles.remove(&number).ok_or_else(unknown_handle)?;
        }
        Request::Read { handle, offset, length } => {
            let (_, file, _) = session.file(handle)?;
            let length = length.min(LONGEST_READ) as usize;
            if replies.data(id, length, |buffer| read_at(file, buffer, offset))? == 0 {
                replies.status(id, Status::EndOfFile, "end of file");
            }
            return Ok(());
        }
        Request::Write { handle, offset, data } => {
            let (folder, file, append) = session.file_to_change(handle)?;
            folder.write(file, data, if append { None } else { Some(offset) })?;
        }
        Request::Status { path, follow } => {
            let (folder, place) = on(path)?;
            replies.attributes(id, &folder.status(&place, follow)?);
            return Ok(());
        }
        Request::HandleStatus { handle } => {
            let (folder, file, _) = session.file(handle)?;
            replies.attributes(id, &folder.handle_status(file)?);
            return Ok(());
        }
        Request::Change { path, attributes } => {
            let (folder, place) = on(path)?;
            folder.change(&place, attributes)?;
        }
        Request::HandleChange { handle, attributes } => {
            let (folder, file, _) = session.file_to_change(handle)?;
            folder.handle_change(file, attributes)?;
        }
        Request::OpenFolder { path } => {
            let (folder, place) = on(path)?;
            let own = Some(folder.status(&place, false)?);
            let entries = folder.entries(&place)?;
            let handle = session.keep(Handle::Folder(Box::new(Listing { folder, own, entries, failed: None })))?;
            replies.handle(id, handle);
            return Ok(());
        }
        Request::ReadFolder { handle } => {
            let Some(Handle::Folder(listing)) = session.handles.get_mut(&number(handle)?) else {
                return Err(unknown_handle());
            };
            let names = listing.next()?;
            if names.is_empty() {
                replies.status(id, Status::EndOfFile, "no more entries");
            } else {
                replies.names(id, &names);
            }
            return Ok(());
        }
        Request::Remove { path } => {
            let (folder, place) = on(path)?;
            folder.remove_file(below(&place)?)?;
        }
        Request::MakeFolder { path, attributes } => {
            let (folder, place) = on(path)?;
            folder.make_folder(&place, attributes)?;
        }
        Request::RemoveFolder { path } => {
            let (folder, place) = on(path)?;
            folder.remove_folder(below(&place)?)?;
        }
        Request::RealPath { path } => {
            let mut plain = Vec::new();
            for component in names::components(path)? {
                plain.push(b'/');
                plain.extend_from_slice(component);
            }
            if plain.is_empty() {
                plain.push(b'/');
            }
            replies.names(id, &[(plain, Attributes::default())]);
            return Ok(());
        }
        Request::Rename { from, to, replace } => {
            let ((folder, from), (other, to)) = (on(from)?, on(to)?);
            together(&folder, &other)?;
            folder.rename(below(&from)?, below(&to)?, replace)?;
        }
        Request::ReadLink { path } => {
            let (folder, place) = on(path)?;
            replies.names(id, &[(folder.read_link(&place)?, Attributes::default())]);
            return Ok(());
        }
        Request::Link { target, path } => {
            let (folder, place) = on(path)?;
            folder.link(target, below(&place)?)?;
        }
        Request::HardLink { from, to } => {
            let ((folder, from), (other, to)) = (on(from)?, on(to)?);
            together(&folder, &other)?;
            folder.hard_link(below(&from)?, below(&to)?)?;
        }
        Request::FileSystem { path } => {
            let (folder, _) = on(path)?;
            replies.file_system(id, folder.file_system()?);
            return Ok(());
        }
        Request::Flush { handle } => {
            let (_, file, _) = session.file(handle)?;
            file.sync_all()?;
        }
        Request::Unknown => {
            return Err(Failure { status: Status::Unsupported, why: "not known here".into() });
        }
    }
    replies.status(id, Status::Ok, "");
    Ok(())
}

/// Not the shared folder itself: that is the user's.
fn below(place: &Path) -> Result<&Path, Failure> {
    if place == Path::new(".") { Err(Failure::refused("the shared folder itself stays")) } else { Ok(place) }
}

fn together(one: &Arc<Folder>, other: &Arc<Folder>) -> Result<(), Failure> {
    if Arc::ptr_eq(one, other) { Ok(()) } else { Err(Failure::failed("from one shared folder to another")) }
}

fn unknown_handle() -> Failure {
    Failure::failed("a handle that is not open")
}

fn number(handle: &[u8]) -> Result<u32, Failure> {
    handle.try_into().map(u32::from_be_bytes).map_err(|_| unknown_handle())
}

impl Session {
    fn keep(&mut self, handle: Handle) -> Result<u32, Failure> {
        if self.handles.len() >= MOST_HANDLES {
            return Err(Failure::failed(format!("{MOST_HANDLES} files are open already")));
        }
        // Numbers come again after four thousand million: one that is still open is passed over.
        while self.handles.contains_key(&self.next_handle) {
            self.next_handle = self.next_handle.wrapping_add(1);
        }
        let number = self.next_handle;
        self.next_handle = number.wrapping_add(1);
        self.handles.insert(number, handle);
        Ok(number)
    }

    fn file(&self, handle: &[u8]) -> Result<(&Arc<Folder>, &File, bool), Failure> {
        match self.handles.get(&number(handle)?) {
            Some(Handle::File { folder, file, append, .. }) => Ok((folder, file, *append)),
            _ => Err(unknown_handle()),
        }
    }

    /// As [`file`](Self::file), and the change is noted as one of the guest's.
    fn file_to_change(&self, handle: &[u8]) -> Result<(&Arc<Folder>, &File, bool), Failure> {
        if let Some(Handle::File { folder, place, .. }) = self.handles.get(&number(handle)?) {
            folder.signs.note(place);
        }
        self.file(handle)
    }
}

impl Listing {
    /// The next entries; none at the end. A listing that breaks off is no whole one: programs delete what is not in it.
    fn next(&mut self) -> std::io::Result<Vec<(Vec<u8>, Attributes)>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let (mut names, mut bytes) = (Vec::new(), 0);
        if let Some(own) = self.own.take() {
            names.push((b".".to_vec(), own));
            names.push((b"..".to_vec(), own));
        }
        while names.len() < ENTRIES && bytes < NAMES {
            match self.entries.next() {
                None => break,
                Some(Err(error)) if names.is_empty() => return Err(error),
                Some(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                Some(Ok(entry)) => {
                    let shown = match entry.metadata() {
                        Ok(metadata) => self.folder.shown(&metadata),
                        // One that vanishes meanwhile is not there.
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                        // Whoever wants to know more asks for it, and is told why not.
                        Err(_) => Attributes::default(),
                    };
                    if let Some(name) = to_guest(&entry.file_name()) {
                        bytes += name.len();
                        names.push((name, shown));
                    }
                }
            }
        }
        Ok(names)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    use std::os::unix::fs::FileExt as _;
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset.saturating_add(read as u64)) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // What was read before it counts; the next request meets the error again.
            Err(_) if read > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    use std::os::windows::fs::FileExt as _;
    let mut read = 0;
    while read < buffer.len() {
        match file.seek_read(&mut buffer[read..], offset.saturating_add(read as u64)) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(_) if read > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
