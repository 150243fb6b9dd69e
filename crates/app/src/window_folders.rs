//! Folders that a machine sees, for a window: a path of this computer comes from a native dialog, never from the page.

use std::path::Path;
use std::time::Duration;

use machine_bridge::ShareState;
use machine_core::{Code, Error, MachineName, Reporter, Result, SharedFolder};
use serde::Serialize;

use crate::app::App;
use crate::engine_action::users_shell;
use crate::follow::Told;
use crate::shares::{SeenFolder, Shares};

/// How often a supervisor is asked how the folders are.
const PAUSE: Duration = Duration::from_millis(800);

/// A folder that a machine sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FolderRow {
    /// Where it is on this computer.
    pub folder: String,
    /// Where the machine sees it: what it is named by.
    pub guest: String,
    /// The machine may not change it.
    pub read_only: bool,
    /// What changes in it here is told to programs in containers that watch files.
    pub events: bool,
    /// How it is, while the machine runs.
    pub state: Option<ShareState>,
    /// What carries it, while it is mounted: `sftp`, `9p`.
    pub carrier: Option<String>,
}

impl FolderRow {
    fn of(SeenFolder { share, state, carried }: SeenFolder) -> Self {
        Self {
            folder: share.folder.display().to_string(),
            guest: share.guest,
            read_only: share.read_only,
            events: share.events,
            state,
            carrier: carried.map(|carried| carried.by.to_string()),
        }
    }
}

/// The command lines that are equal to sharing a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChosenFolder {
    /// Where it is.
    pub folder: String,
    /// With the right to change it.
    pub line: String,
    /// To read only.
    pub read_only_line: String,
    /// What is worth a thought before it is shared: keys in it.
    pub warnings: Vec<String>,
}

/// What `share add` takes.
fn words(folder: &Path, read_only: bool) -> Result<String> {
    let text = folder.to_str().ok_or_else(|| {
        Error::new(Code::Usage, format!("the name of {} is not UTF-8: it cannot be shared", folder.display()))
    })?;
    Ok(if read_only { format!("{text}:ro") } else { text.to_owned() })
}

impl App {
    pub(crate) async fn follow_folders(&self, machine: &MachineName, tell: &impl Fn(Told)) -> Result<()> {
        let mut told = None;
        loop {
            // Without its record there is no machine to wait for.
            let Shares { folders, warnings } = self.shares(machine).await?;
            let now = Told::Folders { folders: folders.into_iter().map(FolderRow::of).collect(), warnings };
            if told.as_ref() != Some(&now) {
                tell(now.clone());
                told = Some(now);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What to show of a folder that was chosen in a native dialog.
    ///
    /// # Errors
    /// A name that cannot be said on a command line, or that no machine can see.
    pub fn chosen_folder(&self, machine: &MachineName, folder: &Path) -> Result<ChosenFolder> {
        let shell = users_shell();
        let line = |words: String| format!("machine share add {machine} {}", shell.word(&words));
        let share = SharedFolder::parse(&words(folder, false)?, &self.environment.current)?;
        Ok(ChosenFolder {
            folder: folder.display().to_string(),
            line: line(words(folder, false)?),
            read_only_line: line(words(folder, true)?),
            warnings: self.warnings_of_shares(&[share]),
        })
    }

    /// Lets a machine see a folder that was chosen in a native dialog.
    ///
    /// # Errors
    /// As [`App::add_shares`].
    pub async fn share_chosen(&self, machine: &MachineName, folder: &Path, read_only: bool) -> Result<()> {
        self.add_shares(machine, &[words(folder, read_only)?], &Reporter::silent()).await.map(drop)
    }

    /// Takes away a folder that a machine sees at `guest`. Any other text names none.
    ///
    /// # Errors
    /// As [`App::remove_shares`].
    pub async fn unshare(&self, machine: &MachineName, guest: &str) -> Result<()> {
        let seen = self.record(machine)?.spec.shares;
        if !seen.iter().any(|share| share.guest == guest) {
            return Err(Error::new(Code::NotFound, format!("machine {:?} sees no folder there", machine.as_str())));
        }
        self.remove_shares(machine, &[guest.to_owned()], &Reporter::silent()).await.map(drop)
    }

    /// The command line that is equal to [`App::unshare`].
    pub fn unshare_line(&self, machine: &MachineName, guest: &str) -> String {
        format!("machine share rm {machine} {}", users_shell().word(guest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

    #[tokio::test]
    async fn a_page_cannot_take_away_what_is_not_shared_and_lines_say_what_was_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let app = App::new(Environment::read(Some(folder.path())).unwrap());
        let dev: MachineName = "dev".parse().unwrap();
        app.store.save(&crate::store::remains(&dev, "qemu")).unwrap();
        assert_eq!(app.unshare(&dev, "/home").await.unwrap_err().code(), Code::NotFound);
        let chosen = app.chosen_folder(&dev, Path::new("/src")).unwrap();
        assert_eq!(chosen.line, "machine share add dev /src");
        assert_eq!(chosen.read_only_line, "machine share add dev /src:ro");
        assert_eq!(chosen.warnings, [""; 0]);
        let with_keys = app.chosen_folder(&dev, folder.path()).unwrap();
        let [warning] = &with_keys.warnings[..] else { panic!("{:?}", with_keys.warnings) };
        assert!(warning.ends_with("has the folder in which machines are kept, with their keys"), "{warning}");
    }
}
