//! The place where programs look for Docker's own socket: taken for a machine when nothing else is there, and given back.
//!
//! It is a symbolic link to the machine's socket. Whose it is, the link itself says: nothing is remembered.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use machine_core::{Code, Error, MachineName, MachineRecord, Reporter, Result};

use crate::app::App;
use crate::files;

/// A place that is a machine's now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where programs look.
    pub place: PathBuf,
    /// It was so already.
    pub already: bool,
}

/// What is at a place.
#[derive(Debug, PartialEq, Eq)]
enum There {
    Nothing,
    /// A link to this socket, of a machine of this store.
    Ours(PathBuf),
    /// Somebody else's; what it is.
    Theirs(String),
}

impl App {
    /// Puts links to a machine's socket where programs look for Docker's own.
    ///
    /// # Errors
    /// A place that somebody else has, or that needs another user's rights; then the command that does it is a hint.
    pub fn take_default_sockets(&self, name: &MachineName) -> Result<Vec<Taken>> {
        self.take_default_sockets_for(&self.store.load(name)?)
    }

    fn take_default_sockets_for(&self, record: &MachineRecord) -> Result<Vec<Taken>> {
        let name = record.name.as_str();
        let socket = self.engine_socket(record)?.ok_or_else(|| {
            Error::new(
                Code::Usage,
                format!("machine {name:?} has no socket on this computer, which could take that place"),
            )
        })?;
        if cfg!(windows) {
            return Err(Error::other("Docker's own pipe cannot be taken yet").hint(format!(
                "`machine env --socket {name}` points a terminal at the machine's own pipe, the context does everywhere"
            )));
        }
        let mut taken = Vec::new();
        let mut refused = None;
        for place in &self.environment.default_sockets {
            match self.take(place, socket.path()) {
                Ok(already) => taken.push(Taken { place: place.clone(), already }),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        // On macOS one of two is enough.
        match refused {
            Some(error) if taken.is_empty() => Err(error),
            _ => Ok(taken),
        }
    }

    fn take(&self, place: &Path, socket: &Path) -> Result<bool> {
        let link = |options: &str| format!("sudo ln {options} '{}' '{}'", socket.display(), place.display());
        let (made, command) = match self.look_at(place) {
            There::Ours(target) if target == socket => return Ok(true),
            // Another machine's: it steps back.
            There::Ours(_) => (fs::remove_file(place).and_then(|()| symlink(socket, place)), link("-sfn")),
            There::Nothing => (symlink_in_home(&self.environment, socket, place), link("-s")),
            There::Theirs(what) => {
                return Err(Error::new(Code::AlreadyExists, format!("{} is not free: {what}", place.display()))
                    .hint("it is left as it is; stop and remove what it belongs to, if you want the machine there"));
            }
        };
        match made {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Err(Error::other(format!("only root may put a socket at {}", place.display()))
                    .because(error)
                    .hint(format!("`{command}` does it")))
            }
            Err(error) => Err(files::explain(error, "cannot make the link", place)),
        }
    }

    /// Gives those places back that are this store's; returns which.
    ///
    /// # Errors
    /// One that needs another user's rights; then the command that does it is a hint.
    pub fn give_back_default_sockets(&self) -> Result<Vec<PathBuf>> {
        self.give_back(|_| true)
    }

    /// The same for one machine that goes. A failure is a warning.
    pub(crate) fn give_back_default_sockets_of(&self, record: &MachineRecord, reporter: &Reporter) {
        let Ok(Some(socket)) = self.engine_socket(record) else { return };
        if let Err(error) = self.give_back(|target| target == socket.path()) {
            reporter.warn(error.hints().into_iter().fold(error.to_string(), |text, hint| format!("{text}; {hint}")));
        }
    }

    fn give_back(&self, which: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
        let mut given = Vec::new();
        for place in &self.environment.default_sockets {
            if !matches!(self.look_at(place), There::Ours(target) if which(&target)) {
                continue;
            }
            fs::remove_file(place).map_err(|error| {
                let denied = error.kind() == ErrorKind::PermissionDenied;
                let explained = Error::other(format!("cannot give {} back", place.display())).because(error);
                if denied { explained.hint(format!("`sudo rm '{}'` does it", place.display())) } else { explained }
            })?;
            given.push(place.clone());
        }
        Ok(given)
    }

    fn look_at(&self, place: &Path) -> There {
        match fs::symlink_metadata(place) {
            Err(error) if error.kind() == ErrorKind::NotFound => There::Nothing,
            Err(error) => There::Theirs(format!("it cannot be looked at ({error})")),
            Ok(facts) if facts.is_symlink() => match fs::read_link(place) {
                Ok(target) if target.starts_with(&self.environment.runtime) => There::Ours(target),
                Ok(target) => There::Theirs(format!("it is a link to {}", target.display())),
                Err(error) => There::Theirs(format!("it is a link that cannot be read ({error})")),
            },
            Ok(_) if answers(place) => There::Theirs("an engine listens there".to_owned()),
            Ok(_) => There::Theirs("something is there that is not ours".to_owned()),
        }
    }
}

/// Makes the link; a folder that is missing is made only within the user's home.
fn symlink_in_home(environment: &crate::Environment, socket: &Path, place: &Path) -> std::io::Result<()> {
    if let (Some(folder), Some(home)) = (place.parent(), &environment.home)
        && folder.starts_with(home)
    {
        fs::create_dir_all(folder)?;
    }
    symlink(socket, place)
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(_target: &Path, _link: &Path) -> std::io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

fn answers(place: &Path) -> bool {
    crate::EngineSocket::at(place.to_owned()).answers()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::Environment;

    /// An application whose only such place is `docker.sock` in a folder, with two machines.
    fn scene() -> (tempfile::TempDir, App, [MachineRecord; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let mut environment = Environment::read(Some(&folder.path().join("store"))).unwrap();
        environment.runtime = folder.path().join("run");
        environment.default_sockets = vec![folder.path().join("docker.sock")];
        let records = ["one", "two"].map(|name| {
            let mut record = crate::store::remains(&name.parse().unwrap(), "qemu");
            let state = serde_json::json!({ "token": format!("{name}-token"), "image_digest": "", "base_disk": "/x" });
            record.driver_state = state;
            record
        });
        let app = App::new(environment);
        (folder, app, records)
    }

    #[test]
    fn a_free_place_is_taken_changes_hands_among_ours_and_is_given_back() {
        let (folder, app, [one, two]) = scene();
        let place = folder.path().join("docker.sock");
        let target = || fs::read_link(&place).unwrap();
        assert!(!app.take_default_sockets_for(&one).unwrap()[0].already);
        assert_eq!(target(), app.engine_socket(&one).unwrap().unwrap().path());
        assert!(app.take_default_sockets_for(&one).unwrap()[0].already);
        assert!(!app.take_default_sockets_for(&two).unwrap()[0].already);
        assert_eq!(target(), app.engine_socket(&two).unwrap().unwrap().path());
        // The machine that has it no more takes nothing away with it.
        app.give_back_default_sockets_of(&one, &Reporter::silent());
        assert!(place.is_symlink());
        app.give_back_default_sockets_of(&two, &Reporter::silent());
        assert!(!place.is_symlink());
        assert!(app.give_back_default_sockets().unwrap().is_empty());
    }

    #[test]
    fn what_is_somebody_elses_stays_as_it_is() {
        let (folder, app, [one, _]) = scene();
        let place = folder.path().join("docker.sock");
        let refused = |why: &str| {
            let error = app.take_default_sockets_for(&one).unwrap_err();
            assert!(error.code() == Code::AlreadyExists && error.to_string().contains(why), "{error}");
            assert!(app.give_back_default_sockets().unwrap().is_empty());
        };
        let listener = std::os::unix::net::UnixListener::bind(&place).unwrap();
        refused("an engine listens there");
        drop(listener);
        refused("not ours");
        fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink("/run/user/1000/podman.sock", &place).unwrap();
        refused("podman.sock");
        assert_eq!(fs::read_link(&place).unwrap(), Path::new("/run/user/1000/podman.sock"));
    }

    #[test]
    fn a_place_that_only_root_may_have_comes_with_the_command() {
        if rustix::process::getuid().is_root() {
            // Root may.
            return;
        }
        let (_folder, app, [one, _]) = scene();
        let mut environment = app.environment().clone();
        environment.default_sockets = vec!["/var/machine-test-docker.sock".into()];
        let error = App::new(environment).take_default_sockets_for(&one).unwrap_err();
        assert!(error.hints()[0].starts_with("`sudo ln -s '"), "{error:?}");
    }
}
