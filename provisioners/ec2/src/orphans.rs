//! What is at Amazon with our tags on it: whoever knows the records tells what of it is in none.

use std::collections::{BTreeMap, BTreeSet};

use machine_core::{Error, Reporter, Result};
use serde::Serialize;

use crate::cloud::{Cloud, Instance};
use crate::driver::{Ec2Driver, check_region};
use crate::options::Ec2Options;
use crate::plan::tag;
use crate::query::Filter;
use crate::removal;
use crate::state::State;

/// What belongs together by its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// The region.
    pub region: String,
    /// The name of the machine that it was.
    pub machine: String,
    /// The store that made it.
    pub store: String,
    /// Its token.
    pub token: String,
    /// Who made it.
    pub owner: Option<String>,
    /// Instances, key pairs, groups, volumes: their ids.
    pub parts: Vec<String>,
    /// Whether an instance runs, and costs accordingly.
    pub running: bool,
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// How to call: endpoint, profile, region.
    pub options: Ec2Options,
    /// All regions that the account may use, in place of one.
    pub all_regions: bool,
    /// More regions.
    pub regions: BTreeSet<String>,
    /// Things of another store, such as one that was lost.
    pub store: Option<String>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// What belongs to the store that was searched for.
    pub found: Vec<Orphan>,
    /// The regions that were looked at.
    pub regions: Vec<String>,
    /// Other stores that have something there, with how many machines.
    pub of_others: BTreeMap<String, usize>,
}

impl Ec2Driver {
    /// The token of a record of this driver's, by which what it knows of is told from orphans, and its region; none where
    /// nothing was made yet.
    ///
    /// # Errors
    /// A record that does not tell.
    pub fn token(machine: machine_core::MachineRef<'_>) -> Result<Option<(String, String)>> {
        Ok(State::of(machine)?.map(|state| (state.token, state.region)))
    }

    /// Looks for what carries our tags. Whatever is in a record that is read *after* this look is no orphan: a record names
    /// its token before anything is made.
    ///
    /// # Errors
    /// Options that cannot be, or a region that cannot be looked at.
    pub async fn orphans(&self, search: &Search, reporter: &Reporter) -> Result<Orphans> {
        search.options.check()?;
        search.regions.iter().try_for_each(|region| check_region(region))?;
        let mine = match &search.store {
            Some(store) => store.clone(),
            None => self.store()?,
        };
        let first = self.region(&search.options).await?;
        let mut regions = search.regions.clone();
        if search.all_regions {
            regions.extend(self.cloud(&search.options, &first)?.regions().await?);
        }
        regions.insert(first);
        let mut all = Orphans { regions: regions.iter().cloned().collect(), ..Orphans::default() };
        for region in regions {
            reporter.detail(format!("looking at {region}"));
            let cloud = self.cloud(&search.options, &region)?;
            for orphan in in_region(&*cloud).await.map_err(|error| error.within(format!("the region {region}")))? {
                if orphan.store == mine {
                    all.found.push(orphan);
                } else {
                    *all.of_others.entry(orphan.store).or_default() += 1;
                }
            }
        }
        Ok(all)
    }

    /// Removes one.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn remove_orphan(&self, orphan: &Orphan, options: &Ec2Options, reporter: &Reporter) -> Result<()> {
        let cloud = self.cloud(options, &orphan.region)?;
        let state = State::new(orphan.token.clone(), &orphan.region);
        // Whether it was protected is not known any more.
        let options = Ec2Options { termination_protection: true, ..Ec2Options::default() };
        let named = |error: Error| error.within(format!("what is left of {:?} in {}", orphan.machine, orphan.region));
        removal::remove(&*cloud, &state, &options, reporter).await.map_err(named)
    }
}

async fn in_region(cloud: &dyn Cloud) -> Result<Vec<Orphan>> {
    let tagged = [Filter::one("tag-key", tag::TOKEN)];
    let mut orphans: BTreeMap<String, Orphan> = BTreeMap::new();
    let mut add = |tags: &BTreeMap<String, String>, part: String, running: bool| {
        let text = |key: &str| tags.get(key).cloned();
        let Some(token) = text(tag::TOKEN) else { return };
        let orphan = orphans.entry(token.clone()).or_insert_with(|| Orphan {
            region: cloud.region().to_owned(),
            machine: text(tag::NAME).unwrap_or_default(),
            store: text(tag::STORE).unwrap_or_default(),
            token,
            owner: text(tag::OWNER),
            parts: Vec::new(),
            running: false,
        });
        orphan.parts.push(part);
        orphan.running |= running;
    };
    for instance in cloud.instances(&tagged).await?.iter().filter(|instance| !Instance::is_gone(instance)) {
        add(&instance.tags, instance.id.clone(), matches!(instance.state.as_str(), "running" | "pending"));
    }
    for volume in cloud.volumes(&tagged).await? {
        add(&volume.tags, volume.id, false);
    }
    for group in cloud.groups(&tagged).await? {
        add(&group.tags, group.id, false);
    }
    for key in cloud.key_pairs(&tagged).await? {
        add(&key.tags, key.name, false);
    }
    Ok(orphans.into_values().collect())
}
