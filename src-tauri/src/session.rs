//! What the commands share: the application, the work that goes on, and the window's own channel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use machine_app::{App, Card, Environment, Overview, Source, Told};
use machine_core::{Code, Error, MachineName, Result};
use serde::Serialize;
use tauri::ipc::Channel;
use tokio::sync::{Notify, oneshot};

use crate::failure::Failure;
use crate::own_thread::on_own_thread;

/// How long between two looks at the machines, when nothing is known to have happened.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1500);

/// What the window is told without having asked.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum News {
    /// All machines, whenever something of them has changed.
    Machines {
        /// In natural order.
        machines: Vec<Card>,
    },
    /// They could not be looked at.
    Trouble {
        /// Why.
        failure: Failure,
    },
    /// The user wants to close the window while work goes on.
    Closing {
        /// The machines that are being worked on.
        working: Vec<String>,
    },
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    app: Result<App, Failure>,
    working: Mutex<HashMap<MachineName, Option<oneshot::Sender<()>>>>,
    window: Mutex<Option<Channel<News>>>,
    look: Notify,
    followed: Mutex<HashMap<u32, oneshot::Sender<()>>>,
}

impl Session {
    /// In this program's environment. What is wrong with that, every command says.
    pub fn new() -> Self {
        let app = Environment::read_beside_machine().map(App::new).map_err(Failure::from);
        Self(Arc::new(Inner {
            app,
            working: Mutex::default(),
            window: Mutex::default(),
            look: Notify::new(),
            followed: Mutex::default(),
        }))
    }

    /// The application.
    pub fn app(&self) -> Result<App, Failure> {
        self.0.app.clone()
    }

    /// Tells the window from now on; a page from before, and what it followed, get nothing more.
    pub fn watch(&self, channel: Channel<News>) {
        lock(&self.0.followed).clear();
        *lock(&self.0.window) = Some(channel.clone());
        let session = self.clone();
        // Never awaited: it ends when another window watches, or with this program.
        tauri::async_runtime::spawn(on_own_thread(move || async move {
            session.look_again_and_again(channel).await;
            Ok(())
        }));
    }

    async fn look_again_and_again(&self, channel: Channel<News>) {
        let mut overview = self.app().map(Overview::new);
        let mut told = None;
        while lock(&self.0.window).as_ref().is_some_and(|window| window.id() == channel.id()) {
            let looked = match &mut overview {
                Ok(overview) => overview.look().await.map_err(Failure::from),
                Err(failure) => Err(failure.clone()),
            };
            let news = looked.map_or_else(|failure| News::Trouble { failure }, |machines| News::Machines { machines });
            // Compared as it is sent: what has not changed costs the window nothing.
            let text = serde_json::to_string(&news).unwrap_or_default();
            if told.as_ref() != Some(&text) {
                if channel.send(news).is_err() {
                    return;
                }
                told = Some(text);
            }
            let _elapsed_or_poked = tokio::time::timeout(BETWEEN_LOOKS, self.0.look.notified()).await;
        }
    }

    /// Runs work on a machine until it ends or is cancelled. One at a time for each machine.
    pub async fn work<F, W>(&self, name: MachineName, work: F) -> Result<String, Failure>
    where
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = Result<String>> + 'static,
    {
        let (cancel, cancelled) = oneshot::channel();
        {
            let mut working = lock(&self.0.working);
            if working.contains_key(&name) {
                return Err(Error::new(Code::Busy, format!("this window is already working on {:?}", name.as_str()))
                    .hint("wait for it to end, or cancel it")
                    .into());
            }
            working.insert(name.clone(), Some(cancel));
        }
        self.0.look.notify_one();
        let result = on_own_thread(move || async move {
            tokio::select! {
                result = work() => result,
                Ok(()) = cancelled => Err(Error::new(Code::Interrupted, "cancelled")),
            }
        })
        .await;
        lock(&self.0.working).remove(&name);
        self.0.look.notify_one();
        result.map_err(Failure::from)
    }

    /// Ends the work on a machine; its record stays as a crash would leave it, which `create`, `start` and `rm` work with.
    pub fn cancel(&self, name: &MachineName) {
        if let Some(cancel) = lock(&self.0.working).get_mut(name).and_then(Option::take) {
            // Whoever does not listen has ended already.
            let _ = cancel.send(());
        }
    }

    /// Tells `channel` of `source` until it is left, ends or fails. The channel's number is its name.
    pub async fn follow(&self, source: Source, channel: Channel<Told>) -> Result<(), Failure> {
        let app = self.app()?;
        let (leave, left) = oneshot::channel();
        let number = channel.id();
        lock(&self.0.followed).insert(number, leave);
        let result = on_own_thread(move || async move {
            let tell = |told| {
                // A window that has gone is told nothing.
                let _ = channel.send(told);
            };
            tokio::select! {
                result = app.follow(source, tell) => result,
                _ = left => Ok(()),
            }
        })
        .await;
        lock(&self.0.followed).remove(&number);
        result.map_err(Failure::from)
    }

    /// Follows it no longer.
    pub fn leave(&self, number: u32) {
        // Dropping the other end is what the follower hears.
        lock(&self.0.followed).remove(&number);
    }

    /// Whether the window may close now; when not, it is told why.
    pub fn may_close(&self) -> bool {
        let working: Vec<String> = lock(&self.0.working).keys().map(ToString::to_string).collect();
        match &*lock(&self.0.window) {
            Some(window) if !working.is_empty() => window.send(News::Closing { working }).is_err(),
            _ => true,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
