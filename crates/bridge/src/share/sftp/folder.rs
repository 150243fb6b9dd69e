//! One folder of this computer, and nothing outside it.
//!
//! Every operation goes through `cap-std`, which resolves each path from the open folder down and refuses what leads out, be it by
//! `..`, by a symbolic link, or by one that is put there at that very moment (`openat2` with `RESOLVE_BENEATH` on Linux, component
//! by component elsewhere). Symbolic links themselves are shown and made as they are: the guest's kernel follows them, in the guest.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _, SystemTimeSpec};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions, ReadDir};
use machine_core::{Code, Error, Result, ResultExt as _};

use super::attributes;
use super::failure::Failure;
use super::names;
use super::owners::{FileId, Owners};
use super::signs::{Signs, is_away, is_sign};
use super::system::{
    folder_maker, folds_case, in_one_form, make_link, not_more_open_than, set_file_mode, set_mode, without_waiting,
    write_all_at,
};
use super::troubles::Troubles;
use super::wire::{Attributes, OpenFlags};

/// What a machine may do with a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read, and nothing else.
    Read,
    /// Read and write.
    ReadWrite,
}

/// A folder that a machine sees.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    dir: Dir,
    access: Access,
    /// Upper and lower case are the same here.
    folds_case: bool,
    owners: Owners,
    troubles: Troubles,
    pub(in crate::share) signs: Signs,
}

impl Folder {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// No folder there, or one that may not be read.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        let cannot = || format!("cannot share {}", path.display());
        if !path.is_dir() {
            return Err(Error::new(Code::NotFound, format!("{} is not a folder", path.display())));
        }
        let dir = Dir::open_ambient_dir(path, ambient_authority()).context(cannot)?;
        Ok(Self {
            path: path.to_owned(),
            dir,
            access,
            folds_case: folds_case(path),
            owners: Owners::default(),
            troubles: Troubles::default(),
            signs: Signs::default(),
        })
    }

    /// The same, of whose changes programs in the guest shall be told.
    pub fn with_events(self, events: bool) -> Self {
        Self { signs: Signs::new(events), ..self }
    }

    /// Lets a place where nothing is any more seem to be there, until it is [`gone`](Self::gone): the guest is about to move it away.
    pub fn seems_there(&self, place: &Path) {
        self.signs.pretend(place);
    }

    /// Ends that.
    pub fn gone(&self, place: &Path) {
        self.signs.done(place);
    }

    /// Whether the guest itself has changed a place within the last second.
    pub fn is_change_of_guest(&self, place: &Path) -> bool {
        self.signs.is_own(place)
    }

    /// What the machine wanted and could not have, for a person.
    pub fn troubles(&self) -> Vec<String> {
        self.troubles.all()
    }

    pub(super) fn place(&self, components: &[&[u8]]) -> Result<PathBuf, Failure> {
        names::place(components).inspect_err(|failure| self.troubles.note(&failure.why))
    }

    fn writable(&self) -> Result<(), Failure> {
        match self.access {
            Access::Read => Err(Failure::refused("the folder is shared for reading only")),
            Access::ReadWrite => Ok(()),
        }
    }

    /// Turns an error into its answer, and notes what a person should know of.
    fn failure(&self, error: io::Error) -> Failure {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            self.troubles.note(&format!("the disk of {} is full", self.path.display()));
        }
        error.into()
    }

    /// Attributes as the guest sees them.
    pub(super) fn shown(&self, metadata: &Metadata) -> Attributes {
        let mut shown = attributes::real(metadata);
        if !self.owners.is_empty()
            && let Some(pretended) = attributes::file_id(metadata).and_then(|file| self.owners.of(file))
        {
            shown.owner = Some(pretended);
        }
        shown
    }

    fn metadata(&self, place: &Path) -> io::Result<Metadata> {
        if place == Path::new(".") { self.dir.dir_metadata() } else { self.dir.symlink_metadata(place) }
    }

    pub(super) fn status(&self, place: &Path, follow: bool) -> Result<Attributes, Failure> {
        let metadata = if follow { self.dir.metadata(place) } else { self.metadata(place) };
        match metadata {
            Ok(metadata) => Ok(self.shown(&metadata)),
            Err(error) => match self.signs.shown(place) {
                Some(shown) if error.kind() == io::ErrorKind::NotFound => Ok(shown),
                _ => Err(error.into()),
            },
        }
    }

    pub(super) fn handle_status(&self, file: &File) -> Result<Attributes, Failure> {
        Ok(self.shown(&Metadata::from_file(file)?))
    }

    pub(super) fn open_file(&self, place: &Path, flags: OpenFlags, wanted: Attributes) -> Result<File, Failure> {
        let writes = [OpenFlags::WRITE, OpenFlags::APPEND, OpenFlags::CREATE, OpenFlags::TRUNCATE];
        if writes.into_iter().any(|flag| flags.has(flag)) {
            self.writable()?;
        }
        if flags.has(OpenFlags::CREATE) {
            self.signs.note_entry(place);
        } else if flags.has(OpenFlags::TRUNCATE) {
            self.signs.note(place);
        }
        let mut options = OpenOptions::new();
        options.follow(FollowSymlinks::No).read(flags.has(OpenFlags::READ));
        if flags.has(OpenFlags::APPEND) {
            options.append(true);
        } else {
            options.write(flags.has(OpenFlags::WRITE));
        }
        without_waiting(&mut options);
        if flags.has(OpenFlags::CREATE) {
            let mut new = options.clone();
            new.write(true).create_new(true);
            not_more_open_than(&mut new, wanted.mode);
            match self.dir.open_with(place, &new) {
                Ok(file) => {
                    let file = file.into_std();
                    self.made(place, wanted.mode, Some(&file));
                    return Ok(file);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !flags.has(OpenFlags::EXCLUSIVE) => {}
                Err(error) => return Err(self.failure(error)),
            }
        }
        if writes.into_iter().any(|flag| flags.has(flag)) {
            self.spelt_like_that(place)?;
        }
        let file = self.dir.open_with(place, &options).map_err(|error| self.failure(error))?.into_std();
        if !file.metadata()?.is_file() {
            // A pipe or a device of this computer: the guest has its own.
            return Err(Failure::failed("not a regular file"));
        }
        if flags.has(OpenFlags::TRUNCATE) {
            file.set_len(0).map_err(|error| self.failure(error))?;
        }
        Ok(file)
    }

    /// What was just made gets the permissions that the guest said (it has applied its umask; ours is nobody's wish there), and
    /// seems to belong to whom its folder seems to belong. That it cannot have them is no reason to say it was not made.
    fn made(&self, place: &Path, mode: Option<u32>, file: Option<&File>) {
        if let Some(mode) = mode {
            let _ = match file {
                Some(file) => set_file_mode(file, mode),
                None => set_mode(&self.dir, place, mode),
            };
        }
        if self.owners.is_empty() {
            return;
        }
        let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let owner = self.metadata(parent).ok().and_then(|parent| self.owners.of(attributes::file_id(&parent)?));
        if let Ok(metadata) = self.metadata(place)
            && let Some(file) = attributes::file_id(&metadata)
        {
            match owner {
                Some(owner) => self.owners.note(file, owner, attributes::owner(&metadata)),
                // Its number may have been that of a file which this computer has deleted.
                None => self.owners.forget(file),
            }
        }
    }

    /// Where case does not count, a file that is there under another spelling is another file to the guest: to open that one
    /// for writing would destroy it.
    fn spelt_like_that(&self, place: &Path) -> Result<(), Failure> {
        if !self.folds_case {
            return Ok(());
        }
        let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else { return Ok(()) };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let entries = self.dir.read_dir(parent)?.flatten().map(|entry| in_one_form(entry.file_name()));
        match names::other_spelling(entries, &in_one_form(name.to_owned())) {
            None => Ok(()),
            Some(other) => {
                let why = format!(
                    "{} has {other:?}, and cannot have {name:?} besides: upper and lower case are the same there",
                    self.path.join(parent).display()
                );
                self.troubles.note(&why);
                Err(Failure::failed(why))
            }
        }
    }

    pub(super) fn change(&self, place: &Path, wanted: Attributes) -> Result<(), Failure> {
        self.writable()?;
        if is_sign(wanted.times) {
            return Ok(());
        }
        self.signs.note(place);
        if let Some(size) = wanted.size {
            self.spelt_like_that(place)?;
            let mut options = OpenOptions::new();
            options.write(true).follow(FollowSymlinks::No);
            without_waiting(&mut options);
            let file = self.dir.open_with(place, &options)?;
            file.set_len(size).map_err(|error| self.failure(error))?;
        }
        if let Some(mode) = wanted.mode {
            // On a link this would be about what it points to, which the guest asks for by its own name.
            if !self.metadata(place)?.is_symlink() {
                set_mode(&self.dir, place, mode)?;
            }
        }
        if let Some((access, modification)) = wanted.times {
            self.dir.set_symlink_times(place, Some(time(access)), Some(time(modification)))?;
        }
        if let Some(owner) = wanted.owner {
            self.pretend(&self.metadata(place)?, owner);
        }
        Ok(())
    }

    pub(super) fn handle_change(&self, file: &File, wanted: Attributes) -> Result<(), Failure> {
        self.writable()?;
        if is_sign(wanted.times) {
            return Ok(());
        }
        if let Some(size) = wanted.size {
            file.set_len(size).map_err(|error| self.failure(error))?;
        }
        if let Some(mode) = wanted.mode {
            set_file_mode(file, mode)?;
        }
        if let Some((access, modification)) = wanted.times {
            let times = std::fs::FileTimes::new()
                .set_accessed(UNIX_EPOCH + Duration::from_secs(access.into()))
                .set_modified(UNIX_EPOCH + Duration::from_secs(modification.into()));
            file.set_times(times)?;
        }
        if let Some(owner) = wanted.owner {
            self.pretend(&Metadata::from_file(file)?, owner);
        }
        Ok(())
    }

    fn pretend(&self, metadata: &Metadata, (user, group): (u32, u32)) {
        let Some(file) = attributes::file_id(metadata) else { return };
        let real = attributes::owner(metadata);
        let before = self.owners.of(file).unwrap_or(real);
        // FUSE says -1 for the one that stays.
        let wanted = (if user == u32::MAX { before.0 } else { user }, if group == u32::MAX { before.1 } else { group });
        self.owners.note(file, wanted, real);
    }

    /// Writes at `offset`, or at the end.
    pub(super) fn write(&self, file: &File, data: &[u8], offset: Option<u64>) -> Result<(), Failure> {
        match offset {
            Some(offset) => write_all_at(file, data, offset),
            None => io::Write::write_all(&mut &*file, data),
        }
        .map_err(|error| self.failure(error))
    }

    pub(super) fn entries(&self, place: &Path) -> Result<ReadDir, Failure> {
        Ok(self.dir.read_dir(place)?)
    }

    pub(super) fn remove_file(&self, place: &Path) -> Result<(), Failure> {
        self.writable()?;
        self.signs.note_entry(place);
        let last = self.last_of(place);
        self.dir.remove_file_or_symlink(place)?;
        self.forget(last);
        Ok(())
    }

    pub(super) fn remove_folder(&self, place: &Path) -> Result<(), Failure> {
        self.writable()?;
        self.signs.note_entry(place);
        let last = self.last_of(place);
        self.dir.remove_dir(place)?;
        self.forget(last);
        Ok(())
    }

    /// The file or folder that is no more when this name of it is gone.
    fn last_of(&self, place: &Path) -> Option<FileId> {
        if self.owners.is_empty() {
            return None;
        }
        let metadata = self.metadata(place).ok()?;
        if metadata.is_dir() || attributes::names(&metadata) <= 1 { attributes::file_id(&metadata) } else { None }
    }

    fn forget(&self, file: Option<FileId>) {
        if let Some(file) = file {
            self.owners.forget(file);
        }
    }

    pub(super) fn make_folder(&self, place: &Path, wanted: Attributes) -> Result<(), Failure> {
        self.writable()?;
        self.signs.note_entry(place);
        if let Err(error) = self.dir.create_dir_with(place, &folder_maker(wanted.mode)) {
            if error.kind() == io::ErrorKind::AlreadyExists {
                self.spelt_like_that(place)?;
            }
            return Err(self.failure(error));
        }
        self.made(place, wanted.mode, None);
        Ok(())
    }

    pub(super) fn rename(&self, from: &Path, to: &Path, replace: bool) -> Result<(), Failure> {
        self.writable()?;
        if is_away(to) {
            self.signs.done(from);
            return Ok(());
        }
        self.signs.note_entry(from);
        self.signs.note_entry(to);
        let mut last = None;
        if let Ok(there) = self.metadata(to) {
            let respelt = self.is_respelling(from, to);
            if !replace && !respelt {
                return Err(Failure::failed("there is a file of that name"));
            }
            let same = respelt
                || self.metadata(from).is_ok_and(|from| {
                    attributes::file_id(&from).is_some_and(|file| attributes::file_id(&there) == Some(file))
                });
            // To give a file another spelling of its own name is what it looks like.
            if !same {
                self.spelt_like_that(to)?;
                last = self.last_of(to);
            }
        }
        self.dir.rename(from, &self.dir, to).map_err(|error| self.failure(error))?;
        self.forget(last);
        Ok(())
    }

    /// Whether both are one name here, in two spellings.
    fn is_respelling(&self, from: &Path, to: &Path) -> bool {
        let (Some(one), Some(other)) = (from.file_name(), to.file_name()) else { return false };
        let form = |name: &OsStr| names::folded(&in_one_form(name.to_owned()));
        self.folds_case && from.parent() == to.parent() && one != other && form(one) == form(other)
    }

    pub(super) fn read_link(&self, place: &Path) -> Result<Vec<u8>, Failure> {
        let target = self.dir.read_link_contents(place)?;
        names::target_to_guest(target.as_os_str()).ok_or_else(|| Failure::failed("a link that cannot be said"))
    }

    pub(super) fn link(&self, target: &[u8], place: &Path) -> Result<(), Failure> {
        self.writable()?;
        self.signs.note_entry(place);
        make_link(&self.dir, target, place).map_err(|error| self.failure(error))?;
        self.made(place, None, None);
        Ok(())
    }

    pub(super) fn hard_link(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        self.writable()?;
        self.signs.note_entry(to);
        self.signs.note(from);
        self.dir.hard_link(from, &self.dir, to).map_err(|error| self.failure(error))
    }

    /// The fields of `statvfs@openssh.com`. How many files there may be is not known everywhere, and nobody's limit.
    pub(super) fn file_system(&self) -> Result<[u64; 11], Failure> {
        let space = fs4::statvfs(&self.path)?;
        let block = space.allocation_granularity().max(512);
        let blocks = |bytes: u64| bytes / block;
        let files = 1_000_000_000;
        let read_only = u64::from(self.access == Access::Read);
        Ok([
            block,
            block,
            blocks(space.total_space()),
            blocks(space.free_space()),
            blocks(space.available_space()),
            files,
            files,
            files,
            0,
            read_only,
            255,
        ])
    }
}

fn time(seconds: u32) -> SystemTimeSpec {
    let time = UNIX_EPOCH + Duration::from_secs(seconds.into());
    SystemTimeSpec::Absolute(cap_std::time::SystemTime::from_std(time))
}
