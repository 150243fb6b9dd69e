//! The one window.

use tauri::{App, Manager as _, WebviewUrl, WebviewWindowBuilder, WindowEvent};

use crate::session::Session;

/// Opens it. It never leaves what is compiled in: neither a link nor a script leads it elsewhere.
pub fn open(app: &App) -> tauri::Result<()> {
    let window = WebviewWindowBuilder::new(app, "main", WebviewUrl::default())
        .title("Machine")
        .inner_size(1040.0, 700.0)
        .min_inner_size(560.0, 420.0)
        .on_navigation(|url| {
            let compiled_in = if cfg!(windows) { ("http", "tauri.localhost") } else { ("tauri", "localhost") };
            (url.scheme(), url.host_str().unwrap_or_default()) == compiled_in
        })
        .build()?;
    let session = app.state::<Session>().inner().clone();
    window.on_window_event(move |event| {
        if let WindowEvent::CloseRequested { api, .. } = event
            && !session.may_close()
        {
            api.prevent_close();
        }
    });
    Ok(())
}
