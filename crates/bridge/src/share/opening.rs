//! Opening folders that may be on a drive which does not answer: a network drive whose server is gone keeps whoever looks at it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use machine_core::{Code, Error, Result, SharedFolder};
use tokio::sync::oneshot;

use super::sftp::{Access, Folder};

/// How long a folder may take until the others go first.
const ANSWER: Duration = Duration::from_secs(5);

/// What opens a folder; another one in tests.
type Open = fn(&Path, Access) -> Result<Folder>;

/// The folders of one machine that have not answered yet.
pub(super) struct Opening {
    open: Open,
    asked: BTreeMap<(PathBuf, bool), oneshot::Receiver<Result<Folder>>>,
}

impl Default for Opening {
    fn default() -> Self {
        Self { open: Folder::open, asked: BTreeMap::new() }
    }
}

impl Opening {
    /// Opens the folder of a share. One that does not answer is asked once, however often this is called.
    ///
    /// # Errors
    /// What [`Folder::open`] says, or that the folder has not answered yet.
    pub(super) async fn open(&mut self, share: &SharedFolder) -> Result<Folder> {
        let key = (share.folder.clone(), share.read_only);
        let mut answer = match self.asked.remove(&key) {
            Some(answer) => answer,
            None => self.ask(share)?,
        };
        match tokio::time::timeout(ANSWER, &mut answer).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => Err(Error::other(format!("cannot open {}", share.folder.display()))),
            Err(_) => {
                let shown = share.folder.display();
                self.asked.insert(key, answer);
                Err(Error::new(
                    Code::TimedOut,
                    format!("{shown} does not answer: is it on a network drive that is away?"),
                ))
            }
        }
    }

    /// On a thread that nobody waits for at the end, as tokio does for its own.
    fn ask(&self, share: &SharedFolder) -> Result<oneshot::Receiver<Result<Folder>>> {
        let (answer, asked) = oneshot::channel();
        let access = if share.read_only { Access::Read } else { Access::ReadWrite };
        let (open, folder) = (self.open, share.folder.clone());
        let opens = move || {
            // Who asked may be gone.
            let _ = answer.send(open(&folder, access));
        };
        let begun = thread::Builder::new().name("open folder".to_owned()).spawn(opens);
        begun.map_err(|error| Error::other("cannot begin a thread").because(error))?;
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_does_not_answer_is_asked_once_and_keeps_no_other() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        fn hangs(path: &Path, access: Access) -> Result<Folder> {
            if path.ends_with("away") {
                ASKED.fetch_add(1, Ordering::Relaxed);
                loop {
                    thread::park();
                }
            }
            Folder::open(path, access)
        }
        let here = tempfile::tempdir().unwrap();
        let share = |name: &str| SharedFolder {
            folder: here.path().join(name),
            guest: format!("/{name}"),
            read_only: false,
            events: false,
        };
        std::fs::create_dir(here.path().join("there")).unwrap();
        let mut opening = Opening { open: hangs, ..Opening::default() };
        for _ in 0..3 {
            let error = opening.open(&share("away")).await.unwrap_err();
            assert_eq!(error.code(), Code::TimedOut);
            assert!(error.to_string().contains("does not answer"), "{error}");
        }
        // Time stands still but for those who wait: whoever answers at all is asked until then.
        for (name, found) in [("there", Ok(())), ("nowhere", Err(Code::NotFound))] {
            let opened = loop {
                match opening.open(&share(name)).await {
                    Err(error) if error.code() == Code::TimedOut => {}
                    other => break other,
                }
            };
            assert_eq!(opened.map(drop).map_err(|error| error.code()), found);
        }
        // Its thread may begin late.
        while ASKED.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        assert_eq!((ASKED.load(Ordering::Relaxed), opening.asked.len()), (1, 1));
    }
}
