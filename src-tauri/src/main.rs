//! The desktop app: a window over the same use cases and the same files as the command line. What it does is in
//! `machine-app`, how it looks is in `ui`.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod commands;
mod context;
#[cfg(test)]
mod contract_tests;
mod failure;
mod own_thread;
mod session;
mod window;

use machine_app::Environment;
use machine_core::{Error, Result};

use crate::session::Session;

fn main() -> Result<()> {
    if !Environment::has_display() {
        return Err(Error::other("there is no screen to open a window on: neither DISPLAY nor WAYLAND_DISPLAY is set")
            .hint("the command line does all that the window does: `machine help`"));
    }
    tauri::Builder::default()
        // For its Rust side alone: no capability lets the page call it.
        .plugin(tauri_plugin_dialog::init())
        .manage(Session::new())
        .invoke_handler(tauri::generate_handler![
            commands::ask_engine,
            commands::cancel,
            commands::change_container,
            commands::change_engine,
            commands::choose_folder,
            commands::command_line,
            commands::doctor,
            commands::engine_line,
            commands::follow,
            commands::keep_settings,
            commands::leave,
            commands::open_port,
            commands::open_terminal,
            commands::perform,
            commands::quit,
            commands::settings,
            commands::share_chosen,
            commands::size_bounds,
            commands::type_in,
            commands::unshare,
            commands::unshare_line,
            commands::watch,
        ])
        .setup(|app| Ok(window::open(app)?))
        .run(context::context())
        .map_err(|error| Error::other("the window could not be opened").because(error))
}
