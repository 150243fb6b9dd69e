//! Starting and stopping, and waiting for either.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use machine_core::{Code, Error, Reporter, Result};

use crate::cloud::{Cloud, Instance, Manner, Rule};
use crate::creation::already_so;
use crate::driver::address_of;
use crate::options::Ec2Options;
use crate::plan;
use crate::query::Filter;
use crate::state::State;

/// How long an instance may take to run: usually half a minute, bare metal ten.
const RUN_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How long a forced stop may take.
const FORCED_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long an instance that was just made may be unknown.
const UNKNOWN: SignedDuration = SignedDuration::from_mins(2);
/// How long an instance that runs may be without its address.
const WITHOUT_ADDRESS: Duration = Duration::from_secs(30);

/// The pause before the look after `looks` of them.
pub(crate) fn pause(looks: u32) -> Duration {
    Duration::from_millis(if looks < 5 { 1000 } else { 3000 })
}

/// Sees to it that an instance runs and has its address.
///
/// # Errors
/// One that is gone, that goes, or that does not come up in time, with AWS's reason.
pub(crate) async fn run(
    cloud: &dyn Cloud,
    state: &State,
    options: &Ec2Options,
    reporter: &Reporter,
) -> Result<Instance> {
    let id = state.instance()?;
    let begun = Instant::now();
    let mut asked = false;
    let mut running_since: Option<Instant> = None;
    let mut looks = 0;
    loop {
        let found = cloud.instance(id).await?;
        match found {
            None => {
                let new = state.launched_at.is_some_and(|at| Timestamp::now().duration_since(at) < UNKNOWN);
                if !new {
                    return Err(gone(state, "it does not exist any more"));
                }
            }
            Some(instance) => match instance.state.as_str() {
                "running" => {
                    if address_of(&instance, options).is_some() {
                        return Ok(instance);
                    }
                    if running_since.get_or_insert_with(Instant::now).elapsed() > WITHOUT_ADDRESS {
                        return Err(Error::other(format!("the instance {id} runs and has no public address"))
                            .hint("its subnet may give none: --ec2-subnet-id names another; --ec2-use-private-address reaches it from inside the network"));
                    }
                }
                "stopped" if !asked => {
                    asked = true;
                    reporter.detail(format!("starting the instance {id}"));
                    cloud.start(id).await?;
                }
                "shutting-down" | "terminated" => {
                    let why = if instance.reason.is_empty() { "it was terminated" } else { &instance.reason };
                    return Err(gone(state, why));
                }
                _ => {}
            },
        }
        if begun.elapsed() > RUN_LIMIT {
            return Err(Error::new(
                Code::TimedOut,
                format!("the instance {id} does not run after {} min", RUN_LIMIT.as_secs() / 60),
            )
            .hint("the AWS console shows its status checks; `machine start` waits again"));
        }
        tokio::time::sleep(pause(looks)).await;
        looks += 1;
    }
}

fn gone(state: &State, why: &str) -> Error {
    let id = state.instance.as_deref().unwrap_or_default();
    let account = state.account.as_ref().map(|account| format!(" of the account {account}")).unwrap_or_default();
    Error::other(format!("the instance {id} in {}{account} is gone: {why}", state.region))
        .hint("`machine rm` removes what is left of the machine")
        .hint("or are these the credentials of another account? `aws sts get-caller-identity` tells")
}

/// Lets this computer in, where it is now, and what is out of date no longer. Only the machine's own group is changed.
pub(crate) async fn let_in(
    cloud: &dyn Cloud,
    state: &State,
    options: &Ec2Options,
    allowed: &[String],
    reporter: &Reporter,
) -> Result<()> {
    let Some(id) = &state.group else { return Ok(()) };
    let Some(group) = cloud.groups(&[Filter::one("group-id", id)]).await?.into_iter().next() else {
        return Err(Error::other(format!("the machine's security group {id} is gone"))
            .hint("without it nobody is let in: `machine rm`, and create it anew"));
    };
    let (missing, outdated) = difference(&group.rules, &plan::rules(options, allowed)?);
    if !missing.is_empty() {
        reporter.detail(format!("letting in {}", allowed.join(", ")));
        cloud.authorize(id, &missing).await.or_else(already_so)?;
    }
    if !outdated.is_empty() {
        cloud.revoke(id, &outdated).await?;
    }
    Ok(())
}

/// Rules that are missing, and those that should not be there.
fn difference(present: &[Rule], wanted: &[Rule]) -> (Vec<Rule>, Vec<Rule>) {
    let without = |all: &[Rule], these: &[Rule]| all.iter().filter(|rule| !these.contains(rule)).cloned().collect();
    (without(wanted, present), without(present, wanted))
}

/// Shuts an instance down; by force when it has not by `deadline`. Returns whether that was needed.
///
/// # Errors
/// When it could not be stopped at all.
pub(crate) async fn stop(cloud: &dyn Cloud, state: &State, deadline: Duration) -> Result<bool> {
    let id = state.instance()?;
    cloud.stop(id, Manner::Graceful).await?;
    if is_off_within(cloud, id, deadline).await? {
        return Ok(false);
    }
    kill(cloud, state).await.map(|()| true)
}

/// Stops an instance without asking the guest.
///
/// # Errors
/// When it could not be stopped.
pub(crate) async fn kill(cloud: &dyn Cloud, state: &State) -> Result<()> {
    let id = state.instance()?;
    cloud.stop(id, Manner::Forced).await?;
    if is_off_within(cloud, id, FORCED_LIMIT).await? {
        return Ok(());
    }
    Err(Error::new(Code::TimedOut, format!("the instance {id} was not off after {} min", FORCED_LIMIT.as_secs() / 60))
        .hint("the AWS console shows what holds it up"))
}

async fn is_off_within(cloud: &dyn Cloud, id: &str, limit: Duration) -> Result<bool> {
    let begun = Instant::now();
    let mut looks = 0;
    loop {
        match cloud.instance(id).await?.map(|instance| instance.state) {
            None => return Ok(true),
            Some(state) if state == "stopped" || state == "terminated" => return Ok(true),
            Some(_) if begun.elapsed() >= limit => return Ok(false),
            Some(_) => tokio::time::sleep(pause(looks).min(limit.saturating_sub(begun.elapsed()))).await,
        }
        looks += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_changed_in_a_group() {
        let rule = |cidr: &str| Rule { protocol: "tcp".into(), from: 22, to: 22, cidr: cidr.into() };
        let (missing, outdated) =
            difference(&[rule("192.0.2.1/32"), rule("0.0.0.0/0")], &[rule("192.0.2.9/32"), rule("0.0.0.0/0")]);
        assert_eq!((missing, outdated), (vec![rule("192.0.2.9/32")], vec![rule("192.0.2.1/32")]));
    }
}
