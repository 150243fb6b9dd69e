//! The whole plan.

use std::fmt;

use machine_core::Result;

use super::{configuration, host, packaging, refusals, service};
use crate::distribution::Distribution;
use crate::facts::Facts;
use crate::request::Request;
use crate::step::Step;

/// What is to be done on a host, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the host runs.
    pub distribution: Distribution,
    /// The steps.
    pub steps: Vec<Step>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Decides what makes the host that `facts` tell of what `request` asks for.
///
/// The engine comes first and is not started before everything that it reads is there: it starts once. An engine that runs
/// already restarts once, and only when a file has changed that it reads at its start.
///
/// # Errors
/// What makes it impossible: a distribution that nothing is known of, no way to become root, no room, a read-only system.
pub fn plan(facts: &Facts, request: &Request) -> Result<Plan> {
    let distribution = refusals::check(facts)?;
    let mut steps = Vec::new();
    let mut warnings = refusals::warnings(facts);
    steps.extend(host::clock(facts));
    let packaging = packaging::packaging(facts, &distribution, request)?;
    warnings.extend(packaging.warnings);
    refusals::check_room(facts, request)?;
    steps.extend(host::data_disk(request));
    steps.extend(packaging.steps);
    steps.push(host::compose_name());
    steps.push(host::group(&distribution));
    steps.push(host::members(facts, &distribution, request));
    steps.extend(configuration::authorities(&distribution, request)?);
    steps.extend(configuration::settings(facts, request)?);
    steps.extend(host::firewall(facts, request));
    steps.push(service::service(facts));
    steps.push(service::proof());
    Ok(Plan { distribution, steps, warnings })
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.distribution)?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))?;
        self.steps.iter().try_for_each(|step| write!(f, "{step}"))
    }
}
