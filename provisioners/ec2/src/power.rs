//! Starting and stopping, and waiting for either.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use machine_core::{Code, Error, Reporter, Result};

use crate::cloud::{Cloud, Instance, Manner, Rule};
use crate::creation::already_so;
use crate::driver::address_of;
use crate::options::{ENGINE_PORT, Ec2Options};
use crate::plan;
use crate::query::Filter;
use crate::state::State;

/// How long an instance may take to run: usually half a minute, bare metal ten.
const RUN_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How long a forced stop may take.
const FORCED_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long an instance that runs may be without its address.
const WITHOUT_ADDRESS: Duration = Duration::from_secs(30);

/// The pause before the look after `looks` of them.
pub(crate) fn pause(looks: u32) -> Duration {
    Duration::from_millis(if looks < 5 { 1000 } else { 3000 })
}

/// Sees to it that an instance runs and has its address.
///
/// # Errors
/// One that is gone, that goes, that would end itself, or that does not come up, with AWS's reason.
pub(crate) async fn run(
    cloud: &dyn Cloud,
    state: &State,
    options: &Ec2Options,
    reporter: &Reporter,
) -> Result<Instance> {
    let id = state.instance()?;
    let begun = Instant::now();
    let mut asked = false;
    let mut was_coming = false;
    let mut reason = String::new();
    let mut running_since: Option<Instant> = None;
    let mut looks = 0;
    loop {
        let found = cloud.instance(id).await?;
        match found {
            None if state.may_be_invisible(Timestamp::now()) => {}
            None => return Err(gone(state, "it does not exist any more")),
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
                "pending" => {
                    was_coming = true;
                    reason = instance.reason;
                }
                "stopped" if was_coming => {
                    return Err(Error::other(format!(
                        "the instance {id} stopped before it ran{}",
                        because(&instance.reason)
                    ))
                    .hint("`machine start` tries again; where AWS has no room for it, later"));
                }
                "stopped" if !asked => {
                    if let Some(ends) = state.expires.filter(|ends| *ends <= Timestamp::now()) {
                        return Err(Error::other(format!(
                            "its time was over at {}: started, the instance {id} would end itself",
                            ends.strftime("%Y-%m-%d %H:%M UTC")
                        ))
                        .hint("`machine rm` removes it"));
                    }
                    asked = true;
                    reporter.detail(format!("starting the instance {id}"));
                    cloud.start(id).await?;
                }
                "shutting-down" | "terminated" => {
                    let why = if instance.reason.is_empty() { "it was terminated" } else { &instance.reason };
                    return Err(gone(state, why));
                }
                _ => reason = instance.reason,
            },
        }
        if begun.elapsed() > RUN_LIMIT {
            return Err(Error::new(
                Code::TimedOut,
                format!("the instance {id} does not run after {} min{}", RUN_LIMIT.as_secs() / 60, because(&reason)),
            )
            .hint("the AWS console shows its status checks; `machine start` waits again"));
        }
        tokio::time::sleep(pause(looks)).await;
        looks += 1;
    }
}

/// AWS's reason, behind a sentence.
fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
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
    let (missing, mut outdated) = difference(&group.rules, &plan::rules(options, allowed)?);
    // What a person added for another port is theirs.
    let ours = [options.ssh_port(), ENGINE_PORT];
    outdated.retain(|rule| rule.protocol == "tcp" && rule.from == rule.to && ours.contains(&rule.from));
    if !missing.is_empty() {
        reporter.detail(format!("letting in {}", allowed.join(", ")));
        cloud.authorize(id, &missing).await.or_else(already_so)?;
    }
    if !outdated.is_empty() {
        match cloud.revoke(id, &outdated).await {
            // Somebody else was faster.
            Err(error) if error.code == "InvalidPermission.NotFound" => {}
            result => result?,
        }
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
    use crate::cloud::Group;
    use crate::fake_cloud::{FakeCloud, instance};

    fn state() -> State {
        State { instance: Some("i-1".into()), group: Some("sg-1".into()), ..State::new("t".into(), "eu-central-1") }
    }

    async fn started(cloud: &FakeCloud, state: &State) -> Result<Instance> {
        run(cloud, state, &Ec2Options::default(), &Reporter::silent()).await
    }

    #[tokio::test]
    async fn an_instance_that_stops_before_it_runs_is_told_with_the_reason() {
        let looks = ["stopped", "stopped", "pending", "stopped", "running"]
            .map(|state| Some(instance(state, "no key to its disk")));
        let cloud = FakeCloud::showing(looks.into());
        let error = started(&cloud, &state()).await.unwrap_err();
        assert!(error.to_string().contains("no key to its disk"), "{error}");
        assert_eq!(cloud.asked(), ["start"]);
    }

    #[tokio::test]
    async fn a_machine_whose_time_is_over_is_not_started_to_its_end() {
        let over = State { expires: Some(Timestamp::UNIX_EPOCH), ..state() };
        let cloud = FakeCloud::showing(vec![Some(instance("stopped", "")), Some(instance("running", ""))]);
        let error = started(&cloud, &over).await.unwrap_err();
        assert!(error.to_string().contains("its time was over at 1970-01-01"), "{error}");
        assert!(cloud.asked().is_empty());
        let cloud = FakeCloud::showing(vec![Some(instance("stopped", "")), Some(instance("running", ""))]);
        started(&cloud, &state()).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_person_opened_in_the_group_stays_and_what_is_revoked_already_is_no_error() {
        let rule = |protocol: &str, from: u16, to: u16| Rule {
            protocol: protocol.into(),
            from,
            to,
            cidr: "192.0.2.1/32".into(),
        };
        let theirs =
            [rule("icmp", 0, 0), rule("-1", 0, 0), rule("tcp", 443, 443), rule("tcp", 20, 30), rule("udp", 22, 22)];
        let rules = [rule("tcp", 22, 22), rule("tcp", 2376, 2376)].into_iter().chain(theirs).collect();
        let group = Group { id: "sg-1".into(), rules, ..Group::default() };
        let cloud = FakeCloud { group, ..FakeCloud::default() };
        let allowed = ["192.0.2.9/32".to_owned()];
        let_in(&cloud, &state(), &Ec2Options::default(), &allowed, &Reporter::silent()).await.unwrap();
        assert_eq!(
            cloud.asked(),
            [
                "authorize tcp:22-22 192.0.2.9/32 tcp:2376-2376 192.0.2.9/32",
                "revoke tcp:22-22 192.0.2.1/32 tcp:2376-2376 192.0.2.1/32"
            ]
        );
    }

    #[test]
    fn only_what_differs_is_changed_in_a_group() {
        let rule = |cidr: &str| Rule { protocol: "tcp".into(), from: 22, to: 22, cidr: cidr.into() };
        let (missing, outdated) =
            difference(&[rule("192.0.2.1/32"), rule("0.0.0.0/0")], &[rule("192.0.2.9/32"), rule("0.0.0.0/0")]);
        assert_eq!((missing, outdated), (vec![rule("192.0.2.9/32")], vec![rule("192.0.2.1/32")]));
    }
}
