//! What is kept of a workshop: `workshops/NAME/workshop.json`, and beside it the keys that its fleet is launched with.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use machine_core::{
    Checkpoint, Code, Error, EventKind, MachineName, MachineRecord, MachineRef, Reporter, Result, Work,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::roster::Person;
use crate::app::{App, PATIENCE};
use crate::files;
use crate::store::{MachineLock, json};

/// The form of the file.
const SCHEMA: u32 = 1;
const RECORD: &str = "workshop.json";
/// The most hosts of one workshop: what one filter of EC2 takes, and what a person can look after.
pub(crate) const MOST: usize = 200;

/// How people log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginBy {
    /// By a key, which the handout brings.
    #[default]
    Key,
    /// By a password, which stands on the handout's page and nowhere else.
    Password,
}

/// One host and who it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// The machine's name.
    pub host: MachineName,
    /// Who it is for; nobody in particular where there is no roster, or more hosts than people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Person>,
    /// That person's login name on it.
    pub account: String,
    /// Whether everything was done to it that was asked for: account, images, files.
    #[serde(default)]
    pub prepared: bool,
    /// Whether the password that it has stands on a page.
    #[serde(default)]
    pub password_given: bool,
}

/// A workshop. Its hosts are machines with records of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workshop {
    /// The form of this file.
    pub schema: u32,
    /// What all hosts are made after, under the workshop's name; where they are launched as one, what was made for all of them.
    pub pattern: MachineRecord,
    /// The hosts.
    pub seats: Vec<Seat>,
    /// How people log in.
    pub login: LoginBy,
    /// Images that are pulled on each host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pulls: Vec<String>,
    /// Files, folders and git repositories that are put into each account's home.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub puts: Vec<String>,
}

impl Workshop {
    pub(crate) fn new(pattern: MachineRecord, seats: Vec<Seat>) -> Self {
        Self { schema: SCHEMA, pattern, seats, login: LoginBy::default(), pulls: Vec::new(), puts: Vec::new() }
    }

    /// Its name.
    pub fn name(&self) -> &MachineName {
        &self.pattern.name
    }

    /// The label that the engines of its hosts have, by which `ls --filter label=...` shows them alone.
    pub(crate) fn label(name: &MachineName) -> String {
        format!("workshop={name}")
    }

    /// Whether a machine is one of its hosts: one of another maker may have got a host's name meanwhile.
    pub(crate) fn has(&self, record: &MachineRecord) -> bool {
        record.driver == self.pattern.driver && record.spec.engine.labels.contains(&Self::label(self.name()))
    }

    fn parse(text: &[u8]) -> Result<Self> {
        let broken = |error| {
            Error::other("the workshop's record is broken").because(error).hint(
                "`machine rm` removes its hosts one by one; once its folder is removed, `machine ec2 orphans` finds the rest",
            )
        };
        let value: Value = serde_json::from_slice(text).map_err(broken)?;
        match value["schema"].as_u64() {
            Some(newer) if newer > u64::from(SCHEMA) => {
                Err(Error::other(format!("the workshop's record has schema {newer}"))
                    .hint("it was written by a newer `machine`: upgrade this one"))
            }
            _ => serde_json::from_value(value).map_err(broken),
        }
    }
}

impl App {
    /// The names of all workshops.
    ///
    /// # Errors
    /// A store that cannot be listed.
    pub fn workshop_names(&self) -> Result<Vec<MachineName>> {
        let folder = self.store.workshops();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(files::explain(error, "cannot list", &folder)),
        };
        let mut names: Vec<MachineName> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// A workshop's record.
    ///
    /// # Errors
    /// [`Code::NotFound`], or a record that cannot be read.
    pub fn workshop(&self, name: &MachineName) -> Result<Workshop> {
        let path = self.workshop_folder(name).join(RECORD);
        match std::fs::read(&path) {
            Ok(text) => Workshop::parse(&text).map_err(|error| error.within(path.display().to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::new(Code::NotFound, format!("there is no workshop {:?}", name.as_str()))
                    .hint("`machine workshop ls` lists them"))
            }
            Err(error) => Err(files::explain(error, "cannot read", &path)),
        }
    }

    /// The workshop that a machine is a host of.
    ///
    /// # Errors
    /// A store that cannot be listed.
    pub(crate) fn workshop_of(&self, record: &MachineRecord) -> Result<Option<MachineName>> {
        let seats =
            |workshop: &Workshop| workshop.has(record) && workshop.seats.iter().any(|seat| seat.host == record.name);
        let names = self.workshop_names()?;
        Ok(names.into_iter().find(|name| self.workshop(name).is_ok_and(|workshop| seats(&workshop))))
    }

    /// The text of a workshop's record, whatever is in it.
    pub(crate) fn raw_workshop(&self, name: &MachineName) -> String {
        let text = std::fs::read(self.workshop_folder(name).join(RECORD)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(crate) fn workshop_folder(&self, name: &MachineName) -> PathBuf {
        self.store.workshops().join(name.as_str())
    }

    pub(crate) fn save_workshop(&self, workshop: &Workshop) -> Result<()> {
        let folder = self.workshop_folder(workshop.name());
        machine_files::make_private_folder(&folder)?;
        machine_files::write_whole(&folder.join(RECORD), &json(workshop), machine_files::PRIVATE)
    }

    /// The right to change a workshop. Who has it may take machines' locks besides, never the other way round.
    pub(crate) async fn lock_workshop(&self, name: &MachineName, reporter: &Reporter) -> Result<MachineLock> {
        let what = format!("the workshop {name}");
        self.store.lock_named(&format!("_workshop-{name}"), &what, PATIENCE, reporter).await
    }
}

/// Saves a workshop's record at each checkpoint.
pub(crate) struct WorkshopJournal<'a> {
    pub(crate) app: &'a App,
    pub(crate) workshop: &'a Mutex<Workshop>,
    pub(crate) reporter: &'a Reporter,
}

impl WorkshopJournal<'_> {
    /// Changes the record and writes it to the disk.
    pub(crate) fn update(&self, name: &'static str, change: impl FnOnce(&mut Workshop)) -> Result<()> {
        let mut workshop = self.workshop.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut workshop);
        self.app.save_workshop(&workshop)?;
        drop(workshop);
        self.reporter.report(EventKind::Checkpoint { name });
        self.app.crash_after(name);
        Ok(())
    }

    /// Forgets what was done to a host that was there before: another one takes its seat.
    pub(crate) fn begin_anew(&self, host: &MachineName) -> Result<()> {
        let is_fresh = |seat: &Seat| seat.host != *host || (!seat.prepared && !seat.password_given);
        if self.snapshot().seats.iter().all(is_fresh) {
            return Ok(());
        }
        self.update("anew", |workshop| {
            for seat in workshop.seats.iter_mut().filter(|seat| seat.host == *host) {
                (seat.prepared, seat.password_given) = (false, false);
            }
        })
    }

    /// A copy of the record as it is now.
    pub(crate) fn snapshot(&self) -> Workshop {
        self.workshop.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The fleet, for its driver.
    pub(crate) fn work<'w>(&'w self, fleet: MachineRef<'w>) -> Work<'w> {
        Work { machine: fleet, checkpoint: self, reporter: self.reporter }
    }
}

impl Checkpoint for WorkshopJournal<'_> {
    fn save(&self, name: &'static str, driver_state: &Value) -> Result<()> {
        self.update(name, |workshop| workshop.pattern.driver_state = driver_state.clone())
    }
}
