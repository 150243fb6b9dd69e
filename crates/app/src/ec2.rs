//! `ec2`: what is at Amazon and in no record, and the permissions that are needed there.

use std::collections::BTreeSet;

use machine_core::{MachineName, MachineRef, Reporter, Result};
use machine_ec2::{Ec2Driver, Ec2Options, Orphan, Orphans, Search};

use crate::app::App;

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct OrphanSearch {
    /// Regions; those of the surroundings and of all records when none is named.
    pub regions: Vec<String>,
    /// Every region that the account may use.
    pub all_regions: bool,
    /// Another store than this one, by its id.
    pub store: Option<String>,
    /// The profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// An address in place of Amazon's own.
    pub endpoint: Option<String>,
}

impl OrphanSearch {
    fn options(&self, app: &App) -> Ec2Options {
        Ec2Options {
            region: self.regions.first().cloned(),
            profile: self.profile.clone().or_else(|| app.aws("AWS_PROFILE")),
            endpoint: self.endpoint.clone().or_else(|| app.aws_endpoint()),
            ..Ec2Options::default()
        }
    }
}

impl App {
    /// Looks at EC2 for what this store made and no record knows of.
    ///
    /// # Errors
    /// A region that cannot be looked at.
    pub async fn orphans(&self, search: &OrphanSearch, reporter: &Reporter) -> Result<Orphans> {
        let mut regions: BTreeSet<String> = search.regions.iter().cloned().collect();
        if regions.is_empty() {
            regions.extend(self.ec2_records()?.known.into_iter().map(|(_, region)| region));
        }
        let options = search.options(self);
        let all_regions = search.all_regions;
        let mut found = self
            .ec2()
            .orphans(&Search { options, all_regions, regions, store: search.store.clone() }, reporter)
            .await?;
        // Read after the look: what a `create` made meanwhile is in a record by now.
        let records = self.ec2_records()?;
        let mut spared = Vec::new();
        found.found.retain(|orphan| {
            let spare = records.unreadable.contains(&orphan.machine);
            if spare {
                spared.push(orphan.machine.clone());
            }
            !spare && !records.known.iter().any(|(token, _)| *token == orphan.token)
        });
        for machine in spared {
            reporter.warn(format!("the record of {machine:?} cannot be read: what carries its name is left alone"));
        }
        Ok(found)
    }

    /// Removes one that [`orphans`](Self::orphans) found.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn remove_orphan(&self, orphan: &Orphan, search: &OrphanSearch, reporter: &Reporter) -> Result<()> {
        reporter.stage("remove", format!("Removing what is left of {}", orphan.machine));
        self.ec2().remove_orphan(orphan, &search.options(self), reporter).await
    }

    fn ec2_records(&self) -> Result<Records> {
        let mut records = Records::default();
        for name in self.store.names()? {
            match name.parse::<MachineName>().and_then(|name| self.store.load(&name)) {
                Ok(record) => {
                    let dir = self.store.folder(&record.name);
                    records.known.extend(Ec2Driver::token(MachineRef { record: &record, dir: &dir }));
                }
                Err(_) => records.unreadable.push(name),
            }
        }
        Ok(records)
    }
}

/// What records tell of things at EC2.
#[derive(Default)]
struct Records {
    /// Tokens, with their regions.
    known: Vec<(String, String)>,
    /// Machines whose records tell nothing.
    unreadable: Vec<String>,
}
