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
    /// That address may be one without TLS.
    pub insecure_transport: bool,
}

impl OrphanSearch {
    fn options(&self, app: &App) -> Ec2Options {
        let insecure_transport = self.insecure_transport || app.aws_insecure();
        Ec2Options {
            region: self.regions.first().cloned(),
            profile: app.aws_profile(self.profile.clone()),
            endpoint: app.aws_endpoint(self.endpoint.clone(), insecure_transport),
            insecure_transport,
            ..Ec2Options::default()
        }
    }
}

impl App {
    /// Looks at EC2 for what this store made and no record knows of.
    ///
    /// # Errors
    /// Words that cannot be, or a region that cannot be looked at.
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
            if records.known.iter().any(|(token, _)| *token == orphan.token) {
                return false;
            }
            let folder = records.unreadable.iter().find(|record| record.may_be_of(orphan));
            spared.extend(folder.map(|record| (orphan.machine.clone(), record.folder.clone())));
            folder.is_none()
        });
        for (machine, folder) in spared {
            let what = if machine == folder { String::new() } else { format!(" in the folder {folder:?}") };
            reporter
                .warn(format!("the record of {machine:?}{what} cannot be read: what is at EC2 of it is left alone"));
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
        for name in self.workshop_names()? {
            let told = self.workshop(&name).and_then(|workshop| {
                let dir = self.workshop_folder(&name);
                match workshop.pattern.driver.as_str() {
                    "ec2" => Ec2Driver::token(MachineRef { record: &workshop.pattern, dir: &dir }),
                    _ => Ok(None),
                }
            });
            match told {
                Ok(token) => records.known.extend(token),
                Err(_) => {
                    let text = self.raw_workshop(&name);
                    records.unreadable.push(Unreadable { folder: name.to_string(), text });
                }
            }
        }
        for folder in self.store.names()? {
            let told = folder.parse::<MachineName>().and_then(|name| self.store.load(&name)).and_then(|record| {
                let dir = self.store.folder(&record.name);
                match record.driver.as_str() {
                    "ec2" => Ec2Driver::token(MachineRef { record: &record, dir: &dir }),
                    _ => Ok(None),
                }
            });
            match told {
                Ok(token) => records.known.extend(token),
                Err(_) => {
                    let text = self.store.raw_record(&folder).unwrap_or_default();
                    records.unreadable.push(Unreadable { folder, text });
                }
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
    /// Those that tell nothing.
    unreadable: Vec<Unreadable>,
}

/// A folder without a record that can be read.
struct Unreadable {
    folder: String,
    /// What there is of the record.
    text: String,
}

impl Unreadable {
    /// Whether it may know of what is there: its text has the token, or its folder the name.
    fn may_be_of(&self, orphan: &Orphan) -> bool {
        self.folder == orphan.machine || (!orphan.token.is_empty() && self.text.contains(&orphan.token))
    }
}
