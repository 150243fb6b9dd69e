//! Removing all that carries a token: found by its tags, whatever a record knows, in the order in which EC2 lets go.
//!
//! ```text
//! instances -> (terminated) -> volumes that were left -> security groups -> key pairs
//! ```

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use machine_core::{Code, Error, Reporter, Result};

use crate::cloud::{CallError, Cloud};
use crate::options::Ec2Options;
use crate::plan::tag;
use crate::power::pause;
use crate::query::Filter;
use crate::state::State;

/// How long an instance may take to be gone.
const GONE: Duration = Duration::from_secs(10 * 60);
/// How long a group may be in use after its last instance is gone (its network interface goes last).
const IN_USE: Duration = Duration::from_secs(120);

/// Removes everything of a machine. Idempotent at any half-made state.
///
/// # Errors
/// What could not be removed; calling again carries on. Nothing is removed with the credentials of another account, which
/// would see nothing there.
pub(crate) async fn remove(cloud: &dyn Cloud, state: &State, options: &Ec2Options, reporter: &Reporter) -> Result<()> {
    remove_with(cloud, state, BTreeSet::new(), options, reporter).await
}

/// Removes one host of a fleet: what the others use too stays.
///
/// # Errors
/// As [`remove`].
pub(crate) async fn remove_member(
    cloud: &dyn Cloud,
    state: &State,
    options: &Ec2Options,
    reporter: &Reporter,
) -> Result<()> {
    check_account(cloud, state, options).await?;
    let id = state.instance()?;
    let mut told = false;
    while state.may_be_invisible(Timestamp::now()) && cloud.instance(id).await?.is_none() {
        if !std::mem::replace(&mut told, true) {
            reporter.info("EC2 does not show the instance yet: waiting up to two minutes for it...");
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    terminate(cloud, &BTreeSet::from([id.to_owned()]), options, reporter).await
}

/// As [`remove`], with instances that are known otherwise: a listing may not show all yet.
///
/// # Errors
/// As [`remove`].
pub(crate) async fn remove_with(
    cloud: &dyn Cloud,
    state: &State,
    known: BTreeSet<String>,
    options: &Ec2Options,
    reporter: &Reporter,
) -> Result<()> {
    check_account(cloud, state, options).await?;
    remove_all(cloud, state, known, options, reporter).await
}

async fn check_account(cloud: &dyn Cloud, state: &State, options: &Ec2Options) -> Result<()> {
    if let Some(made_in) = &state.account {
        let identity = cloud.identity().await?;
        if identity.account != *made_in {
            return Err(Error::other(format!(
                "the machine was made in the account {made_in}, these credentials are of {}",
                identity.account
            ))
            .hint(match &options.profile {
                Some(profile) => format!("its record names the profile {profile:?}, which has to be one of {made_in}"),
                None => "AWS_PROFILE or other credentials choose the account".to_owned(),
            }));
        }
    }
    Ok(())
}

async fn remove_all(
    cloud: &dyn Cloud,
    state: &State,
    known: BTreeSet<String>,
    options: &Ec2Options,
    reporter: &Reporter,
) -> Result<()> {
    let of_token = [Filter::one(format!("tag:{}", tag::TOKEN), &state.token)];
    let mut told = false;
    let mut ids: BTreeSet<String>;
    loop {
        ids = cloud.instances(&of_token).await?.into_iter().map(|instance| instance.id).collect();
        let seen = match &state.instance {
            Some(id) => ids.contains(id) || cloud.instance(id).await?.is_some(),
            // Nobody heard how many there are: those that are shown need not be all.
            None if state.fleet.is_some() => false,
            None => !ids.is_empty(),
        };
        // What stands in a record was made, and what EC2 does not show it does not terminate either.
        let all_shown = known.iter().all(|id| ids.contains(id));
        if ((seen || !state.launched) && all_shown) || !state.may_be_invisible(Timestamp::now()) {
            break;
        }
        if !std::mem::replace(&mut told, true) {
            reporter.info(match state.fleet {
                None => "EC2 does not show the instance yet that was asked for: waiting up to two minutes for it...",
                Some(_) => {
                    "EC2 may not show all instances yet that were asked for: waiting up to two minutes for them..."
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    ids.extend(state.instance.clone());
    ids.extend(known);
    terminate(cloud, &ids, options, reporter).await?;

    for volume in cloud.volumes(&of_token).await? {
        if volume.state == "available" {
            done(cloud.delete_volume(&volume.id).await)?;
        }
    }
    let groups = cloud.groups(&of_token).await?.into_iter().map(|group| group.id).chain(state.group.clone());
    for group in groups.collect::<BTreeSet<_>>() {
        delete_group(cloud, &group, &of_token, options, reporter).await?;
    }
    let keys = cloud.key_pairs(&of_token).await?.into_iter().map(|key| key.name).chain(state.key_pair.clone());
    for key in keys.collect::<BTreeSet<_>>() {
        done(cloud.delete_key_pair(&key).await)?;
    }
    Ok(())
}

/// What is gone already is as good as removed.
fn done(result: Result<(), CallError>) -> Result<()> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map_err(Error::from),
    }
}

/// Terminates instances and waits until they are.
pub(crate) async fn terminate(
    cloud: &dyn Cloud,
    ids: &BTreeSet<String>,
    options: &Ec2Options,
    reporter: &Reporter,
) -> Result<()> {
    let all: Vec<String> = ids.iter().cloned().collect();
    let mut left = living(cloud, &all).await?;
    if left.is_empty() {
        return Ok(());
    }
    reporter.detail(format!("terminating {}", left.join(", ")));
    end(cloud, &left, options).await?;
    let begun = Instant::now();
    let mut looks = 0;
    loop {
        left = living(cloud, &left).await?;
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > GONE {
            let what = format!("{} not gone after {} min", left.join(", "), GONE.as_secs() / 60);
            return Err(Error::new(Code::TimedOut, what).hint("the same command again carries on"));
        }
        tokio::time::sleep(pause(looks)).await;
        looks += 1;
    }
}

/// Those of which there is more left than an entry.
async fn living(cloud: &dyn Cloud, ids: &[String]) -> Result<Vec<String>> {
    let seen = cloud.these(ids).await?;
    Ok(seen.into_iter().filter(|instance| !instance.is_gone()).map(|instance| instance.id).collect())
}

async fn end(cloud: &dyn Cloud, ids: &[String], options: &Ec2Options) -> Result<()> {
    match cloud.terminate(ids).await {
        // Only now: of a spot instance EC2 takes no word on protection (UnsupportedOperation).
        Err(error) if error.code == "OperationNotPermitted" && options.termination_protection => {
            for id in ids {
                done(cloud.unprotect(id).await)?;
            }
            done(cloud.terminate(ids).await)
        }
        // One of them went meanwhile, and nothing was done to any.
        Err(error) if error.is_not_found() && ids.len() > 1 => {
            for id in ids {
                done(cloud.terminate(std::slice::from_ref(id)).await)?;
            }
            Ok(())
        }
        result => done(result),
    }
}

/// Deletes a security group as soon as nothing uses it. One that stays in use shows an instance that a listing did not.
async fn delete_group(
    cloud: &dyn Cloud,
    group: &str,
    of_token: &[Filter],
    options: &Ec2Options,
    reporter: &Reporter,
) -> Result<()> {
    let begun = Instant::now();
    let mut looks = 0;
    loop {
        match cloud.delete_group(group).await {
            Err(error)
                if matches!(error.code.as_str(), "DependencyViolation" | "InvalidGroup.InUse")
                    && begun.elapsed() < IN_USE =>
            {
                let late = cloud.instances(of_token).await?.into_iter().map(|instance| instance.id).collect();
                terminate(cloud, &late, options, reporter).await?;
            }
            result => return done(result),
        }
        tokio::time::sleep(pause(looks)).await;
        looks += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_cloud::{FakeCloud, instance};

    async fn removed(cloud: &FakeCloud, state: &State, options: &Ec2Options) -> Result<Vec<String>> {
        remove(cloud, state, options, &Reporter::silent()).await?;
        Ok(cloud.asked())
    }

    #[tokio::test]
    async fn protection_is_taken_away_only_where_it_stands_in_the_way() {
        let state = State { instance: Some("i-1".into()), ..State::new("t".into(), "eu-central-1") };
        let options = Ec2Options { termination_protection: true, ..Ec2Options::default() };
        let running = || FakeCloud::showing(vec![Some(instance("running", ""))]);
        let spot = FakeCloud { spot: true, ..running() };
        assert_eq!(removed(&spot, &state, &options).await.unwrap(), ["terminate"]);
        let protected = FakeCloud { protected: true.into(), ..running() };
        assert_eq!(removed(&protected, &state, &options).await.unwrap(), ["terminate", "unprotect", "terminate"]);
        let by_others = FakeCloud { protected: true.into(), ..running() };
        removed(&by_others, &state, &Ec2Options::default()).await.unwrap_err();
    }

    #[tokio::test]
    async fn an_instance_that_was_just_asked_for_is_waited_for_also_where_its_id_is_known() {
        let new = State {
            instance: Some("i-1".into()),
            launched: true,
            launched_at: Some(Timestamp::now()),
            ..State::new("t".into(), "eu-central-1")
        };
        let looks = || {
            let shown = ["pending", "pending", "terminated"].map(|state| Some(instance(state, "")));
            [None, None].into_iter().chain(shown).collect()
        };
        let cloud = FakeCloud::showing(looks());
        assert_eq!(removed(&cloud, &new, &Ec2Options::default()).await.unwrap(), ["terminate"]);
        let old = State { launched_at: Some(Timestamp::UNIX_EPOCH), ..new };
        let cloud = FakeCloud::showing(looks());
        let begun = Instant::now();
        removed(&cloud, &old, &Ec2Options::default()).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "nothing to wait for");
    }

    #[tokio::test]
    async fn hosts_of_a_fleet_that_ec2_does_not_show_yet_are_waited_for() {
        let shown = || {
            let looks = ["pending", "pending", "terminated"].map(|state| Some(instance(state, "")));
            FakeCloud::showing([None, None].into_iter().chain(looks).collect())
        };
        let options = Ec2Options::default();
        // Every instance stands in a record, so that nothing is open of the launch itself.
        let settled = State {
            fleet: Some("lab".into()),
            launched: false,
            launched_at: Some(Timestamp::now()),
            ..State::new("t".into(), "eu-central-1")
        };
        let cloud = shown();
        remove_with(&cloud, &settled, ["i-1".to_owned()].into(), &options, &Reporter::silent()).await.unwrap();
        assert_eq!(cloud.asked(), ["terminate"]);
        let member = State { instance: Some("i-1".into()), launched: true, ..settled };
        let cloud = shown();
        remove_member(&cloud, &member, &options, &Reporter::silent()).await.unwrap();
        assert_eq!(cloud.asked(), ["terminate"]);
    }

    #[tokio::test]
    async fn the_wrong_account_is_told_by_the_profile_of_the_record() {
        let state = State { account: Some("2".into()), ..State::new("t".into(), "eu-central-1") };
        let options = Ec2Options { profile: Some("work".into()), ..Ec2Options::default() };
        let told = format!("{:?}", removed(&FakeCloud::showing(vec![None]), &state, &options).await.unwrap_err());
        assert!(told.contains("the profile \\\"work\\\"") || told.contains("the profile \"work\""), "{told}");
    }
}
