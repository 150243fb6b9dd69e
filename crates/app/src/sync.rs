//! `sync`: a folder of this computer and one of a machine, made alike.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_core::{Code, Error, MachineName, Reporter, Result};
use machine_ssh::{Session, blocking};
use machine_sync::{Direction, Report, Request, Stop, Watch, rest};
use sha2::Digest as _;

use crate::app::App;

/// How long sshd may take: a machine that has just been started with `--no-wait` is still booting.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);
/// How often changes are looked for where nobody tells of them.
const LOOK: Duration = Duration::from_secs(3);
/// How often they are looked for where the system tells of them: it may lose some.
const SELDOM: Duration = Duration::from_secs(300);
/// The pause after a run that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// What `sync` was asked for, in the user's words.
#[derive(Clone, Debug, Default)]
pub struct SyncWords {
    /// The folder that is copied: of this computer, or `NAME:PLACE`.
    pub from: String,
    /// The folder that it is copied to: of this computer, or `NAME:PLACE`.
    pub to: String,
    /// Each side gets what changed on the other.
    pub two_way: bool,
    /// What the source lacks is removed.
    pub delete: bool,
    /// What is left out, as in `.gitignore` files.
    pub exclude: Vec<String>,
    /// `.gitignore` files count.
    pub gitignore: bool,
    /// Nothing is done.
    pub dry_run: bool,
    /// It goes on with each change.
    pub watch: bool,
}

/// The words, understood.
#[derive(Clone, Debug)]
struct Job {
    words: SyncWords,
    machine: MachineName,
    folder: PathBuf,
    place: String,
    direction: Direction,
    compress: bool,
    /// Tells this pair of folders from any other.
    pair: String,
    past: PathBuf,
}

impl App {
    /// The machine that the user's words mean.
    ///
    /// # Errors
    /// Words that name no machine, or two.
    pub fn sync_machine(&self, words: &SyncWords) -> Result<MachineName> {
        Ok(sides(words)?.0)
    }

    /// Copies a folder to a machine, from it, or both ways; `told` hears of each run's end. With `watch` it goes on until it is
    /// dropped.
    ///
    /// # Errors
    /// Words that mean nothing, a folder that is not there or cannot be read, a machine that does not run, a connection that is lost.
    pub async fn sync(
        &self,
        words: SyncWords,
        reporter: &Reporter,
        mut told: impl FnMut(&Report) + Send + 'static,
    ) -> Result<Report> {
        let job = self.sync_job(words)?;
        let lock = self.sync_lock(&job)?;
        let (app, reporter) = (self.clone(), reporter.clone());
        let stop = Stop::default();
        let _stops_when_dropped = StopOnDrop(stop.clone());
        blocking(move || {
            let _lock = lock;
            let mut session = None;
            let report = app.sync_once(&job, &mut session, &stop, &reporter)?;
            told(&report);
            if !job.words.watch {
                return Ok(report);
            }
            app.sync_on(&job, session, &stop, &reporter, &mut told)
        })
        .await
    }

    fn sync_job(&self, words: SyncWords) -> Result<Job> {
        let (machine, place, folder, direction) = sides(&words)?;
        let record = self.store.load(&machine)?;
        let folder = self.environment.current.join(folder);
        self.check_that_no_keys_are_copied(&folder)?;
        let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let said = [self.store.id()?.as_bytes(), real.as_os_str().as_encoded_bytes(), b"\0", place.as_bytes()].concat();
        let pair: String = sha2::Sha256::digest(&said)[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        let past = self.store.folder(&machine).join("sync").join(format!("{pair}.json"));
        let compress = !self.driver(&record.driver)?.capabilities().local;
        Ok(Job { words, machine, folder, place, direction, compress, pair, past })
    }

    /// Machines' keys are not for machines.
    pub(crate) fn check_that_no_keys_are_copied(&self, folder: &Path) -> Result<()> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (store, folder) = (real(&self.environment.store), real(folder));
        if !folder.starts_with(&store) && !store.starts_with(&folder) {
            return Ok(());
        }
        let what = format!("{} holds the machines themselves, with their keys: it is not copied", folder.display());
        Err(Error::new(Code::Usage, what).hint("name the folder that you work in"))
    }

    /// Two runs with the same pair of folders would be in each other's way.
    fn sync_lock(&self, job: &Job) -> Result<crate::store::MachineLock> {
        self.store.try_lock(&format!("_sync-{}", job.pair))?.map_err(|holder| {
            let what =
                format!("{} and {}:{} are being copied by {holder}", job.folder.display(), job.machine, job.place);
            Error::new(Code::Busy, what).hint("wait for it, or end it")
        })
    }

    fn sync_once(&self, job: &Job, session: &mut Option<Session>, stop: &Stop, reporter: &Reporter) -> Result<Report> {
        let mut connected = match session.take() {
            Some(session) => session,
            None => {
                let target = self.ssh_target(&job.machine)?;
                let go_on = |_: &_| if stop.is_told() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
                Session::connect_when_up(&target, CONNECT_LIMIT, go_on)?
            }
        };
        let request = Request {
            folder: &job.folder,
            machine: job.machine.as_str(),
            place: &job.place,
            direction: job.direction,
            delete: job.words.delete,
            exclude: &job.words.exclude,
            gitignore: job.words.gitignore,
            dry_run: job.words.dry_run,
            compress: job.compress,
            pair: &job.pair,
            past: &job.past,
        };
        let report = machine_sync::run(&mut connected, &request, stop, reporter)?;
        *session = Some(connected);
        Ok(report)
    }

    /// Goes on with each change. A machine that is away for a while is waited for.
    fn sync_on(
        &self,
        job: &Job,
        mut session: Option<Session>,
        stop: &Stop,
        reporter: &Reporter,
        told: &mut dyn FnMut(&Report),
    ) -> Result<Report> {
        let where_to = format!("{}:{}", job.machine, job.place);
        reporter.stage(
            "watch",
            match job.direction {
                Direction::ToMachine => format!("Watching {}; Ctrl-C ends that", job.folder.display()),
                Direction::FromMachine => format!("Watching {where_to}; Ctrl-C ends that"),
                Direction::BothWays => format!("Watching {} and {where_to}; Ctrl-C ends that", job.folder.display()),
            },
        );
        let watch = match job.direction {
            Direction::FromMachine => None,
            Direction::ToMachine | Direction::BothWays => {
                let watch = Watch::of(&job.folder);
                if let Err(error) = &watch {
                    reporter.warn(format!("{error}: they are looked for every {} s", LOOK.as_secs()));
                }
                watch.ok()
            }
        };
        let mut failure = String::new();
        let mut last = Report::default();
        // What changed between the first run and the watch is in the second run.
        while !stop.is_told() {
            match self.sync_once(job, &mut session, stop, &Reporter::silent()) {
                Ok(report) => {
                    failure.clear();
                    let same_trouble = report.problems == last.problems && report.conflicts.is_empty();
                    if !report.changes.is_empty() || !same_trouble {
                        told(&report);
                    }
                    last = report;
                }
                Err(error) if matches!(error.code(), Code::Usage | Code::HostKey | Code::Interrupted) => {
                    return Err(error);
                }
                Err(error) => {
                    // Once for each reason.
                    if failure != error.to_string() {
                        failure = error.to_string();
                        reporter.warn(format!("{failure}; it is tried again"));
                    }
                    session = None;
                    rest(PAUSE, stop);
                    continue;
                }
            }
            match (&watch, job.direction) {
                (Some(watch), Direction::ToMachine) => watch.wait(SELDOM, stop),
                (Some(watch), _) => watch.wait(LOOK, stop),
                (None, _) => rest(LOOK, stop),
            }
        }
        Err(Error::new(Code::Interrupted, "interrupted"))
    }
}

/// Ends a run that nobody waits for any more.
pub(crate) struct StopOnDrop(pub(crate) Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.now();
    }
}

/// Which of the two words names a machine.
fn sides(words: &SyncWords) -> Result<(MachineName, String, PathBuf, Direction)> {
    if words.two_way && words.delete {
        let what = "--delete is for copies one way: --two-way removes on each side what was removed on the other";
        return Err(Error::new(Code::Usage, what).hint("leave --delete out"));
    }
    if words.watch && words.dry_run {
        return Err(Error::new(Code::Usage, "--dry-run does nothing, and --watch goes on doing it: say one of them"));
    }
    let (remote, folder, one_way) = match (place_of(&words.from)?, place_of(&words.to)?) {
        (None, Some(remote)) => (remote, &words.from, Direction::ToMachine),
        (Some(remote), None) => (remote, &words.to, Direction::FromMachine),
        (Some(_), Some(_)) => {
            return Err(Error::new(Code::Usage, "both folders are in machines: one must be of this computer")
                .hint("copy from the one machine here, and from here to the other"));
        }
        (None, None) => {
            let what = format!("neither {:?} nor {:?} is in a machine", words.from, words.to);
            return Err(Error::new(Code::Usage, what).hint("say one of them as NAME:PLACE, such as default:src"));
        }
    };
    let direction = if words.two_way { Direction::BothWays } else { one_way };
    if folder.is_empty() {
        return Err(Error::new(Code::Usage, "the folder of this computer has no name").hint("`.` is the present one"));
    }
    let (machine, place) = remote;
    Ok((machine, place, PathBuf::from(folder), direction))
}

/// `NAME:PLACE`, if that is what it is. What has a `/` before its first `:` is of this computer, as is `C:\...` on Windows.
pub(crate) fn place_of(word: &str) -> Result<Option<(MachineName, String)>> {
    let Some((name, place)) = word.split_once(':') else { return Ok(None) };
    let is_drive = cfg!(windows) && name.len() == 1;
    if is_drive || name.contains(['/', '\\']) {
        return Ok(None);
    }
    let machine: MachineName = name.parse().map_err(|error: Error| {
        let of_this = format!("if it is a folder of this computer: ./{word}");
        error.within(format!("{word:?} names a place in a machine")).hint(of_this)
    })?;
    let place = match place.strip_prefix('~') {
        None => place.to_owned(),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/').to_owned(),
        Some(_) => {
            let what = format!("{word:?} names the home of another user");
            return Err(Error::new(Code::Usage, what).hint("say its path, such as /home/USER/FOLDER"));
        }
    };
    if place.contains('\0') {
        return Err(Error::new(Code::Usage, "a path with a zero byte"));
    }
    Ok(Some((machine, place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(from: &str, to: &str) -> SyncWords {
        SyncWords { from: from.into(), to: to.into(), ..SyncWords::default() }
    }

    #[test]
    fn the_word_with_a_colon_is_the_machines() {
        let (machine, place, folder, direction) = sides(&words("src", "dev:/srv/a:b")).unwrap();
        assert_eq!((machine.as_str(), place.as_str(), folder), ("dev", "/srv/a:b", PathBuf::from("src")));
        assert_eq!(direction, Direction::ToMachine);
        let (_, place, folder, direction) = sides(&words("dev:~/src", "./a:b")).unwrap();
        assert_eq!((place.as_str(), folder, direction), ("src", PathBuf::from("./a:b"), Direction::FromMachine));
        assert_eq!(sides(&words("dev:", "a")).unwrap().1, "");
        let both = SyncWords { two_way: true, ..words("dev:x", "y") };
        assert_eq!(sides(&both).unwrap().3, Direction::BothWays);
    }

    #[test]
    fn words_that_mean_nothing_are_wrong_usage() {
        for (from, to) in
            [("a", "b"), ("a:x", "b:y"), ("Not A Name:x", "b"), ("", "dev:x"), ("a", "dev:~other/x"), (":x", "a")]
        {
            assert_eq!(sides(&words(from, to)).unwrap_err().code(), Code::Usage, "{from} {to}");
        }
        for wrong in [
            SyncWords { two_way: true, delete: true, ..words("a", "dev:x") },
            SyncWords { watch: true, dry_run: true, ..words("a", "dev:x") },
        ] {
            assert_eq!(sides(&wrong).unwrap_err().code(), Code::Usage);
        }
    }
}
