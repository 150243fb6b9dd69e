//! `workshop handout`: a page for each person, and a list for whoever runs the workshop.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use futures_util::StreamExt as _;
use machine_core::{Code, Error, MachineName, MachineRef, Phase, Reporter, Result};

use super::page::{self, Page};
use super::passwords;
use super::record::{LoginBy, Seat, Workshop, WorkshopJournal};
use crate::app::App;
use crate::files;

/// How many hosts get their passwords at once.
const JOBS: usize = 8;

/// What `handout` is asked for.
#[derive(Clone, Debug, Default)]
pub struct HandoutWords {
    /// Where the pages go; `NAME-handout` in the present folder when it is not said.
    pub folder: Option<PathBuf>,
    /// New passwords also for those who were given one.
    pub new_passwords: bool,
}

/// What was written.
#[derive(Debug)]
pub struct Handout {
    /// The folder.
    pub folder: PathBuf,
    /// Hosts with a page.
    pub pages: usize,
    /// Hosts whose page was left as it is, because its password was handed out and is known nowhere else.
    pub kept: Vec<MachineName>,
    /// Hosts without one, and why.
    pub missed: Vec<(MachineName, Error)>,
}

/// What became of a seat's page.
enum Written {
    Page(Row),
    Kept(Row),
}

/// A line of the facilitator's list.
struct Row {
    seat: Seat,
    address: String,
    port: u16,
}

impl App {
    /// Writes the pages. Passwords are made now, set on the hosts and stand on the pages alone: they are not kept anywhere else,
    /// so that a second handout leaves the pages of those who have one as they are, unless new ones are wanted.
    ///
    /// # Errors
    /// No such workshop, or a folder that cannot be written. A host that is not reached is told in the [`Handout`].
    pub async fn hand_out(&self, name: &MachineName, words: &HandoutWords, reporter: &Reporter) -> Result<Handout> {
        let _lock = self.lock_workshop(name, reporter).await?;
        let workshop = Mutex::new(self.workshop(name)?);
        let journal = WorkshopJournal { app: self, workshop: &workshop, reporter };
        let all = journal.snapshot();
        let folder = words.folder.clone().unwrap_or_else(|| PathBuf::from(format!("{name}-handout")));
        let folder = self.environment.current.join(folder);
        machine_files::make_private_folder(&folder)?;
        reporter.stage("handout", format!("Writing a page for each host of {name}"));
        let work = all.seats.iter().map(|seat| {
            let (journal, all, folder) = (&journal, &all, &folder);
            async move { (seat.host.clone(), self.write_page(journal, all, seat, folder, words.new_passwords).await) }
        });
        let mut handout = Handout { folder: folder.clone(), pages: 0, kept: Vec::new(), missed: Vec::new() };
        let mut rows = Vec::new();
        let mut done = futures_util::stream::iter(work).buffer_unordered(JOBS);
        while let Some((host, result)) = done.next().await {
            match result {
                Ok(Written::Page(row)) => {
                    handout.pages += 1;
                    rows.push(row);
                }
                Ok(Written::Kept(row)) => {
                    handout.kept.push(host);
                    rows.push(row);
                }
                Err(error) if error.code() == Code::Interrupted => return Err(error),
                Err(error) => handout.missed.push((host, error)),
            }
        }
        rows.sort_by(|one, other| one.seat.host.cmp(&other.seat.host));
        handout.kept.sort();
        handout.missed.sort_by(|one, other| one.0.cmp(&other.0));
        let list = folder.join("hosts.csv");
        machine_files::write_whole(&list, csv(&rows).as_bytes(), machine_files::PRIVATE)?;
        Ok(handout)
    }

    async fn write_page(
        &self,
        journal: &WorkshopJournal<'_>,
        workshop: &Workshop,
        seat: &Seat,
        folder: &Path,
        new_passwords: bool,
    ) -> Result<Written> {
        let record = self.store.load(&seat.host)?;
        if !workshop.has(&record) {
            return Err(Error::other("there is another machine of that name"));
        }
        if record.phase != Phase::Ready || !seat.prepared {
            return Err(Error::other("it is not ready")
                .hint(format!("`machine workshop retry {}` carries on", workshop.name())));
        }
        let dir = self.store.folder(&seat.host);
        let endpoints = self.endpoints(&record)?;
        let driver = self.driver(&record.driver)?;
        let row = Row { seat: seat.clone(), address: endpoints.ssh.ip().to_string(), port: endpoints.ssh.port() };
        let stem = format!("{}-{}", seat.host, seat.account);
        let at = |end: &str| folder.join(format!("{stem}.{end}"));
        let mut page = Page {
            workshop: workshop.name().to_string(),
            host: seat.host.to_string(),
            person: seat.person.as_ref().map(|person| person.name.clone()),
            account: seat.account.clone(),
            address: row.address.clone(),
            ssh_port: row.port,
            fingerprint: record.host_key.as_deref().map(fingerprint).transpose()?,
            open_ports: open_ports(&record.spec.options),
            is_here: driver.capabilities().local,
            ends: self.end_of(&workshop.pattern, &self.workshop_folder(workshop.name())).ok(),
            key_file: None,
            password: None,
        };
        match workshop.login {
            LoginBy::Key => {
                let path = dir.join("users").join(&seat.account);
                let key = std::fs::read(&path).map_err(|error| files::explain(error, "cannot read", &path))?;
                machine_files::write_whole(&at("key"), &key, machine_files::PRIVATE)?;
                page.key_file = Some(format!("{stem}.key"));
            }
            LoginBy::Password => {
                if seat.password_given && !new_passwords {
                    return Ok(Written::Kept(row));
                }
                let password = passwords::generate();
                // It is given once it stands on a page: a run that breaks off before leaves a person whom the next one gives
                // another, never one with a password that nobody knows.
                if seat.password_given {
                    note_password(journal, &seat.host, false)?;
                }
                let machine = MachineRef { record: &record, dir: &dir };
                let target = driver.ssh_target(machine, endpoints);
                let (account, new) = (seat.account.clone(), password.clone());
                machine_ssh::blocking(move || machine_engine::set_password(&target, &account, &new)).await?;
                self.crash_after("password-set");
                page.password = Some(password);
            }
        }
        machine_files::write_whole(&at("html"), page::html(&page)?.as_bytes(), machine_files::PRIVATE)?;
        machine_files::write_whole(&at("md"), page::markdown(&page).as_bytes(), machine_files::PRIVATE)?;
        if page.password.is_some() {
            note_password(journal, &seat.host, true)?;
        }
        Ok(Written::Page(row))
    }
}

/// Notes whether the password that a host has stands on its page.
fn note_password(journal: &WorkshopJournal<'_>, host: &MachineName, given: bool) -> Result<()> {
    journal.update(if given { "password" } else { "no-password" }, |workshop| {
        for seat in workshop.seats.iter_mut().filter(|seat| seat.host == *host) {
            seat.password_given = given;
        }
    })
}

/// What ssh shows of a host's key.
fn fingerprint(host_key: &str) -> Result<String> {
    host_key.parse::<machine_ssh::HostKey>().map(|key| key.fingerprint())
}

/// Ports that everybody reaches, the first of each range.
fn open_ports(options: &serde_json::Map<String, serde_json::Value>) -> Vec<u16> {
    let ports = options.get("open_ports").and_then(|ports| ports.as_array()).into_iter().flatten();
    ports
        .filter_map(|port| port.as_str().filter(|port| !port.ends_with("/udp")))
        .filter_map(|port| port.split(['-', '/']).next()?.parse::<u16>().ok())
        .collect()
}

/// The list, without secrets. A cell that a spreadsheet would take for a formula is text by an apostrophe.
fn csv(rows: &[Row]) -> String {
    let cell = |text: &str| {
        let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    };
    let mut text = String::from("host,name,e-mail,account,address,ssh port\r\n");
    for Row { seat, address, port } in rows {
        let person = seat.person.as_ref();
        let (name, email) =
            (person.map(|person| person.name.as_str()), person.and_then(|person| person.email.as_deref()));
        let cells = [seat.host.as_str(), name.unwrap_or_default(), email.unwrap_or_default(), &seat.account, address];
        text.push_str(&cells.map(cell).join(","));
        text.push_str(&format!(",{port}\r\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::roster::{self, Person};
    use super::*;

    #[test]
    fn the_list_is_a_roster_again_and_holds_no_formula() {
        let person =
            |name: &str, email: Option<&str>| Some(Person { name: name.into(), email: email.map(str::to_owned) });
        let row = |host: &str, person| Row {
            seat: Seat {
                host: host.parse().unwrap(),
                person,
                account: "ann".into(),
                prepared: true,
                password_given: false,
            },
            address: "192.0.2.7".into(),
            port: 22,
        };
        let text = csv(&[
            row("lab-01", person("Lee, \"Ann\"", Some("ann@example.org"))),
            row("lab-02", person("=1+1", None)),
            row("lab-03", None),
        ]);
        insta::assert_snapshot!(text.replace("\r\n", "\n"));
        assert_eq!(
            roster::parse(text.lines().take(2).collect::<Vec<_>>().join("\n").as_bytes()).unwrap()[0].name,
            "Lee, \"Ann\""
        );
    }

    #[test]
    fn the_ports_that_are_open_are_those_of_tcp() {
        let options = serde_json::json!({"open_ports": ["80", "8000-8080", "53/udp", "443/tcp"]});
        assert_eq!(open_ports(options.as_object().unwrap()), [80, 8000, 443]);
    }
}
