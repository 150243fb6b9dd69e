//! What a user has chosen for the window: kept in the store, read by the window alone. The command line goes by its own words, so
//! that these mean the same for everybody; what is chosen here as usual for new machines, the window says in its command lines.

use std::io;
use std::path::PathBuf;

use machine_core::{Code, Error, Result};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::files::explain;

/// The window's colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the system has them.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// The window's language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// As the system has it.
    #[default]
    System,
    /// English.
    English,
    /// French.
    French,
}

/// What a user has chosen. A field that an older file does not have is as it would be without a file; one of a newer program is
/// left out of account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowSettings {
    /// Colours.
    pub theme: Theme,
    /// Words.
    pub language: Language,
    /// Virtual CPUs of new machines; as `machine create` chooses where none are said.
    pub cpus: Option<u32>,
    /// Their memory, MiB.
    pub memory_mib: Option<u64>,
    /// The size of their disks, MiB.
    pub disk_mib: Option<u64>,
}

impl App {
    fn window_settings_file(&self) -> PathBuf {
        self.environment.store.join("window.json")
    }

    /// What the user has chosen; what nobody has chosen is as usual.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn window_settings(&self) -> Result<WindowSettings> {
        let path = self.window_settings_file();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(WindowSettings::default()),
            Err(error) => return Err(explain(error, "cannot read", &path)),
        };
        serde_json::from_slice(&text).map_err(|error| {
            Error::new(Code::Other, format!("{} does not hold settings", path.display()))
                .because(error)
                .hint("remove it: what it says is then as usual")
        })
    }

    /// Keeps `settings`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep_window_settings(&self, settings: &WindowSettings) -> Result<()> {
        machine_files::make_private_folder(&self.environment.store)?;
        let text = serde_json::to_vec_pretty(settings)
            .map_err(|error| Error::other("settings cannot be written").because(error))?;
        machine_files::write_whole(&self.window_settings_file(), &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

    #[test]
    fn what_was_chosen_is_there_again_and_other_programs_files_are_understood_as_far_as_they_go() {
        let folder = tempfile::tempdir().unwrap();
        let app = App::new(Environment::read(Some(folder.path())).unwrap());
        assert_eq!(app.window_settings().unwrap(), WindowSettings::default());
        let chosen = WindowSettings { theme: Theme::Dark, cpus: Some(3), ..WindowSettings::default() };
        app.keep_window_settings(&chosen).unwrap();
        assert_eq!(app.window_settings().unwrap(), chosen);
        let file = folder.path().join("window.json");
        std::fs::write(&file, r#"{"language":"french","of_tomorrow":1}"#).unwrap();
        let read = app.window_settings().unwrap();
        assert_eq!(read, WindowSettings { language: Language::French, ..WindowSettings::default() });
        std::fs::write(&file, "{").unwrap();
        assert!(app.window_settings().unwrap_err().to_string().contains("does not hold settings"));
    }
}
