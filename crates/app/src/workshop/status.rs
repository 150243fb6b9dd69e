//! `workshop ls` and `status`: what is true of a workshop now.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use machine_core::{MachineName, MachineRef, MachineState, Phase, Result};
use machine_ec2::{Ec2Driver, Price};
use serde::Serialize;

use super::record::{Seat, Workshop};
use crate::app::App;

/// How many hosts are asked at once; each answers within the limit that is given.
const ASKED: usize = 32;

/// A workshop in a list: what is known here, without asking anybody.
#[derive(Clone, Debug, Serialize)]
pub struct WorkshopRow {
    /// Its name.
    pub name: String,
    /// What provides its hosts; `None` when its record cannot be read.
    pub driver: Option<String>,
    /// How many hosts were asked for.
    pub hosts: usize,
    /// How many have a record.
    pub made: usize,
    /// How many were made ready for their people.
    pub prepared: usize,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it ends itself.
    pub ends: Option<Timestamp>,
    /// What is wrong with its record.
    pub error: Option<String>,
}

/// A host in the status of its workshop.
#[derive(Clone, Debug, Serialize)]
pub struct SeatStatus {
    /// The machine.
    pub host: String,
    /// Who it is for.
    pub person: Option<String>,
    /// That person's account.
    pub account: String,
    /// As in `ls`; `Missing` where there is no machine.
    pub state: String,
    /// Its address.
    pub address: Option<String>,
    /// The engine's version, where it answered.
    pub engine: Option<String>,
    /// Containers that run.
    pub containers: Option<usize>,
    /// The load average of the last minute.
    pub load: Option<f64>,
    /// Whether everything was done to it that was asked for.
    pub prepared: bool,
    /// What is wrong.
    pub error: Option<String>,
}

/// What is true of a workshop.
#[derive(Clone, Debug, Serialize)]
pub struct WorkshopStatus {
    /// Its name.
    pub name: String,
    /// Its hosts.
    pub seats: Vec<SeatStatus>,
    /// When it ends itself.
    pub ends: Option<Timestamp>,
    /// What it has cost so far, as far as that can be told.
    pub cost: Option<Cost>,
}

/// An estimate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// US dollars an hour, for one host that runs; none where no price is known for it.
    pub hourly: Option<f64>,
    /// US dollars since each host was made, as if all had run all the time.
    pub so_far: Option<f64>,
    /// Where the prices are from.
    pub source: &'static str,
    /// What it is an estimate of, or why there is none.
    pub note: String,
}

impl App {
    /// Lists workshops, by what is known on this computer.
    ///
    /// # Errors
    /// A store that cannot be listed.
    pub fn workshops(&self) -> Result<Vec<WorkshopRow>> {
        Ok(self.workshop_names()?.iter().map(|name| self.workshop_row(name)).collect())
    }

    fn workshop_row(&self, name: &MachineName) -> WorkshopRow {
        let mut row = WorkshopRow {
            name: name.to_string(),
            driver: None,
            hosts: 0,
            made: 0,
            prepared: 0,
            created: None,
            ends: None,
            error: None,
        };
        match self.workshop(name) {
            Ok(workshop) => {
                row.driver = Some(workshop.pattern.driver.clone());
                row.hosts = workshop.seats.len();
                row.made = workshop.seats.iter().filter(|seat| self.store.exists(&seat.host)).count();
                let there = |seat: &&Seat| seat.prepared && self.store.exists(&seat.host);
                row.prepared = workshop.seats.iter().filter(there).count();
                row.created = Some(workshop.pattern.created);
                row.ends = self.end_of(&workshop.pattern, &self.workshop_folder(name)).ok();
            }
            Err(error) => row.error = Some(error.to_string()),
        }
        row
    }

    /// Looks at all hosts of a workshop; each has `limit` to answer.
    ///
    /// # Errors
    /// No such workshop.
    pub async fn workshop_status(&self, name: &MachineName, limit: Duration) -> Result<WorkshopStatus> {
        let workshop = self.workshop(name)?;
        let looks = workshop.seats.iter().map(|seat| self.seat_status(&workshop, seat, limit));
        let seats: Vec<SeatStatus> = futures_util::stream::iter(looks).buffered(ASKED).collect().await;
        let folder = self.workshop_folder(name);
        Ok(WorkshopStatus {
            name: name.to_string(),
            seats,
            ends: self.end_of(&workshop.pattern, &folder).ok(),
            cost: self.cost(&workshop, &folder),
        })
    }

    async fn seat_status(&self, workshop: &Workshop, seat: &Seat, limit: Duration) -> SeatStatus {
        let mut status = SeatStatus {
            host: seat.host.to_string(),
            person: seat.person.as_ref().map(|person| person.name.clone()),
            account: seat.account.clone(),
            state: "Missing".to_owned(),
            address: None,
            engine: None,
            containers: None,
            load: None,
            prepared: seat.prepared,
            error: None,
        };
        if !self.store.exists(&seat.host) {
            status.prepared = false;
            return status;
        }
        let record = match self.store.load(&seat.host) {
            Ok(record) if workshop.has(&record) => record,
            Ok(_) => {
                status.error = Some("there is another machine of that name".to_owned());
                return status;
            }
            Err(error) => {
                status.error = Some(error.to_string());
                return status;
            }
        };
        let seen = match self.observe(&record).await {
            Ok(seen) => seen,
            Err(error) => {
                status.error = Some(error.to_string());
                return status;
            }
        };
        status.state = seen.state.name().to_owned();
        if let MachineState::Broken(reason) | MachineState::Unknown(reason) = &seen.state {
            status.error = Some(reason.clone());
        }
        let Some(endpoints) = seen.endpoints.filter(|_| seen.state == MachineState::Running) else { return status };
        status.address = Some(endpoints.ssh.ip().to_string());
        if record.phase != Phase::Ready {
            status.error = Some(format!("it is not ready: `machine workshop retry {}` carries on", workshop.name()));
            return status;
        }
        let dir = self.store.folder(&seat.host);
        let target = self
            .driver(&record.driver)
            .map(|driver| driver.ssh_target(MachineRef { record: &record, dir: &dir }, endpoints));
        let load = async {
            let target = target?;
            machine_ssh::blocking(move || machine_engine::load(&target, limit)).await
        };
        let engine = async {
            let version = tokio::time::timeout(limit, self.engine_version(&record, endpoints.engine, limit)).await;
            let version = version.map_err(|_| machine_core::Error::other("the engine does not answer"))??;
            let engine = self.engine_of(&seat.host)?;
            let containers = tokio::time::timeout(limit, engine.containers(false)).await;
            Ok::<_, machine_core::Error>((version, containers.ok().and_then(Result::ok).map(|all| all.len())))
        };
        let (load, engine) = futures_util::join!(load, engine);
        status.load = load.ok();
        match engine {
            Ok((version, containers)) => (status.engine, status.containers) = (Some(version), containers),
            Err(error) => status.error = Some(error.to_string()),
        }
        status
    }

    /// What a workshop's hosts have cost since they were made: by the price of their type, where one is known.
    fn cost(&self, workshop: &Workshop, folder: &Path) -> Option<Cost> {
        if !Self::is_launched_as_one(workshop) {
            return None;
        }
        let price: Price = Ec2Driver::price(MachineRef { record: &workshop.pattern, dir: folder });
        let now = Timestamp::now();
        let hours: f64 = workshop
            .seats
            .iter()
            .filter_map(|seat| self.store.load(&seat.host).ok())
            .filter(|record| workshop.has(record))
            .map(|record| now.duration_since(record.created).as_secs_f64().max(0.0) / 3600.0)
            .sum();
        Some(Cost {
            hourly: price.hourly,
            so_far: price.hourly.map(|hourly| hourly * hours),
            source: machine_ec2::PRICES_ARE_OF,
            note: price.note,
        })
    }
}
