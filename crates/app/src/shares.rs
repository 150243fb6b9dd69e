//! Folders of this computer that a machine sees.

use std::path::Path;
use std::time::{Duration, Instant};

use machine_bridge::{Answer, Carried, Question, ShareRow, ShareState};
use machine_core::{Code, Error, MachineName, MachineRecord, Phase, Reporter, Result, ShareType, SharedFolder};

use crate::app::App;
use crate::bridge::other_words;

/// How long mounting may take: seconds without hardware acceleration.
const MOUNTING: Duration = Duration::from_secs(90);

/// How often it is asked whether it is done.
const LOOK: Duration = Duration::from_millis(200);

/// What a machine sees of this computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Each folder.
    pub folders: Vec<SeenFolder>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A folder that a machine sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFolder {
    /// Which, and where.
    pub share: SharedFolder,
    /// How it is, while the machine runs.
    pub state: Option<ShareState>,
    /// What carries it, while it is mounted.
    pub carried: Option<Carried>,
}

impl Shares {
    /// Those of a machine that is off.
    fn at_rest(folders: Vec<SharedFolder>) -> Self {
        let folders = folders.into_iter().map(|share| SeenFolder { share, state: None, carried: None });
        Self { folders: folders.collect(), warnings: Vec::new() }
    }
}

impl App {
    /// The folders that the user's words mean, for a machine that is about to be made.
    ///
    /// # Errors
    /// Words that mean no folder, one that must not be shared, or a driver whose machines are elsewhere.
    pub(crate) fn shared_folders(&self, words: &[String], driver: &str, user: &str) -> Result<Vec<SharedFolder>> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        self.check_that_folders_can_be_shared(driver)?;
        let mut shares = Vec::new();
        for words in words {
            let share = self.shared_folder(words, user)?;
            take_in(&mut shares, share)?;
        }
        Ok(shares)
    }

    /// Refuses what machines of a driver cannot have: 9p and virtiofs are devices of a virtual machine here.
    ///
    /// # Errors
    /// [`Code::PreCreate`], with what to do.
    pub(crate) fn check_share_type(&self, share_type: ShareType, driver: &str) -> Result<()> {
        let carrier = share_type.carrier();
        if !carrier.is_device() || self.driver(driver)?.capabilities().local {
            return Ok(());
        }
        Err(Error::new(
            Code::PreCreate,
            format!("--share-type {carrier} is for virtual machines of this computer, not for those of the driver {driver:?}"),
        )
        .hint("leave --share-type out, or make the machine with `-d qemu`"))
    }

    fn check_that_folders_can_be_shared(&self, driver: &str) -> Result<()> {
        if self.driver(driver)?.capabilities().local {
            return Ok(());
        }
        Err(Error::new(
            Code::Usage,
            format!("machines of the driver {driver:?} are not on this computer: they see no folders of it"),
        ))
    }

    fn shared_folder(&self, words: &str, user: &str) -> Result<SharedFolder> {
        let share = SharedFolder::parse(words, &self.environment.current)?;
        self.check_host_folder(&share.folder, words)?;
        share.check_guest(if user.is_empty() { "docker" } else { user })?;
        Ok(share)
    }

    /// Refuses what nobody means to hand to a machine.
    fn check_host_folder(&self, folder: &Path, words: &str) -> Result<()> {
        let shown = folder.display();
        let real = match folder.canonicalize() {
            Ok(real) if real.is_dir() => real,
            Ok(_) => {
                return Err(Error::new(Code::Usage, format!("{shown} is a file: only folders can be shared"))
                    .hint("share the folder that it is in"));
            }
            Err(error) => {
                return Err(Error::new(Code::NotFound, format!("there is no folder {shown} to share"))
                    .because(error)
                    .hint("the folder must be there before it is shared"));
            }
        };
        if real.parent().is_none() {
            return Err(Error::new(Code::Usage, format!("{shown} is this whole computer: it is not shared"))
                .hint("share the folder that you work in"));
        }
        let store = self.environment.store.canonicalize().unwrap_or_else(|_| self.environment.store.clone());
        if real.starts_with(&store) {
            return Err(Error::new(
                Code::Usage,
                format!("{shown} holds the machines themselves, with their keys: it is not shared"),
            )
            .hint("share the folder that you work in"));
        }
        let home = self.environment.home.as_ref().and_then(|home| home.canonicalize().ok());
        let holds_home = home.is_some_and(|home| home.starts_with(&real));
        if (holds_home || store.starts_with(&real)) && !Path::new(SharedFolder::without_options(words)).is_absolute() {
            let what =
                if holds_home { "your home folder" } else { "the folder in which machines are kept, with their keys" };
            return Err(Error::new(Code::Usage, format!("{words:?} means {shown}, which holds {what}"))
                .hint(format!("share the folder that you work in; if you mean all of it, say so: {shown}")));
        }
        Ok(())
    }

    /// Tells what is worth a thought of folders that may be shared.
    pub(crate) fn warn_of_shares(&self, shares: &[SharedFolder], reporter: &Reporter) {
        self.warnings_of_shares(shares).into_iter().for_each(|warning| reporter.warn(warning));
    }

    /// What is worth a thought of folders that may be shared.
    pub(crate) fn warnings_of_shares(&self, shares: &[SharedFolder]) -> Vec<String> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let home = self.environment.home.as_deref().map(real);
        let store = real(&self.environment.store);
        let mut warnings = Vec::new();
        for share in shares {
            let (shown, folder) = (share.folder.display(), real(&share.folder));
            let holds_home = home.as_ref().is_some_and(|home| home.starts_with(&folder));
            let what = match (holds_home, store.starts_with(&folder)) {
                (true, true) => "your whole home folder, with all keys in it, those of the machines too",
                (true, false) => "your whole home folder, with all keys in it",
                (false, true) => "the folder in which machines are kept, with their keys",
                (false, false) => continue,
            };
            warnings.push(format!("{shown} is shared: any container that mounts it has {what}"));
        }
        warnings
    }

    /// What a machine sees of this computer.
    ///
    /// # Errors
    /// No such machine.
    pub async fn shares(&self, name: &MachineName) -> Result<Shares> {
        let record = self.store.load(name)?;
        match self.ask_bridge(name, &Question::Shares).await {
            Ok(answer) => shares_of(answer),
            Err(_) => Ok(Shares::at_rest(record.spec.shares)),
        }
    }

    /// Lets a machine see folders. A running one sees them when this returns.
    ///
    /// # Errors
    /// Words that mean no folder, one that must not be shared, or one that could not be mounted (it is tried again).
    pub async fn add_shares(&self, name: &MachineName, words: &[String], reporter: &Reporter) -> Result<Shares> {
        let record = self.store.load(name)?;
        self.check_that_folders_can_be_shared(&record.driver)?;
        let added: Vec<SharedFolder> =
            words.iter().map(|words| self.shared_folder(words, &record.spec.ssh_user)).collect::<Result<_>>()?;
        check_events(&added, record.spec.share_type)?;
        self.warn_of_shares(&added, reporter);
        self.change_shares(name, reporter, |shares| added.iter().try_for_each(|share| take_in(shares, share.clone())))
            .await
    }

    /// Takes folders away from a machine, named by where they are on this computer or in the machine.
    ///
    /// # Errors
    /// A folder that is not shared.
    pub async fn remove_shares(&self, name: &MachineName, words: &[String], reporter: &Reporter) -> Result<Shares> {
        let current = &self.environment.current;
        self.change_shares(name, reporter, |shares| {
            for words in words {
                let meant = SharedFolder::parse(words, current).ok();
                let is_meant = |share: &SharedFolder| {
                    share.guest == words.trim_end_matches('/')
                        || meant.as_ref().is_some_and(|meant| meant.folder == share.folder)
                };
                let before = shares.len();
                shares.retain(|share| !is_meant(share));
                if shares.len() == before {
                    return Err(Error::new(
                        Code::NotFound,
                        format!("machine {:?} sees no folder {words}", name.as_str()),
                    )
                    .hint(format!("`machine share ls {name}` lists what it sees")));
                }
            }
            Ok(())
        })
        .await
    }

    /// Waits until a machine that has just come up sees its folders. That one cannot be seen is no reason not to use it.
    pub(crate) async fn wait_for_shares(&self, record: &MachineRecord, reporter: &Reporter) {
        if record.spec.shares.is_empty() {
            return;
        }
        reporter.stage("share", "Mounting folders");
        let shares = self.settled(&record.name).await;
        for SeenFolder { share, state, carried } in shares.into_iter().flat_map(|shares| shares.folders) {
            let folder = share.folder.display();
            if let Some(ShareState::Waiting { reason }) = state {
                reporter.warn(format!("{folder} is not seen by the machine yet: {reason}"));
            } else if let Some(Carried { by, note: Some(note) }) = carried {
                reporter.warn(format!("{by} carries {folder}: {note}"));
            }
        }
    }

    /// How the folders are, once each is mounted or cannot be.
    async fn settled(&self, name: &MachineName) -> Result<Shares> {
        let began = Instant::now();
        loop {
            let shares = shares_of(self.ask_bridge(name, &Question::Shares).await?)?;
            let mounting = shares.folders.iter().any(|folder| folder.state == Some(ShareState::Mounting));
            if !mounting || began.elapsed() >= MOUNTING {
                return Ok(shares);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn change_shares(
        &self,
        name: &MachineName,
        reporter: &Reporter,
        change: impl FnOnce(&mut Vec<SharedFolder>) -> Result<()>,
    ) -> Result<Shares> {
        let lock = self.lock(name, reporter).await?;
        let mut record: MachineRecord = self.store.load(name)?;
        if record.phase == Phase::Creating {
            return Err(Error::other(format!("machine {:?} is not made yet", name.as_str())));
        }
        change(&mut record.spec.shares)?;
        self.store.save(&record)?;
        drop(lock);
        let shares = record.spec.shares.clone();
        if self.endpoints(&record).is_err() {
            return Ok(Shares::at_rest(shares));
        }
        reporter.stage("share", "Mounting folders");
        self.ask_bridge(name, &Question::Share { shares }).await?;
        self.settled(name).await
    }
}

/// Refuses file events where folders do not go by our own server, which alone can raise them.
///
/// # Errors
/// [`Code::Usage`], with what to do.
pub(crate) fn check_events(shares: &[SharedFolder], share_type: ShareType) -> Result<()> {
    let carrier = share_type.carrier();
    match shares.iter().find(|share| share.events && carrier.is_device()) {
        None => Ok(()),
        Some(share) => {
            Err(Error::new(Code::Usage, format!("{} cannot have file events by {carrier}", share.folder.display()))
                .hint("take `events` away from it, or let the machine have its folders by SFTP (`--share-type sftp`)"))
        }
    }
}

/// Adds a share; the same place with other words replaces it, with another folder it is refused.
fn take_in(shares: &mut Vec<SharedFolder>, share: SharedFolder) -> Result<()> {
    match shares.iter_mut().find(|present| present.guest == share.guest) {
        None => shares.push(share),
        Some(present) if present.folder == share.folder => *present = share,
        Some(present) => {
            return Err(Error::new(
                Code::Usage,
                format!("{} is where {} is seen already", share.guest, present.folder.display()),
            )
            .hint(format!("say another place: {}:/mnt/NAME", share.folder.display())));
        }
    }
    Ok(())
}

fn shares_of(answer: Answer) -> Result<Shares> {
    let Answer::Shares { shares, mut warnings } = answer else { return Err(other_words()) };
    let trouble = |row: &ShareRow| {
        let folder = row.share.folder.display().to_string();
        row.troubles.iter().map(move |trouble| format!("{folder}: {trouble}")).collect::<Vec<_>>()
    };
    warnings.extend(shares.iter().flat_map(trouble));
    let seen = |row: ShareRow| SeenFolder { share: row.share, state: Some(row.state), carried: row.carried };
    Ok(Shares { folders: shares.into_iter().map(seen).collect(), warnings })
}
