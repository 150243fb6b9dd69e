//! What the commands share: the application, the work that goes on, and the window's own channel.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use machine_app::{App, Card, Environment, Overview, Source, TerminalRequest, Told, Typed};
use machine_core::{Code, Error, MachineName, Result};
use serde::Serialize;
use tauri::ipc::Channel;
use tokio::sync::{Notify, mpsc, oneshot};

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

/// Tells a window's channel.
type Tell = Box<dyn Fn(Told)>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    app: Result<App, Failure>,
    working: Mutex<HashMap<MachineName, Option<oneshot::Sender<()>>>>,
    window: Mutex<Option<Channel<News>>>,
    look: Notify,
    /// By channel. None for what was left before it began: the window's calls may arrive in another order than it made them.
    followed: Mutex<HashMap<u32, Option<oneshot::Sender<()>>>>,
    /// The folder that was chosen last, and for which machine.
    chosen: Mutex<Option<(MachineName, PathBuf)>>,
    /// Terminals, by channel.
    typing: Mutex<HashMap<u32, mpsc::UnboundedSender<Typed>>>,
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
            chosen: Mutex::default(),
            typing: Mutex::default(),
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
        self.until_left(channel, move |app, tell| async move { app.follow(source, tell).await }).await
    }

    /// Opens a terminal, until it is left, ends or fails.
    pub async fn terminal(&self, request: TerminalRequest, channel: Channel<Told>) -> Result<(), Failure> {
        let number = channel.id();
        let (type_in, typed) = mpsc::unbounded_channel();
        lock(&self.0.typing).insert(number, type_in);
        let open = move |app: App, tell: Tell| async move { app.terminal(request, typed, tell).await };
        let result = self.until_left(channel, open).await;
        lock(&self.0.typing).remove(&number);
        result
    }

    /// Hands on what was typed; a terminal that has ended hears nothing.
    pub fn type_in(&self, number: u32, typed: Typed) {
        if let Some(terminal) = lock(&self.0.typing).get(&number) {
            let _ = terminal.send(typed);
        }
    }

    /// Keeps a folder that the user has chosen for a machine.
    pub fn choose(&self, machine: MachineName, folder: PathBuf) {
        *lock(&self.0.chosen) = Some((machine, folder));
    }

    /// The folder that the user has chosen for a machine.
    pub fn chosen(&self, machine: &MachineName) -> Result<PathBuf> {
        let chosen = lock(&self.0.chosen).clone();
        let found = chosen.filter(|(of, _)| of == machine).map(|(_, folder)| folder);
        found.ok_or_else(|| Error::new(Code::Usage, format!("no folder was chosen for {:?}", machine.as_str())))
    }

    async fn until_left<F, W>(&self, channel: Channel<Told>, work: F) -> Result<(), Failure>
    where
        F: FnOnce(App, Tell) -> W + Send + 'static,
        W: Future<Output = Result<()>> + 'static,
    {
        let (leave, left) = oneshot::channel();
        let number = channel.id();
        let left_before = lock(&self.0.followed).insert(number, Some(leave)).is_some();
        let followed = async {
            let app = self.app()?;
            let follow = move || async move {
                let tell: Tell = Box::new(move |told| {
                    // A window that has gone is told nothing.
                    let _ = channel.send(told);
                });
                tokio::select! {
                    result = work(app, tell) => result,
                    _ = left => Ok(()),
                }
            };
            Ok(on_own_thread(follow).await?)
        };
        let result = if left_before { Ok(()) } else { followed.await };
        lock(&self.0.followed).remove(&number);
        result
    }

    /// Follows it no longer.
    pub fn leave(&self, number: u32) {
        let mut followed = lock(&self.0.followed);
        // Dropping the other end is what the follower hears.
        if followed.remove(&number).is_none() {
            followed.insert(number, None);
        }
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn dev() -> MachineName {
        "dev".parse().unwrap()
    }

    /// A window, and what it is told.
    fn window(session: &Session) -> mpsc::Receiver<String> {
        let (tell, told) = mpsc::channel();
        let channel = Channel::new(move |body| {
            let tauri::ipc::InvokeResponseBody::Json(text) = body else { panic!("not JSON") };
            // Whoever does not listen any more has seen enough.
            let _ = tell.send(text);
            Ok(())
        });
        *lock(&session.0.window) = Some(channel);
        told
    }

    #[tokio::test]
    async fn a_machine_is_worked_on_once_at_a_time_and_cancelling_ends_the_work() {
        let session = Session::new();
        let (begun, has_begun) = oneshot::channel();
        let work = tokio::spawn({
            let session = session.clone();
            async move {
                let work = || async {
                    begun.send(()).unwrap();
                    std::future::pending().await
                };
                session.work(dev(), work).await
            }
        });
        has_begun.await.unwrap();
        let second = session.work(dev(), || async { Ok(String::new()) }).await.unwrap_err();
        assert!(second.message.contains("already working on \"dev\""), "{second:?}");
        session.cancel(&dev());
        assert!(work.await.unwrap().unwrap_err().cancelled);
        assert_eq!(session.work(dev(), || async { Ok("done".to_owned()) }).await.unwrap(), "done");
    }

    #[test]
    fn a_window_closes_unless_work_goes_on_and_then_it_is_told_of_what() {
        let session = Session::new();
        let told = window(&session);
        assert!(session.may_close());
        lock(&session.0.working).insert(dev(), None);
        assert!(!session.may_close());
        assert_eq!(told.try_recv().unwrap(), r#"{"kind":"closing","working":["dev"]}"#);
    }

    #[tokio::test]
    async fn what_was_left_before_it_began_is_not_followed() {
        let session = Session::new();
        let channel = Channel::new(|_| panic!("it was told something"));
        session.leave(channel.id());
        let source = Source::Containers { machine: dev() };
        assert_eq!(session.follow(source.clone(), channel).await, Ok(()));
        // Without being left it would have said that there is no application beside a test, or no machine.
        let other = Channel::new(|_| Ok(()));
        assert!(session.follow(source, other).await.is_err());
    }
}
