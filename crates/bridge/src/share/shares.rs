//! Sees to it that the machine sees the folders that it shall see, whatever happens to the connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use machine_core::{Carrier, Endpoints, Error, SharedFolder};
use tokio::sync::watch;

use crate::bridge::BridgeConfig;

use super::connection::Connection;
use super::early::{Restarting, restart_early};
use super::events::Way;
use super::mounts::{self, Mounted};
use super::opening::Opening;
use super::row::{Carried, ShareRow, ShareState};
use super::sftp::{Exports, Folder};

/// How long after a loss it is tried again, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How often what could not be mounted is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// What is told of each share.
#[derive(Default)]
pub(crate) struct Rows {
    told: Mutex<Vec<Told>>,
    /// What cannot be watched of them.
    unwatched: Mutex<Vec<String>>,
    /// Why nothing is told to the machine.
    untold: Mutex<Option<String>>,
}

/// One of them.
struct Told {
    share: SharedFolder,
    state: ShareState,
    carried: Option<Carried>,
    folder: Option<Arc<Folder>>,
}

impl Rows {
    /// As they are now.
    pub(crate) fn all(&self) -> Vec<ShareRow> {
        let rows = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |told: &Told| ShareRow {
            share: told.share.clone(),
            state: told.state.clone(),
            carried: told.carried.clone(),
            troubles: told.folder.as_ref().map(|folder| folder.troubles()).unwrap_or_default(),
        };
        rows.iter().map(row).collect()
    }

    /// Before anything was done about them: what is not there yet is on its way.
    pub(crate) fn expect(&self, shares: &[SharedFolder]) {
        let known = self.all();
        let told = |share: &SharedFolder| {
            let row = known.iter().find(|row| row.share == *share);
            let (state, carried) =
                row.map_or((ShareState::Mounting, None), |row| (row.state.clone(), row.carried.clone()));
            Told { share: share.clone(), state, carried, folder: None }
        };
        self.set(shares.iter().map(told).collect());
    }

    fn set(&self, rows: Vec<Told>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }

    /// Notes of which folders containers are not told, and why.
    pub(super) fn set_unwatched(&self, why: Vec<String>) {
        *self.unwatched.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Notes why containers are told of nothing.
    pub(super) fn set_untold(&self, why: Option<String>) {
        *self.untold.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// What does not work of file events, for the user.
    pub(crate) fn missing_events(&self) -> Vec<String> {
        let mut missing = self.unwatched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        missing.extend(self.untold.lock().unwrap_or_else(PoisonError::into_inner).clone());
        missing
    }
}

/// The shared folders of one machine.
pub(crate) struct Shares {
    config: BridgeConfig,
    endpoints: Endpoints,
    wanted: watch::Receiver<Vec<SharedFolder>>,
    rows: Arc<Rows>,
    exports: Arc<Exports>,
    /// The folders that are open, by the names under which they are asked for.
    open: BTreeMap<String, (SharedFolder, Arc<Folder>)>,
    opening: Opening,
    /// What carries those that are mounted, by their places.
    carried: BTreeMap<String, Carried>,
    /// Not all is mounted yet since this process, or the guest, began.
    at_start: bool,
    /// What was mounted since then, and when.
    late: BTreeMap<String, Timestamp>,
    restarting: Option<Restarting>,
    /// What file events need to know.
    way: watch::Sender<Way>,
}

impl Shares {
    pub(crate) fn new(
        config: BridgeConfig,
        endpoints: Endpoints,
        wanted: watch::Receiver<Vec<SharedFolder>>,
        rows: Arc<Rows>,
    ) -> Self {
        Self {
            config,
            endpoints,
            wanted,
            rows,
            exports: Arc::default(),
            open: BTreeMap::new(),
            opening: Opening::default(),
            carried: BTreeMap::new(),
            at_start: true,
            late: BTreeMap::new(),
            restarting: None,
            way: watch::Sender::default(),
        }
    }

    /// What file events need to know, whenever it changes.
    pub(crate) fn way(&self) -> watch::Receiver<Way> {
        self.way.subscribe()
    }

    /// Goes on until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut said = String::new();
        // Whoever has just been told to share nothing may have to unmount what a supervisor before left.
        let told = self.wanted.has_changed().unwrap_or_default();
        let mut idle = self.wanted.borrow_and_update().is_empty() && !told;
        loop {
            if idle {
                // A machine that shares nothing costs nothing: there is no connection.
                if self.wanted.changed().await.is_err() {
                    return std::future::pending().await;
                }
                idle = false;
            }
            self.show(|_| ShareState::Mounting);
            match Connection::open((self.config.ssh)(self.endpoints), Arc::clone(&self.exports)).await {
                Ok(connection) => {
                    pause = FIRST_PAUSE;
                    said.clear();
                    let attended = self.attend(&connection).await;
                    self.way.send_modify(|way| way.tunnel = None);
                    match attended {
                        Ok(()) => {
                            idle = true;
                            continue;
                        }
                        Err(error) => {
                            tracing::info!(%error, "the connection of the shared folders was lost");
                            // The guest may boot: its containers are up before the folders once more.
                            self.at_start = true;
                        }
                    }
                }
                Err(error) => {
                    let reason = error.to_string();
                    if reason != said {
                        tracing::info!(%error, "the machine's folders cannot be mounted yet");
                        said.clone_from(&reason);
                    }
                    self.show(|_| ShareState::Waiting { reason: reason.clone() });
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Mounts and unmounts as is wanted, until nothing is or the connection is lost.
    async fn attend(&mut self, connection: &Connection) -> Result<(), Error> {
        let mut mounted = connection.found.clone();
        let mut restarted = 0;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let mut states = BTreeMap::new();
            self.open_folders(&wanted, &mut states).await;
            for place in std::mem::take(&mut mounted) {
                if wanted.iter().any(|share| share.guest == place) {
                    mounted.push(place);
                    continue;
                }
                connection.root(&format!("cannot unmount {place}"), &mounts::unmount(&place)).await?;
            }
            self.show(|share| states.get(&share.guest).cloned().unwrap_or(ShareState::Mounting));
            for share in &wanted {
                if states.contains_key(&share.guest) {
                    continue;
                }
                let (doing, script) =
                    (format!("cannot mount {}", share.guest), mounts::mount(share, self.config.carrier));
                let state = tokio::select! {
                    done = connection.root(&doing, &script) => match done {
                        Ok(said) => {
                            if let Some(Mounted { carried, at }) = Mounted::read(&said) {
                                self.carried.insert(share.guest.clone(), carried);
                                self.late.extend(at.map(|at| (share.guest.clone(), at)));
                            }
                            if !mounted.contains(&share.guest) {
                                mounted.push(share.guest.clone());
                            }
                            ShareState::Mounted
                        }
                        Err(error) => ShareState::Waiting { reason: error.to_string() },
                    },
                    why = connection.lost() => return Err(why),
                };
                states.insert(share.guest.clone(), state);
                self.show(|share| states.get(&share.guest).cloned().unwrap_or(ShareState::Mounting));
            }
            // Signs are for our own server: by another way they would be carried out.
            let by_sftp =
                |share: &SharedFolder| self.carried.get(&share.guest).is_some_and(|way| way.by == Carrier::Sftp);
            let shares = self.open.values().filter(|(share, _)| share.events && by_sftp(share)).cloned().collect();
            self.way.send_modify(|way| (way.shares, way.tunnel) = (shares, Some(connection.tunnel())));
            if wanted.is_empty() {
                return Ok(());
            }
            let waits = states.values().any(|state| *state != ShareState::Mounted);
            if self.at_start && self.late.len() > restarted {
                restarted = self.late.len();
                let (config, address) = (self.config.clone(), self.endpoints.engine);
                self.restarting = Some(Restarting(tokio::spawn(restart_early(config, address, self.late.clone()))));
            }
            self.at_start &= waits;
            if !self.at_start {
                self.late.clear();
            }
            tokio::select! {
                why = connection.lost() => return Err(why),
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                }
                () = tokio::time::sleep(AGAIN), if waits => {}
            }
        }
    }

    /// Opens folders that are wanted, closes others; what cannot be opened is told.
    async fn open_folders(&mut self, wanted: &[SharedFolder], states: &mut BTreeMap<String, ShareState>) {
        let exports = &self.exports;
        self.open.retain(|name, (share, _)| {
            let stays = wanted.contains(share);
            if !stays {
                exports.remove(name);
            }
            stays
        });
        for share in wanted {
            let name = mounts::export_name(share);
            if self.open.contains_key(&name) {
                continue;
            }
            match self.opening.open(share).await {
                Ok(folder) => {
                    let folder = Arc::new(folder.with_events(share.events));
                    exports.add(name.clone(), Arc::clone(&folder));
                    self.open.insert(name, (share.clone(), folder));
                }
                Err(error) => {
                    states.insert(share.guest.clone(), ShareState::Waiting { reason: error.to_string() });
                }
            }
        }
    }

    fn show(&self, state: impl Fn(&SharedFolder) -> ShareState) {
        let wanted = self.wanted.borrow().clone();
        let rows = wanted.into_iter().map(|share| {
            let folder = self.open.get(&mounts::export_name(&share)).map(|(_, folder)| Arc::clone(folder));
            let state = state(&share);
            let carried = self.carried.get(&share.guest).filter(|_| state == ShareState::Mounted).cloned();
            Told { share, state, carried, folder }
        });
        self.rows.set(rows.collect());
    }
}
