//! The use case: which of the copies it is, and each of them.

use std::fs::{self, File};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use machine_core::{Code, Error, MachineName, Reporter, Result, ResultExt as _, SshTarget};
use machine_files::{WholeFile, from_guest};
use machine_ssh::{Account, Found, FoundKind, Session, blocking};
use machine_sync::{Direction, Problem, Request, Stop};
use sha2::Digest as _;

use super::carried::Carried;
use super::words::Site;
use crate::app::App;
use crate::sync::StopOnDrop;

/// How long sshd may take: a machine that has just been started with `--no-wait` is still booting.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);
/// How long a machine may take to say what it has.
pub(super) const LOOK_LIMIT: Duration = Duration::from_secs(60);
/// How long any copy may take; a connection that is silent for two minutes ends it before.
pub(super) const COPY_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);
/// What a file of a computer without permissions gets in a machine.
#[cfg(not(unix))]
const USUAL: u32 = 0o644;

/// What `scp` was asked for, in the user's words.
#[derive(Debug)]
pub struct ScpWords {
    /// The source and the target, `[[user@]machine:]path` each.
    pub paths: Vec<String>,
    /// Folders too.
    pub recursive: bool,
    /// By rsync, which sends only the parts of files that differ.
    pub delta: bool,
    /// rsync says nothing.
    pub quiet: bool,
    /// Where rsync's words go.
    pub output: Stdio,
}

/// What a copy is done with.
pub(super) struct Copying<'a> {
    pub(super) app: &'a App,
    pub(super) stop: &'a Stop,
    pub(super) reporter: &'a Reporter,
    pub(super) recursive: bool,
}

impl App {
    /// Copies a file or folder; returns what was left out, and why.
    ///
    /// # Errors
    /// Words that mean nothing, what is not there or cannot be read, a machine that does not run, a connection that is lost, a full disk.
    /// A file that was there is then still whole.
    pub async fn scp(&self, words: ScpWords, reporter: &Reporter) -> Result<Vec<Problem>> {
        let [from, to] = words.paths.as_slice() else {
            return Err(Error::new(Code::Usage, "Improper number of arguments")
                .hint("say what is copied, and where to: `machine scp [[user@]NAME:]PATH [[user@]NAME:]PATH`"));
        };
        let (from, to) = (Site::read(from)?, Site::read(to)?);
        for site in [&from, &to] {
            if let Site::There { machine, .. } = site {
                self.machine_or_file(machine)?;
            }
        }
        if words.delta {
            return self.delta(&from, &to, words, reporter).await.map(|()| Vec::new());
        }
        let (app, reporter, stop) = (self.clone(), reporter.clone(), Stop::default());
        let _stops_when_dropped = StopOnDrop(stop.clone());
        let recursive = words.recursive;
        blocking(move || {
            let copying = Copying { app: &app, stop: &stop, reporter: &reporter, recursive };
            let result = match (&from, &to) {
                (Site::Here(from), Site::There { machine, user, place }) => {
                    copying.send(from, machine, user.as_deref(), place)
                }
                (Site::There { machine, user, place }, Site::Here(to)) => {
                    copying.fetch(machine, user.as_deref(), place, to)
                }
                (Site::There { .. }, Site::There { .. }) => copying.between(&from, &to),
                (Site::Here(_), Site::Here(_)) => {
                    Err(Error::new(Code::Usage, "both paths are of this computer: neither names a machine")
                        .hint("say one of them as NAME:PATH, such as default:notes.txt"))
                }
            };
            result.map_err(|error| if stop.is_told() { Error::new(Code::Interrupted, "interrupted") } else { error })
        })
        .await
    }

    /// No machine of that name may be a file with a `:` in its own.
    fn machine_or_file(&self, name: &MachineName) -> Result<()> {
        self.store.load(name).map(drop).map_err(|error| match error.code() {
            Code::NotFound => error.hint("a file of this computer with a ':' in its name is said as ./a:b"),
            _ => error,
        })
    }

    pub(super) fn scp_target(&self, machine: &MachineName, user: Option<&str>) -> Result<SshTarget> {
        let target = self.ssh_target(machine)?;
        Ok(match user {
            Some(user) => SshTarget { user: user.to_owned(), ..target },
            None => target,
        })
    }
}

impl Copying<'_> {
    pub(super) fn connect(&self, machine: &MachineName, user: Option<&str>) -> Result<Session> {
        let target = self.app.scp_target(machine, user)?;
        let go_on = |_: &_| if self.stop.is_told() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        Ok(Session::connect_when_up(&target, CONNECT_LIMIT, go_on)?)
    }

    fn send(&self, from: &Path, machine: &MachineName, user: Option<&str>, place: &str) -> Result<Vec<Problem>> {
        let from = self.app.environment.current.join(from);
        let metadata = fs::metadata(&from).map_err(|error| unreadable(error, &from))?;
        self.wanted(metadata.is_dir(), &from.display().to_string())?;
        let mut session = self.connect(machine, user)?;
        let name = from.file_name().and_then(machine_files::to_guest).and_then(|name| String::from_utf8(name).ok());
        let to = self.target(&mut session, machine, place, name.as_deref(), metadata.is_dir())?;
        if metadata.is_dir() {
            self.app.check_that_no_keys_are_copied(&from)?;
            return self.folder(&mut session, machine, Direction::ToMachine, &from, &to.path);
        }
        if !metadata.is_file() {
            return Err(Error::new(Code::Usage, format!("{} is neither a file nor a folder", from.display())));
        }
        let reading = || format!("cannot read {}", from.display());
        let file = File::open(&from).context(reading)?;
        let metadata = file.metadata().context(reading)?;
        self.reporter.stage("copy", format!("Copying to {machine}:{}", to.path));
        let mut input = Carried::new(file, metadata.len(), self.stop, self.reporter);
        put(&mut session, &mut input, metadata.len(), &to, mode_of(&metadata))?;
        Ok(Vec::new())
    }

    fn fetch(&self, machine: &MachineName, user: Option<&str>, place: &str, to: &Path) -> Result<Vec<Problem>> {
        let mut session = self.connect(machine, user)?;
        let found = self.source(&mut session, machine, place)?;
        let to = self.local_target(to, place)?;
        let FoundKind::File { size, mode } = found.kind else {
            self.app.check_that_no_keys_are_copied(&to)?;
            return self.folder(&mut session, machine, Direction::FromMachine, &to, &found.path);
        };
        self.reporter.stage("copy", format!("Copying from {machine}:{}", found.path));
        let writing = || format!("cannot write {}", to.display());
        let device = fs::metadata(&to).is_ok_and(|there| !there.is_file() && !there.is_dir());
        if device {
            let file = File::options().write(true).open(&to).context(writing)?;
            let mut output = Carried::new(file, size, self.stop, self.reporter);
            session.download(&found.path, &mut output, Account::User, COPY_LIMIT)?;
        } else {
            // Through a link, as a shell would write.
            let real = fs::canonicalize(&to).unwrap_or_else(|_| to.clone());
            // A file that is there keeps its permissions; a new one is writable for nobody else, whatever a machine says.
            let mode = fs::metadata(&real).map_or(mode & 0o755, |there| mode_of(&there));
            let file = WholeFile::begin(&real).context(writing)?;
            let mut output = Carried::new(file, size, self.stop, self.reporter);
            session.download(&found.path, &mut output, Account::User, COPY_LIMIT)?;
            output.flush().context(writing)?;
            output.into_inner().finish(mode).context(writing)?;
        }
        Ok(Vec::new())
    }

    /// What is copied from a machine.
    pub(super) fn source(&self, session: &mut Session, machine: &MachineName, place: &str) -> Result<Found> {
        let found = session.look(if place.is_empty() { "." } else { place }, LOOK_LIMIT)?;
        let named = format!("{machine}:{place}");
        match found.kind {
            FoundKind::File { .. } if place.ends_with('/') => {
                Err(Error::new(Code::NotFound, format!("{named} is a file, not a folder")))
            }
            FoundKind::File { .. } | FoundKind::Folder => {
                self.wanted(found.kind == FoundKind::Folder, &named)?;
                Ok(found)
            }
            FoundKind::Other => Err(Error::new(Code::Usage, format!("{named} is neither a file nor a folder"))),
            FoundKind::Absent | FoundKind::Nowhere => {
                let error =
                    Error::new(Code::NotFound, format!("{named}: there is no such file or folder in the machine"));
                Err(if place.contains(['*', '?', '[']) {
                    error.hint("a pattern is not looked at here: copy the folder with -r, or list what is copied by `machine ssh`")
                } else {
                    error.hint("a path that does not begin with / is below the login user's home")
                })
            }
        }
    }

    /// Where in a machine something of that name comes to be: in a folder that is there, or under the name that was said.
    pub(super) fn target(
        &self,
        session: &mut Session,
        machine: &MachineName,
        place: &str,
        name: Option<&str>,
        is_folder: bool,
    ) -> Result<Found> {
        let mut found = session.look(if place.is_empty() { "." } else { place }, LOOK_LIMIT)?;
        if found.kind == FoundKind::Folder
            && let Some(name) = name
        {
            let path = format!("{}/{name}", found.path.trim_end_matches('/'));
            found = session.look(&path, LOOK_LIMIT)?;
        }
        let named = format!("{machine}:{}", found.path);
        match found.kind {
            FoundKind::Folder if !is_folder => {
                Err(Error::other(format!("{named} is a folder: a file does not take its place"))
                    .hint("say another name for the copy, or remove that first"))
            }
            FoundKind::File { .. } | FoundKind::Other if is_folder => {
                Err(Error::other(format!("{named} is a file: a folder does not take its place"))
                    .hint("say another name for the copy, or remove that first"))
            }
            FoundKind::Absent if !is_folder && place.ends_with('/') => no_folder(&named),
            FoundKind::Nowhere if !is_folder => no_folder(&named),
            _ => Ok(found),
        }
    }

    /// As [`Self::target`], on this computer.
    fn local_target(&self, to: &Path, place: &str) -> Result<PathBuf> {
        let named = to.to_string_lossy().into_owned();
        let to = self.app.environment.current.join(to);
        let to = match Site::last_name(place) {
            Some(name) if to.is_dir() => {
                let refused = |why| Error::other(format!("{place:?} cannot be copied to this computer: {why}"));
                to.join(from_guest(name.as_bytes()).map_err(refused)?)
            }
            _ => to,
        };
        let above_is_there = to.parent().is_none_or(|above| above.as_os_str().is_empty() || above.is_dir());
        if !above_is_there || (named.ends_with(['/', std::path::MAIN_SEPARATOR]) && !to.exists() && !self.recursive) {
            return Err(Error::new(Code::NotFound, format!("{}: there is no such folder", to.display()))
                .hint("make it first (mkdir)"));
        }
        Ok(to)
    }

    pub(super) fn wanted(&self, is_folder: bool, named: &str) -> Result<()> {
        if is_folder && !self.recursive {
            return Err(Error::new(Code::Usage, format!("{named} is a folder"))
                .hint("-r copies folders, with all that is in them"));
        }
        Ok(())
    }

    /// Copies a folder: what is the same already is not sent, nothing is removed, and no name from the machine leads out of it.
    fn folder(
        &self,
        session: &mut Session,
        machine: &MachineName,
        direction: Direction,
        folder: &Path,
        place: &str,
    ) -> Result<Vec<Problem>> {
        let record = self.app.store.load(machine)?;
        let store = self.app.store.id()?;
        let said = [store.as_bytes(), folder.as_os_str().as_encoded_bytes(), b"\0", place.as_bytes()];
        let request = Request {
            folder,
            machine: machine.as_str(),
            place,
            direction,
            delete: false,
            exclude: &[],
            gitignore: false,
            dry_run: false,
            compress: !self.app.driver(&record.driver)?.capabilities().local,
            pair: &short_digest(&said.concat()),
            // Of no use one way.
            past: Path::new(""),
        };
        Ok(machine_sync::run(session, &request, self.stop, self.reporter)?.problems)
    }
}

fn no_folder<T>(named: &str) -> Result<T> {
    Err(Error::new(Code::NotFound, format!("{named}: there is no such folder in the machine"))
        .hint("make it first: `machine ssh NAME mkdir -p FOLDER`"))
}

/// Letters and digits that stand for `bytes`.
pub(super) fn short_digest(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file in a machine: whole or not at all, but for what is no file there (a device), which takes bytes as they come.
pub(super) fn put(
    session: &mut Session,
    input: &mut dyn std::io::Read,
    length: u64,
    to: &Found,
    mode: u32,
) -> Result<()> {
    if to.kind == FoundKind::Other {
        let command = format!("exec sh -c {}", machine_ssh::quote(&format!("cat >{}", machine_ssh::quote(&to.path))));
        let output = session.exec_with_input(&command, input, COPY_LIMIT)?;
        return output.text(&format!("cannot write {}", to.path)).map(drop);
    }
    let mode = match to.kind {
        FoundKind::File { mode, .. } => mode,
        _ => mode,
    };
    session.upload_from(input, length, &to.path, mode, Account::User, COPY_LIMIT).map_err(|error| {
        let text = error.to_string();
        if text.contains("No space left") || text.contains("quota exceeded") {
            error.hint("the machine's disk is full: free some space there")
        } else if text.contains("Permission denied") {
            error.hint("it is done as the machine's login user: copy it to that user's home, and from there with sudo")
        } else {
            error
        }
    })
}

fn unreadable(error: std::io::Error, path: &Path) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::new(Code::NotFound, format!("{}: there is no such file or folder", path.display()))
            .hint("a path of this computer is looked for from the present folder");
    }
    Error::other(format!("cannot read {}", path.display())).because(error)
}

#[cfg(unix)]
fn mode_of(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
}

#[cfg(not(unix))]
fn mode_of(_: &fs::Metadata) -> u32 {
    USUAL
}
