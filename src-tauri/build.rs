//! Reads `tauri.conf.json` and the capabilities. Every command is named here, so that a window may call those alone that its
//! capability lists.

const COMMANDS: &[&str] = &[
    "ask_engine",
    "cancel",
    "change_container",
    "change_engine",
    "choose_folder",
    "command_line",
    "doctor",
    "engine_line",
    "follow",
    "keep_settings",
    "leave",
    "open_port",
    "open_terminal",
    "perform",
    "quit",
    "settings",
    "share_chosen",
    "size_bounds",
    "type_in",
    "unshare",
    "unshare_line",
    "watch",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest)).map_err(Into::into)
}
