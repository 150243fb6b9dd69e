//! Removing all that carries a token: found by its tags, whatever a record knows, in the order in which EC2 lets go.
//!
//! ```text
//! instances -> (terminated) -> volumes that were left -> security groups -> key pairs
//! ```

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use machine_core::{Code, Error, Reporter, Result};

use crate::cloud::{CallError, Cloud};
use crate::options::Ec2Options;
use crate::plan::tag;
use crate::power::pause;
use crate::query::Filter;
use crate::state::State;

/// How long an instance may take to be gone.
const GONE: Duration = Duration::from_secs(10 * 60);
/// How long a launch whose answer never came may be invisible.
const INVISIBLE: SignedDuration = SignedDuration::from_secs(20);
/// How long a group may be in use after its last instance is gone (its network interface goes last).
const IN_USE: Duration = Duration::from_secs(120);

/// Removes everything of a machine. Idempotent at any half-made state.
///
/// # Errors
/// What could not be removed; calling again carries on. Nothing is removed with the credentials of another account, which
/// would see nothing there.
pub(crate) async fn remove(cloud: &dyn Cloud, state: &State, options: &Ec2Options, reporter: &Reporter) -> Result<()> {
    if let Some(made_in) = &state.account {
        let identity = cloud.identity().await?;
        if identity.account != *made_in {
            return Err(Error::other(format!(
                "the machine was made in the account {made_in}, these credentials are of {}",
                identity.account
            ))
            .hint("AWS_PROFILE or other credentials choose the account"));
        }
    }
    let of_token = [Filter::one(format!("tag:{}", tag::TOKEN), &state.token)];
    let mut ids: BTreeSet<String> = state.instance.iter().cloned().collect();
    loop {
        ids.extend(cloud.instances(&of_token).await?.into_iter().map(|instance| instance.id));
        // Asked for, and no answer came: it may not be visible yet.
        let may_come = state.launched
            && ids.is_empty()
            && state.launched_at.is_some_and(|at| Timestamp::now().duration_since(at) < INVISIBLE);
        if !may_come {
            break;
        }
        reporter.detail("waiting whether the instance that was asked for appears");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
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
    for id in ids {
        let Some(instance) = cloud.instance(id).await? else { continue };
        if instance.is_gone() {
            continue;
        }
        reporter.detail(format!("terminating the instance {id}"));
        if options.termination_protection {
            done(cloud.unprotect(id).await)?;
        }
        done(cloud.terminate(id).await)?;
    }
    for id in ids {
        let begun = Instant::now();
        let mut looks = 0;
        while cloud.instance(id).await?.is_some_and(|instance| !instance.is_gone()) {
            if begun.elapsed() > GONE {
                let what = format!("the instance {id} is not gone after {} min", GONE.as_secs() / 60);
                return Err(Error::new(Code::TimedOut, what).hint("`machine rm` again carries on"));
            }
            tokio::time::sleep(pause(looks)).await;
            looks += 1;
        }
    }
    Ok(())
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
