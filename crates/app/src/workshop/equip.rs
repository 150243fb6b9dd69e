//! One host of a workshop, from "it boots" to "somebody can work on it".

use std::path::Path;
use std::time::Duration;

use machine_core::{Code, Error, EventKind, Level, MachineRef, Phase, Reporter, Result, SshTarget};
use machine_ssh::KeyPair;

use super::record::{LoginBy, Seat, Workshop, WorkshopJournal};
use crate::app::App;
use crate::create::CreateRequest;
use crate::files;
use crate::readiness::Console;

/// The most that is put on each host, bytes: it goes once to every one of them.
const LARGEST: u64 = 64 << 20;

/// Whether a `--put` is a repository.
fn is_repository(put: &str) -> bool {
    ["https://", "http://", "ssh://", "git://", "git@"].iter().any(|begin| put.starts_with(begin))
}

/// A `--put` as it is kept: a path that means the same wherever `retry` is called from, or a repository's URL.
///
/// # Errors
/// A path where there is nothing.
pub(super) fn put(said: &str, current: &Path) -> Result<String> {
    if is_repository(said) {
        return Ok(said.to_owned());
    }
    let path = current.join(said);
    match std::fs::metadata(&path) {
        Ok(_) => Ok(path.display().to_string()),
        Err(error) => Err(files::explain(error, "cannot read", &path)
            .with_code(Code::Usage)
            .hint("--put takes a file, a folder or the URL of a git repository")),
    }
}

/// Refuses what is no reference of an image.
pub(super) fn check_image(image: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "./-_:@".contains(c);
    match !image.is_empty() && image.chars().all(fits) && image.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(Error::new(Code::Usage, format!("{image:?} is no image")).hint("such as nginx:1.29")),
    }
}

impl App {
    /// Makes a host of a workshop ready for its person. What was done already is left alone.
    pub(super) async fn equip(&self, journal: &WorkshopJournal<'_>, seat: Seat, request: CreateRequest) -> Result<()> {
        let host = seat.host.clone();
        let workshop = journal.snapshot();
        let reporter = of_host(journal.reporter, host.as_str());
        if Self::is_launched_as_one(&workshop) {
            self.settle_host(&seat, request.timeout, &reporter).await?;
        } else {
            match self.store.load(&host) {
                Ok(record) if !workshop.has(&record) => {
                    return Err(Error::new(Code::AlreadyExists, "there is another machine of that name"));
                }
                Ok(record) if record.phase == Phase::Ready => {}
                _ => {
                    journal.begin_anew(&host)?;
                    self.create(request, &reporter).await?;
                }
            }
        }
        let is_prepared = |seat: &Seat| seat.host == host && seat.prepared;
        if journal.snapshot().seats.iter().any(is_prepared) {
            return Ok(());
        }
        let _lock = self.lock(&host, &reporter).await?;
        self.prepare(&workshop, &seat, &reporter).await?;
        journal.update("prepared", |workshop| {
            if let Some(seat) = workshop.seats.iter_mut().find(|seat| seat.host == host) {
                seat.prepared = true;
            }
        })
    }

    /// Installs the engine of a host that boots, and waits for it.
    async fn settle_host(&self, seat: &Seat, limit: Duration, reporter: &Reporter) -> Result<()> {
        let _lock = self.lock(&seat.host, reporter).await?;
        let record = self.complete_record(&seat.host)?;
        if record.phase == Phase::Ready {
            return Ok(());
        }
        let endpoints = self.endpoints(&record)?;
        let mut console = Console::from_here(&self.store.folder(&seat.host).join("serial.log"));
        let record = std::sync::Mutex::new(record);
        let of_host = self.journal(&record, reporter);
        self.settle(&of_host, endpoints, &mut console, Some(limit), reporter).await.map(drop)
    }

    /// Account, images, files.
    async fn prepare(&self, workshop: &Workshop, seat: &Seat, reporter: &Reporter) -> Result<()> {
        let record = self.complete_record(&seat.host)?;
        let dir = self.store.folder(&seat.host);
        let endpoints = self.endpoints(&record)?;
        let machine = MachineRef { record: &record, dir: &dir };
        let target = self.driver(&record.driver)?.ssh_target(machine, endpoints);
        let mut keys = Vec::new();
        if workshop.login == LoginBy::Key {
            let folder = dir.join("users");
            machine_files::make_private_folder(&folder)?;
            let path = folder.join(&seat.account);
            let public = path.with_extension("pub");
            if !path.exists() || !public.exists() {
                KeyPair::generate(&format!("{}@{}", seat.account, seat.host))?.save(&path)?;
            }
            let text =
                std::fs::read_to_string(&public).map_err(|error| files::explain(error, "cannot read", &public))?;
            keys.push(text.trim().to_owned());
        }
        reporter.stage("account", format!("Making the account {}", seat.account));
        let (account, to) = (seat.account.clone(), target.clone());
        machine_ssh::blocking(move || machine_engine::add_account(&to, &account, &keys, true)).await?;
        if !workshop.pulls.is_empty() {
            reporter.stage("images", format!("Pulling {}", workshop.pulls.join(", ")));
            let (images, to) = (workshop.pulls.clone(), target.clone());
            machine_ssh::blocking(move || machine_engine::pull_images(&to, &images)).await?;
        }
        for put in workshop.puts.clone() {
            reporter.stage("files", format!("Putting {put}"));
            let (account, to) = (seat.account.clone(), target.clone());
            machine_ssh::blocking(move || place(&to, &account, &put)).await?;
        }
        Ok(())
    }
}

fn place(target: &SshTarget, account: &str, put: &str) -> Result<()> {
    match is_repository(put) {
        true => machine_engine::clone_repository(target, account, put),
        false => {
            let (name, archive) = packed(Path::new(put))?;
            machine_engine::unpack_in_home(target, account, &name, &archive)
        }
    }
}

/// A file or folder as a tar archive, under its own name, which is told too. Links are kept as links.
fn packed(path: &Path) -> Result<(String, Vec<u8>)> {
    let failed = |error: std::io::Error| files::explain(error, "cannot pack", path);
    let path = std::fs::canonicalize(path).map_err(failed)?;
    let name = path.file_name().ok_or_else(|| Error::new(Code::Usage, format!("{} has no name", path.display())))?;
    let name = name.to_str().ok_or_else(|| {
        Error::new(Code::Usage, format!("the name of {} is not UTF-8", path.display())).hint("give it another name")
    })?;
    let mut archive = tar::Builder::new(Bounded(Vec::new()));
    archive.follow_symlinks(false);
    if path.is_dir() {
        archive.append_dir_all(name, &path).map_err(failed)?;
    } else {
        archive.append_path_with_name(&path, name).map_err(failed)?;
    }
    Ok((name.to_owned(), archive.into_inner().map_err(failed)?.0))
}

/// Memory that does not grow without end.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > LARGEST {
            return Err(std::io::Error::other("it has more than 64 MiB; a git repository or an image carries more"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What one host tells, as lines of the work on all of them: its stages are details there.
fn of_host(all: &Reporter, host: &str) -> Reporter {
    let (all, host) = (all.clone(), host.to_owned());
    Reporter::new(move |kind| match kind {
        EventKind::Stage(stage) => all.detail(format!("{host}: {}", stage.title)),
        EventKind::Message { level, text } => {
            let level = if level == Level::Info { Level::Detail } else { level };
            all.report(EventKind::Message { level, text: format!("{host}: {text}") });
        }
        EventKind::Progress { .. } | EventKind::Checkpoint { .. } => {}
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_packed_under_their_own_names() {
        let folder = tempfile::tempdir().unwrap();
        // Hosts run scripts in the locale C, in which `tar -t` says such a name in another way.
        let exercises = folder.path().join("Übungen 1");
        std::fs::create_dir(&exercises).unwrap();
        std::fs::write(exercises.join("one.txt"), "1").unwrap();
        for (path, expected) in [(exercises.clone(), "Übungen 1/one.txt"), (exercises.join("one.txt"), "one.txt")] {
            let (name, archive) = packed(&path).unwrap();
            assert_eq!(Some(name.as_ref()), path.file_name());
            let mut archive = tar::Archive::new(archive.as_slice());
            let names: Vec<String> =
                archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
            assert!(names.contains(&expected.to_owned()), "{names:?}");
        }
        let here = folder.path();
        assert_eq!(put("Übungen 1", here).unwrap(), exercises.display().to_string());
        assert_eq!(put("https://example.org/x.git", here).unwrap(), "https://example.org/x.git");
        assert_eq!(put("nothing", here).unwrap_err().code(), Code::Usage);
    }

    #[test]
    fn an_image_is_no_option_and_no_shell_word() {
        check_image("ghcr.io/a/b:1.2@sha256:00").unwrap();
        for wrong in ["", "-v", "a b", "a;b", "$(x)"] {
            assert_eq!(check_image(wrong).unwrap_err().code(), Code::Usage);
        }
    }
}
