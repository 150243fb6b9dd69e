//! Follows what containers mount, watches that here, and tells the guest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use machine_core::{Error, Result, SharedFolder};
use machine_ssh::Tunnel;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bridge::{Containers, Events};
use crate::share::sftp::Folder;
use crate::share::shares::Rows;

use super::guest::Guest;
use super::news::{News, Told, news, of_folders};
use super::watched::watched;
use super::watcher::{Heard, Unwatched, Watcher};

/// How long is waited after a change for those that come with it: an editor writes a file in several steps.
const TOGETHER: Duration = Duration::from_millis(50);

/// Paths of one batch: below what one command's line may have, even where names are long.
const BATCH: usize = 100;

/// How long the guest believes what it knew of a file (one second in its kernel, one in `sshfs`), and some more. What is gone is gone
/// for all only then: its folder is told again.
const FORGOTTEN: Duration = Duration::from_millis(2500);

/// How often what could not be watched is tried again, and telling after a failure.
const AGAIN: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(1);

/// Where the shares with events are, and the way to the guest while there is one.
#[derive(Clone, Default)]
pub(crate) struct Way {
    /// Each with the folder that serves it.
    pub(crate) shares: Vec<(SharedFolder, Arc<Folder>)>,
    /// None while they are not mounted.
    pub(crate) tunnel: Option<Tunnel>,
}

/// File events of one machine.
pub(crate) struct FileEvents {
    containers: Containers,
    way: watch::Receiver<Way>,
    rows: Arc<Rows>,
    events: Events,
    heard: Arc<Heard>,
}

impl FileEvents {
    pub(crate) fn new(containers: Containers, way: watch::Receiver<Way>, rows: Arc<Rows>, events: Events) -> Self {
        Self { containers, way, rows, events, heard: Arc::default() }
    }

    /// Goes on until it is dropped.
    pub(crate) async fn run(self) {
        tokio::join!(self.keep_watching(), self.keep_telling());
    }

    /// Watches what the containers mount.
    async fn keep_watching(&self) {
        let watcher = Arc::new(Mutex::new(Watcher::new(Arc::clone(&self.heard))));
        let (mut containers, mut way) = (self.containers.clone(), self.way.clone());
        loop {
            let running = containers.borrow_and_update().clone();
            let shares = way.borrow_and_update().shares.clone();
            // Before the engine has answered nothing is known: what is watched stays.
            let unwatched = match running {
                Some(_) if shares.is_empty() && self.heard.shares().is_empty() => Vec::new(),
                Some(running) => {
                    let (heard, watcher) = (Arc::clone(&self.heard), Arc::clone(&watcher));
                    let look = tokio::task::spawn_blocking(move || {
                        let told = told(shares);
                        let real = |path: &Path| path.canonicalize().ok();
                        let shares: Vec<_> = told.iter().map(|told| &told.share).collect();
                        let wanted = watched(&running, &shares, real, Path::is_dir);
                        heard.expect(told, wanted.clone());
                        let mut watcher = watcher.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        watcher.watch(&wanted)
                    });
                    look.await.unwrap_or_default()
                }
                None => Vec::new(),
            };
            self.rows.set_unwatched(unwatched.iter().map(complaint).collect());
            tokio::select! {
                changed = containers.changed() => if changed.is_err() { return },
                changed = way.changed() => if changed.is_err() { return },
                () = self.heard.look.notified() => sleep(SOON).await,
                () = sleep(AGAIN), if !unwatched.is_empty() => {}
            }
        }
    }

    /// Tells the guest of changes, one batch after the other.
    async fn keep_telling(&self) {
        let mut guest = None;
        let mut again = Again::default();
        let mut pause = SOON;
        loop {
            tokio::select! {
                () = self.heard.changes.notified() => {}
                () = again.due() => {}
            }
            sleep(TOGETHER).await;
            loop {
                let Some(tunnel) = self.tunnel().await else { return };
                match self.tell_next(&mut guest, &tunnel, &mut again).await {
                    Ok(true) => {
                        pause = SOON;
                        self.rows.set_untold(None);
                    }
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "file events are not told");
                        guest = None;
                        self.rows.set_untold(Some(format!("containers are not told of changes: {error}")));
                        sleep(pause).await;
                        pause = (pause * 2).min(AGAIN);
                    }
                }
            }
        }
    }

    /// The way to the guest, when there is one.
    async fn tunnel(&self) -> Option<Tunnel> {
        let mut way = self.way.clone();
        let way = way.wait_for(|way| way.tunnel.is_some()).await.ok()?;
        way.tunnel.clone()
    }

    /// Tells of the next changes; returns whether there were any. They are kept when that fails.
    async fn tell_next(&self, guest: &mut Option<Guest>, tunnel: &Tunnel, again: &mut Again) -> Result<bool> {
        let (changes, lost) = self.heard.take(BATCH);
        let due = again.take();
        if changes.is_empty() && !lost && due.is_empty() {
            return Ok(false);
        }
        let (heard, kept) = (Arc::clone(&self.heard), changes.clone());
        let look = tokio::task::spawn_blocking(move || {
            let shares = heard.shares();
            let folders = if lost { heard.folders() } else { Vec::new() };
            (news(&changes, &shares), of_folders(folders.iter().map(PathBuf::as_path), &shares))
        });
        let (mut news, folders) = look.await.map_err(|error| Error::other("file events").because(error))?;
        if lost {
            // Nobody may be listening.
            let _ = self.events.send(("file events dropped".into(), serde_json::json!({ "told": "folders" })));
            news.changed.extend(folders.changed);
        }
        news.changed.extend(due.iter().cloned());
        let told = self.tell(guest, tunnel, &news).await;
        if told.is_err() {
            self.heard.put_back(&kept, lost);
            again.add(due);
        }
        again.add(news.poorer);
        told.map(|()| true)
    }

    async fn tell(&self, guest: &mut Option<Guest>, tunnel: &Tunnel, news: &News) -> Result<()> {
        let guest = match guest {
            Some(guest) => guest,
            none => none.insert(Guest::start(tunnel).await?),
        };
        for gone in &news.gone {
            gone.folder.seems_there(&gone.place);
        }
        let places: Vec<String> = self.heard.shares().into_iter().map(|told| told.share.guest).collect();
        let told = async {
            for (number, changed) in news.changed.chunks(BATCH).enumerate() {
                guest.tell(&places, changed, if number == 0 { &news.gone } else { &[] }).await?;
            }
            if news.changed.is_empty() && !news.gone.is_empty() {
                guest.tell(&places, &[], &news.gone).await?;
            }
            Ok(())
        }
        .await;
        for gone in &news.gone {
            gone.folder.gone(&gone.place);
        }
        told
    }
}

/// Folders that are told of once more, when the guest has forgotten what it knew of them.
#[derive(Default)]
struct Again {
    folders: BTreeSet<Vec<u8>>,
    when: Option<Instant>,
}

impl Again {
    /// From the last that was added.
    fn add(&mut self, folders: impl IntoIterator<Item = Vec<u8>>) {
        for folder in folders {
            self.folders.insert(folder);
            self.when = Some(Instant::now() + FORGOTTEN);
        }
    }

    async fn due(&self) {
        match self.when {
            Some(when) => sleep_until(when).await,
            None => std::future::pending().await,
        }
    }

    fn take(&mut self) -> BTreeSet<Vec<u8>> {
        match self.when.take_if(|when| *when <= Instant::now()) {
            Some(_) => std::mem::take(&mut self.folders),
            None => BTreeSet::new(),
        }
    }
}

/// The shares that are there, by their real paths.
fn told(shares: Vec<(SharedFolder, Arc<Folder>)>) -> Vec<Told> {
    let told = shares.into_iter().filter_map(|(share, folder)| {
        let root = share.folder.canonicalize().ok()?;
        Some(Told { share, folder, root })
    });
    told.collect()
}

fn complaint(unwatched: &Unwatched) -> String {
    format!("containers are not told of changes in {}: {}", unwatched.folder.display(), unwatched.why)
}
