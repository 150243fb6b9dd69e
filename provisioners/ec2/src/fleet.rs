//! The hosts of a workshop: launched by one call into one security group, with one key pair.
//!
//! ```text
//! security-group -> key-pair -> instance -> RunInstances (1..=N) -> one listing by the token until all have their address
//! ```
//!
//! What is kept of the fleet is a state like a machine's, without an instance. Each host has a state of its own that names its
//! instance and shares the rest, so that it is started, stopped, looked at and removed as any machine.
//!
//! All instances of one launch are handed the same host key, which lies in the fleet's folder: user data is one per launch. Each
//! host replaces it by one that only it has over its first connection; a later launch gets another key, because people may be
//! on the hosts of the first by then and could read it there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use machine_core::{Error, MachineRef, Reporter, Result, Work};
use serde_json::Value;

use crate::cloud::Instance;
use crate::creation::{Creation, in_tag};
use crate::driver::{Ec2Driver, Known, address_of};
use crate::options::{Ec2Options, USUAL_REGION};
use crate::plan::tag;
use crate::power::{self, pause};
use crate::query::Filter;
use crate::removal;
use crate::state::State;

/// How long the instances of a fleet may take to run and have their addresses.
const ALL_UP: Duration = Duration::from_secs(5 * 60);

/// What became of an instance that was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    /// Its id.
    pub id: String,
    /// The `driver_state` of its machine; where it did not come up, why.
    pub state: Result<Value, String>,
}

impl Ec2Driver {
    /// Launches as many of `count` instances as there is room for, into the fleet's group and key pair, which are made where they
    /// are not there yet. The record of `work` is the fleet's. Returns the ids of those that were launched.
    ///
    /// # Errors
    /// Whatever failed; the record knows of what was made, and calling again carries on.
    pub async fn launch_fleet(&self, work: Work<'_>, count: usize) -> Result<Vec<String>> {
        let options = Ec2Options::of(&work.machine.record.spec)?;
        let region = options.region.clone().unwrap_or_else(|| USUAL_REGION.to_owned());
        let cloud = self.cloud(&options, &region)?;
        let store = self.store()?;
        let owner = self.config.owner.as_deref();
        let creation = Creation { cloud: &*cloud, options: &options, work, store: &store, owner, fleet: true };
        let mut state = match State::of(work.machine)? {
            Some(state) => state,
            None => creation.begin()?,
        };
        if let Some(ends) = state.expires.filter(|ends| *ends <= Timestamp::now()) {
            return Err(Error::other(format!("its time was over at {}", ends.strftime("%Y-%m-%d %H:%M UTC")))
                .hint("remove it and create another"));
        }
        let surroundings = creation.surroundings(&mut state).await?;
        let made = creation.launch(&mut state, &surroundings, count).await?;
        Ok(made.into_iter().map(|instance| instance.id).collect())
    }

    /// Lets this computer in where it is now: the fleet's group was opened to where it was then. One that cannot be changed is
    /// told as a warning, because whoever was let in before still is.
    ///
    /// # Errors
    /// A record that does not tell.
    pub async fn let_caller_in(&self, fleet: MachineRef<'_>, reporter: &Reporter) -> Result<()> {
        let Some(Known { options, state, cloud }) = self.of(fleet)? else { return Ok(()) };
        // From inside their network, which address of this one they see is asked of one of them.
        if state.group.is_none() || !options.allow_cidrs.is_empty() || options.is_private() {
            return Ok(());
        }
        let let_in = match self.allowed(&options, &*cloud, "").await {
            Ok(allowed) => power::let_in(&*cloud, &state, &options, &allowed, reporter).await,
            Err(error) => Err(error),
        };
        if let Err(error) = let_in {
            reporter.warn(format!("this computer may not be let in: {error}"));
        }
        Ok(())
    }

    /// The ids of a fleet's instances that are not gone. Where an answer to a launch was lost, this waits until EC2 shows all.
    ///
    /// # Errors
    /// What EC2 says.
    pub async fn fleet_instances(&self, fleet: MachineRef<'_>, reporter: &Reporter) -> Result<Vec<String>> {
        let Some(Known { state, cloud, .. }) = self.of(fleet)? else { return Ok(Vec::new()) };
        if state.launched && state.may_be_invisible(Timestamp::now()) {
            reporter.info("An earlier launch was broken off: waiting up to two minutes for what EC2 made of it...");
            while state.may_be_invisible(Timestamp::now()) {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
        let all = cloud.instances(&of_token(&state)).await?;
        let living = all.into_iter().filter(|instance| !instance.is_gone() && instance.state != "shutting-down");
        Ok(living.map(|instance| instance.id).collect())
    }

    /// The fleet's state once every instance that was launched stands in a machine's record: there is nothing to wait for.
    ///
    /// # Errors
    /// A state that cannot be read.
    pub fn settled(fleet: MachineRef<'_>) -> Result<Value> {
        match State::of(fleet)? {
            Some(state) => State { launched: false, ..state }.to_value(),
            None => Ok(Value::Null),
        }
    }

    /// The `driver_state` of the machine that an instance of the fleet becomes.
    ///
    /// # Errors
    /// A fleet of which nothing was made.
    pub fn member(fleet: MachineRef<'_>, instance: &str) -> Result<Value> {
        let state = State::of(fleet)?.ok_or_else(|| Error::other("nothing was made of this fleet yet"))?;
        State { instance: Some(instance.to_owned()), launched: true, launches: 0, ..state }.to_value()
    }

    /// The instance of a machine.
    ///
    /// # Errors
    /// A record that does not tell.
    pub fn instance_of(machine: MachineRef<'_>) -> Result<Option<String>> {
        Ok(State::of(machine)?.and_then(|state| state.instance))
    }

    /// When a machine, or a fleet, ends itself.
    ///
    /// # Errors
    /// A record that does not tell.
    pub fn ends(machine: MachineRef<'_>) -> Result<Option<Timestamp>> {
        Ok(State::of(machine)?.and_then(|state| state.expires))
    }

    /// Waits until these instances of a fleet run and have their addresses, by one listing at a time for all of them.
    ///
    /// # Errors
    /// What EC2 says; an instance that does not come up is none, it is told in [`Came`].
    pub async fn await_fleet(&self, fleet: MachineRef<'_>, ids: &[String], reporter: &Reporter) -> Result<Vec<Came>> {
        let Known { options, state, cloud } = self.known(fleet)?;
        let begun = Instant::now();
        let mut looks = 0;
        loop {
            let seen = cloud.instances(&of_token(&state)).await?;
            let told: Vec<(String, Fate)> = ids
                .iter()
                .map(|id| (id.clone(), fate(seen.iter().find(|instance| instance.id == *id), &options)))
                .collect();
            let up = told.iter().filter(|(_, fate)| matches!(fate, Fate::Up(_))).count();
            reporter.progress(up as u64, Some(ids.len() as u64), "instances");
            let is_late = begun.elapsed() > ALL_UP;
            if is_late || told.iter().all(|(_, fate)| !matches!(fate, Fate::Coming(_))) {
                return told
                    .into_iter()
                    .map(|(id, fate)| {
                        let state = match fate {
                            Fate::Up(address) => Ok(State {
                                instance: Some(id.clone()),
                                address: Some(address),
                                launched: true,
                                launches: 0,
                                ..state.clone()
                            }
                            .to_value()?),
                            Fate::Lost(why) | Fate::Coming(why) => Err(why),
                        };
                        Ok(Came { id, state })
                    })
                    .collect();
            }
            tokio::time::sleep(pause(looks)).await;
            looks += 1;
        }
    }

    /// Removes all of a fleet: instances (those of `known` ids too), group, key pair.
    ///
    /// # Errors
    /// What could not be removed; calling again carries on.
    pub async fn remove_fleet(
        &self,
        fleet: MachineRef<'_>,
        known: BTreeSet<String>,
        reporter: &Reporter,
    ) -> Result<()> {
        match self.of(fleet)? {
            Some(Known { options, state, cloud }) => {
                removal::remove_with(&*cloud, &state, known, &options, reporter).await
            }
            None => Ok(()),
        }
    }

    /// Writes the new end of these instances into their tags, by one call.
    ///
    /// # Errors
    /// What EC2 says.
    pub async fn tag_end(&self, machine: MachineRef<'_>, ids: &[String], ends: Timestamp) -> Result<()> {
        let Known { cloud, .. } = self.known(machine)?;
        Ok(cloud.tag(ids, tag::EXPIRES, &in_tag(ends)).await?)
    }

    /// A `driver_state` with another end.
    ///
    /// # Errors
    /// A record of which nothing was made.
    pub fn with_end(machine: MachineRef<'_>, ends: Timestamp) -> Result<Value> {
        let state = State::of(machine)?.ok_or_else(|| Error::other("nothing was made of this machine yet"))?;
        State { expires: Some(ends), ..state }.to_value()
    }
}

fn of_token(state: &State) -> [Filter; 1] {
    [Filter::one(format!("tag:{}", tag::TOKEN), &state.token)]
}

/// How far an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Up(std::net::IpAddr),
    /// Not yet; the text says what it is instead.
    Coming(String),
    Lost(String),
}

fn fate(seen: Option<&Instance>, options: &Ec2Options) -> Fate {
    let Some(instance) = seen else { return Fate::Coming("EC2 does not show its instance".into()) };
    let why = |what: &str| match instance.reason.as_str() {
        "" => format!("its instance {} {what}", instance.id),
        reason => format!("its instance {} {what} ({reason})", instance.id),
    };
    match (instance.state.as_str(), address_of(instance, options)) {
        ("running", Some(address)) => Fate::Up(address),
        ("running", None) => Fate::Coming(why("has no address")),
        ("pending", _) => Fate::Coming(why("does not run yet")),
        ("stopped" | "stopping", _) => Fate::Lost(why("is off")),
        _ => Fate::Lost(why("is gone")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_cloud::instance;

    #[test]
    fn an_instance_comes_is_up_or_is_lost_with_the_reason() {
        let options = Ec2Options::default();
        let told = |state: &str| fate(Some(&instance(state, "no room")), &options);
        assert_eq!(told("running"), Fate::Up(std::net::Ipv4Addr::new(192, 0, 2, 7).into()));
        assert!(matches!(told("pending"), Fate::Coming(_)));
        assert!(matches!(fate(None, &options), Fate::Coming(_)), "what was just launched is not shown at once");
        assert!(matches!(told("terminated"), Fate::Lost(why) if why.contains("no room")));
        let unreached = Instance { public: None, ..instance("running", "") };
        assert!(matches!(fate(Some(&unreached), &options), Fate::Coming(_)));
    }
}
