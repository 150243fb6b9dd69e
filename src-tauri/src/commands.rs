//! What the window may ask for. Names are checked when they are read; paths and arguments there are none.
#![expect(clippy::needless_pass_by_value, reason = "Tauri hands a command its arguments by value")]

use std::time::Instant;

use machine_app::{
    Action, Answered, Check, ChosenFolder, ContainerAction, EngineAction, EngineQuestion, SizeBounds, Source,
    TerminalRequest, Told, Typed, WindowSettings,
};
use machine_core::{Event, MachineName, Reporter, ResultExt};
use tauri::ipc::Channel;
use tauri::{AppHandle, State};
use tauri_plugin_dialog::DialogExt as _;

use crate::failure::Failure;
use crate::own_thread::on_own_thread;
use crate::session::{News, Session};

/// Tells `news` from now on.
#[tauri::command]
pub fn watch(session: State<'_, Session>, news: Channel<News>) {
    session.watch(news);
}

/// Does what `action` says; returns what to tell then.
#[tauri::command]
pub async fn perform(session: State<'_, Session>, action: Action, events: Channel<Event>) -> Result<String, Failure> {
    let app = session.app()?;
    let machine = action.name().clone();
    let (begun, name) = (Instant::now(), machine.to_string());
    let reporter = Reporter::new(move |kind| {
        // A window that has gone needs no progress.
        let _ = events.send(Event { machine: Some(name.clone()), elapsed: begun.elapsed(), kind });
    });
    session.work(machine, move || async move { app.perform(action, &reporter).await }).await
}

/// Ends what [`perform`] does to a machine.
#[tauri::command]
pub fn cancel(session: State<'_, Session>, name: MachineName) {
    session.cancel(&name);
}

/// The command line that is equal to `action`.
#[tauri::command]
pub fn command_line(action: Action) -> String {
    action.command_line()
}

/// How large a machine may be here.
#[tauri::command]
pub async fn size_bounds(session: State<'_, Session>) -> Result<SizeBounds, Failure> {
    let app = session.app()?;
    Ok(on_own_thread(move || async move { Ok(app.size_bounds()) }).await?)
}

/// Checks this computer.
#[tauri::command]
pub async fn doctor(session: State<'_, Session>) -> Result<Vec<Check>, Failure> {
    let app = session.app()?;
    Ok(on_own_thread(move || async move { app.doctor().await }).await?)
}

/// Does what `action` says to a container.
#[tauri::command]
pub async fn change_container(session: State<'_, Session>, action: ContainerAction) -> Result<(), Failure> {
    let app = session.app()?;
    Ok(on_own_thread(move || async move { app.change_container(&action).await }).await?)
}

/// Does what `action` says to an engine; returns how many bytes that freed, where that is known.
#[tauri::command]
pub async fn change_engine(session: State<'_, Session>, action: EngineAction) -> Result<Option<u64>, Failure> {
    let app = session.app()?;
    Ok(on_own_thread(move || async move { app.change_engine(&action).await }).await?)
}

/// The command line that is equal to `action`.
#[tauri::command]
pub fn engine_line(session: State<'_, Session>, action: EngineAction) -> Result<String, Failure> {
    Ok(session.app()?.engine_line(&action)?)
}

/// Asks an engine once.
#[tauri::command]
pub async fn ask_engine(session: State<'_, Session>, question: EngineQuestion) -> Result<Answered, Failure> {
    let app = session.app()?;
    Ok(on_own_thread(move || async move { app.ask_engine(&question).await }).await?)
}

/// Opens a terminal into a container and tells `told` what it shows; returns when its shell ends, or when [`leave`] says so.
#[tauri::command]
pub async fn open_terminal(
    session: State<'_, Session>,
    request: TerminalRequest,
    told: Channel<Told>,
) -> Result<(), Failure> {
    session.terminal(request, told).await
}

/// What the user did in the terminal whose channel has that number.
#[tauri::command]
pub fn type_in(session: State<'_, Session>, channel: u32, typed: Typed) {
    session.type_in(channel, typed);
}

/// Lets the user choose a folder in the system's own dialog; none when that was left. It is kept here: the page learns only what to show.
#[tauri::command]
pub async fn choose_folder(
    app: AppHandle,
    session: State<'_, Session>,
    machine: MachineName,
) -> Result<Option<ChosenFolder>, Failure> {
    let (tell, chosen) = tokio::sync::oneshot::channel();
    app.dialog().file().pick_folder(move |folder| {
        // Whoever has gone needs no folder.
        let _ = tell.send(folder);
    });
    let Some(folder) = chosen.await.ok().flatten().and_then(|folder| folder.into_path().ok()) else { return Ok(None) };
    let shown = session.app()?.chosen_folder(&machine, &folder)?;
    session.choose(machine, folder);
    Ok(Some(shown))
}

/// Lets the machine see the folder that was chosen for it last.
#[tauri::command]
pub async fn share_chosen(session: State<'_, Session>, machine: MachineName, read_only: bool) -> Result<(), Failure> {
    let app = session.app()?;
    let folder = session.chosen(&machine)?;
    Ok(on_own_thread(move || async move { app.share_chosen(&machine, &folder, read_only).await }).await?)
}

/// Takes away the folder that the machine sees at `guest`.
#[tauri::command]
pub async fn unshare(session: State<'_, Session>, machine: MachineName, guest: String) -> Result<(), Failure> {
    let app = session.app()?;
    Ok(on_own_thread(move || async move { app.unshare(&machine, &guest).await }).await?)
}

/// The command line that is equal to [`unshare`].
#[tauri::command]
pub fn unshare_line(session: State<'_, Session>, machine: MachineName, guest: String) -> Result<String, Failure> {
    Ok(session.app()?.unshare_line(&machine, &guest))
}

/// What the user has chosen for this window.
#[tauri::command]
pub fn settings(session: State<'_, Session>) -> Result<WindowSettings, Failure> {
    Ok(session.app()?.window_settings()?)
}

/// Keeps what the user has chosen.
#[tauri::command]
pub fn keep_settings(session: State<'_, Session>, settings: WindowSettings) -> Result<(), Failure> {
    Ok(session.app()?.keep_window_settings(&settings)?)
}

/// Tells `told` of `source`; returns when there is no more to come, or when [`leave`] says so.
#[tauri::command]
pub async fn follow(session: State<'_, Session>, source: Source, told: Channel<Told>) -> Result<(), Failure> {
    session.follow(source, told).await
}

/// Follows no longer what is told to the channel of that number.
#[tauri::command]
pub fn leave(session: State<'_, Session>, channel: u32) {
    session.leave(channel);
}

/// Opens the page that a container publishes on `port` in the user's browser. The address is made here.
#[tauri::command]
pub async fn open_port(session: State<'_, Session>, machine: MachineName, port: u16) -> Result<(), Failure> {
    let app = session.app()?;
    let open = move || async move {
        let page = app.page(&machine, port).await?;
        open::that_detached(&page).context(|| format!("no browser could be opened: type {page} into one"))
    };
    Ok(on_own_thread(open).await?)
}

/// Ends this program, whatever work goes on.
#[tauri::command]
pub fn quit(app: AppHandle) {
    app.exit(0);
}
