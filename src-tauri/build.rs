//! Reads `tauri.conf.json` and the capabilities. Every command is named here, so that a window may call those alone that its
//! capability lists.

const COMMANDS: &[&str] = &[
    "cancel",
    "change_container",
    "command_line",
    "doctor",
    "follow",
    "leave",
    "open_port",
    "perform",
    "quit",
    "size_bounds",
    "watch",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest)).map_err(Into::into)
}
