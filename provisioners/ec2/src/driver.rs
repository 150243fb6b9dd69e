//! The driver.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use machine_core::{
    Capabilities, Code, Driver, Endpoints, Error, MachineRef, MachineSpec, MachineState, Observation, Reporter, Result,
    SshTarget, Work,
};
use serde_json::Value;

use crate::caller::{self, Way};
use crate::client::{AwsClient, Place, within};
use crate::cloud::{Called, Cloud, Instance};
use crate::connector::Http;
use crate::creation::Creation;
use crate::credentials::{Keys, usual_region};
use crate::facts;
use crate::options::{Ec2Options, USUAL_REGION, USUAL_TYPE};
use crate::pace::Pace;
use crate::plan;
use crate::power;
use crate::removal;
use crate::state::State;

/// The private key in the machine's folder, where the machine has one of its own (`seed::CLIENT_KEY` of the app).
pub(crate) const CLIENT_KEY: &str = "id_ed25519";
/// The copy of the user's key, where a key pair was named.
pub(crate) const GIVEN_KEY: &str = "id_ec2";
/// How long a look is good for.
const FRESH: Duration = Duration::from_secs(5);
/// How long a look may take.
const LOOK: Duration = Duration::from_secs(8);
/// From when on a machine says that it is about to end itself.
const SOON: SignedDuration = SignedDuration::from_mins(60);

/// What the driver knows of its surroundings.
#[derive(Clone)]
pub struct Ec2Config {
    /// The store's identity, for tags.
    pub store: Arc<dyn Fn() -> Result<String> + Send + Sync>,
    /// The user's name, for tags.
    pub owner: Option<String>,
    /// Keys that were given for this command.
    pub keys: Option<Keys>,
}

/// What is known of a machine of which something was made.
struct Known {
    options: Ec2Options,
    state: State,
    cloud: Arc<dyn Cloud>,
}

/// Instances at Amazon.
#[derive(Clone)]
pub struct Ec2Driver {
    config: Ec2Config,
    /// What all clients send by; made at first use, because reading the system's authorities takes its time.
    http: Arc<OnceLock<Http>>,
    /// One client per region, endpoint and profile: they hold connections and credentials.
    clients: Arc<Mutex<HashMap<String, Arc<dyn Cloud>>>>,
    /// The last look at each instance that was at rest. A window looks more often than anything changes, and AWS counts calls.
    looks: Arc<Mutex<HashMap<String, (Instant, Observation)>>>,
}

impl Ec2Driver {
    /// A driver in these surroundings. Calls nobody.
    pub fn new(config: Ec2Config) -> Self {
        Self { config, http: Arc::default(), clients: Arc::default(), looks: Arc::default() }
    }

    fn http(&self) -> Result<Http> {
        if let Some(http) = self.http.get() {
            return Ok(http.clone());
        }
        let http = Http::new()?;
        Ok(self.http.get_or_init(|| http).clone())
    }

    /// The store's identity.
    pub(crate) fn store(&self) -> Result<String> {
        (self.config.store)()
    }

    /// What to call for a machine of these options.
    pub(crate) fn cloud(&self, options: &Ec2Options, region: &str) -> Result<Arc<dyn Cloud>> {
        let mut pace = Pace::default();
        if let Some(retries) = options.retries {
            pace.attempts = retries.saturating_add(1);
        }
        let place = Place {
            region: region.to_owned(),
            endpoint: options.endpoint.clone(),
            profile: options.profile.clone(),
            keys: self.config.keys.clone(),
            pace,
        };
        let key = format!("{place:?}");
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(Arc::clone(client));
        }
        let client: Arc<dyn Cloud> = Arc::new(AwsClient::new(self.http()?, place));
        clients.insert(key, Arc::clone(&client));
        Ok(client)
    }

    /// The region of these options, or the one that the surroundings name.
    pub(crate) async fn region(&self, options: &Ec2Options) -> Result<String> {
        let region = match &options.region {
            Some(region) => Some(region.clone()),
            None => usual_region(&self.http()?, options.profile.as_deref()).await,
        };
        let region = region.unwrap_or_else(|| USUAL_REGION.to_owned());
        check_region(&region)?;
        Ok(region)
    }

    /// What there is to work with on a machine of which something was made.
    fn of(&self, machine: MachineRef<'_>) -> Result<Option<Known>> {
        let Some(state) = State::of(machine)? else { return Ok(None) };
        let options = Ec2Options::of(&machine.record.spec)?;
        let cloud = self.cloud(&options, &state.region)?;
        Ok(Some(Known { options, state, cloud }))
    }

    fn known(&self, machine: MachineRef<'_>) -> Result<Known> {
        // Something is about to change.
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.of(machine)?.ok_or_else(|| Error::other("nothing was made of this machine yet"))
    }

    /// From where this computer is seen by a machine.
    pub(crate) async fn allowed(&self, options: &Ec2Options, cloud: &dyn Cloud, network: &str) -> Result<Vec<String>> {
        if !options.security_groups.is_empty() {
            return Ok(Vec::new());
        }
        if !options.allow_cidrs.is_empty() {
            return Ok(options.allow_cidrs.clone());
        }
        let way = match cloud.endpoint() {
            Some(endpoint) => Way::Own(endpoint),
            None if options.is_private() => Way::Private(network),
            None => Way::Internet,
        };
        Ok(vec![caller::allowed(&self.http()?, &way).await?])
    }

    async fn check(&self, spec: &mut MachineSpec, reporter: &Reporter) -> Result<()> {
        let mut options = Ec2Options::of(spec)?;
        options.check()?;
        if spec.cpus != 0 || spec.memory_mib != 0 {
            return Err(Error::new(
                Code::Usage,
                "the type of an instance says how many CPUs and how much memory it has",
            )
            .hint("leave --cpus and --memory out; --ec2-instance-type chooses, as t3.small or m7i.large"));
        }
        crate::creation::rehearse_user_data(&options)?;
        if let Some(path) = &options.key {
            crate::creation::read_key(path)?;
        }
        let region = self.region(&options).await?;
        let cloud = self.cloud(&options, &region)?;
        reporter.detail(format!("asking EC2 in {region} what is there"));
        let found = facts::look_up(&*cloud, spec, &options).await?;
        let mut facts = found.facts;
        facts.allowed = self.allowed(&options, &*cloud, &found.cidr).await?;
        reporter.detail(format!(
            "image {} ({}), {} in {}, open to {}",
            facts.image,
            facts.image_name,
            found.instance_type.name,
            facts.zone,
            facts.allowed.join(", ")
        ));
        if spec.ssh_user.is_empty() {
            spec.ssh_user.clone_from(&facts.login);
        }
        (spec.cpus, spec.memory_mib) = (found.instance_type.cpus, found.instance_type.memory_mib);
        spec.disk_mib = found.disk_gib * 1024;
        options.region = Some(region);
        options.instance_type.get_or_insert_with(|| USUAL_TYPE.to_owned());
        options.found = Some(facts);
        self.rehearse(&*cloud, spec, &options).await?;
        spec.options = options.to_map();
        Ok(())
    }

    /// Asks for everything that will be made, as a dry run: what is not allowed is found before anything exists.
    async fn rehearse(&self, cloud: &dyn Cloud, spec: &MachineSpec, options: &Ec2Options) -> Result<()> {
        let store = self.store()?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        let belonging =
            plan::Belonging { machine: "rehearsal", store: &store, token: &token, owner: None, expires: None };
        if options.security_groups.is_empty() {
            cloud.create_group(&plan::group(options, &belonging)?, true).await?;
        }
        if options.key_pair.is_none() {
            // A key that is one; a dry run imports none.
            let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
            cloud.import_key_pair(&plan::key_pair(options, &belonging, key), true).await?;
        }
        let launch = plan::launch(&plan::Wish {
            options,
            belonging: &belonging,
            disk_gib: spec.disk_mib / 1024,
            key_name: options.key_pair.as_deref(),
            groups: &options.facts()?.groups,
            user_data: "#cloud-config\n",
        })?;
        cloud.run(&launch, true).await?;
        Ok(())
    }
}

/// A region becomes part of a host's name.
pub(crate) fn check_region(region: &str) -> Result<()> {
    let fits = !region.is_empty() && region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    match fits {
        true => Ok(()),
        false => Err(Error::new(Code::Usage, format!("{region:?} is no region")).hint("eu-central-1, us-east-1, ...")),
    }
}

/// Where an instance is reached.
pub(crate) fn address_of(instance: &Instance, options: &Ec2Options) -> Option<IpAddr> {
    if options.is_private() { instance.private } else { instance.public }
}

#[async_trait]
impl Driver for Ec2Driver {
    fn name(&self) -> &'static str {
        "ec2"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            power: true,
            resources: false,
            local: false,
            images: false,
            adopted: false,
            handed_host_key: true,
            login: true,
            pause: false,
        }
    }

    async fn preflight(&self, spec: &mut MachineSpec, reporter: &Reporter) -> Result<()> {
        self.check(spec, reporter).await.map_err(|error| match error.code() {
            Code::Interrupted | Code::Usage => error,
            _ => error.with_code(Code::PreCreate),
        })
    }

    async fn create(&self, work: Work<'_>) -> Result<Value> {
        let options = Ec2Options::of(&work.machine.record.spec)?;
        let region = options.region.clone().unwrap_or_else(|| USUAL_REGION.to_owned());
        let cloud = self.cloud(&options, &region)?;
        let store = self.store()?;
        Creation { cloud: &*cloud, options: &options, work, store: &store, owner: self.config.owner.as_deref() }
            .run()
            .await
    }

    async fn start(&self, work: Work<'_>) -> Result<Endpoints> {
        let Known { options, mut state, cloud } = self.known(work.machine)?;
        let instance = power::run(&*cloud, &state, &options, work.reporter).await?;
        if state.group.is_some() && options.allow_cidrs.is_empty() {
            // This computer may be somewhere else than it was then.
            let network = format!("{}/32", instance.private.map(|address| address.to_string()).unwrap_or_default());
            match self.allowed(&options, &*cloud, &network).await {
                Ok(allowed) => power::let_in(&*cloud, &state, &options, &allowed, work.reporter).await?,
                // Whoever was let in before still is.
                Err(error) => work.reporter.warn(error.to_string()),
            }
        }
        state.address = address_of(&instance, &options);
        work.checkpoint.save("address", &state.to_value()?)?;
        state.endpoints().ok_or_else(|| Error::other("the instance has no address"))
    }

    async fn stop(&self, work: Work<'_>, deadline: Duration) -> Result<bool> {
        let Known { mut state, cloud, .. } = self.known(work.machine)?;
        let by_force = power::stop(&*cloud, &state, deadline).await?;
        state.address = None;
        work.checkpoint.save("stopped", &state.to_value()?)?;
        Ok(by_force)
    }

    async fn kill(&self, work: Work<'_>) -> Result<()> {
        let Known { mut state, cloud, .. } = self.known(work.machine)?;
        power::kill(&*cloud, &state).await?;
        state.address = None;
        work.checkpoint.save("stopped", &state.to_value()?)
    }

    async fn remove(&self, work: Work<'_>) -> Result<()> {
        match self.of(work.machine)? {
            Some(Known { options, state, cloud }) => removal::remove(&*cloud, &state, &options, work.reporter).await,
            None => Ok(()),
        }
    }

    async fn observe(&self, machine: MachineRef<'_>) -> Observation {
        let Known { options, state, cloud } = match self.of(machine) {
            Ok(Some(known)) => known,
            Ok(None) => return Observation::of(MachineState::Missing),
            Err(error) => return Observation::of(MachineState::Unknown(error.to_string())),
        };
        let Some(id) = &state.instance else { return Observation::of(MachineState::Missing) };
        let looks = || self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, seen)) = looks().get(id).filter(|(at, _)| at.elapsed() < FRESH) {
            return seen.clone();
        }
        match within(LOOK, "looking at the instance", look(&*cloud, id, &state, &options)).await {
            Ok(seen) => {
                if matches!(seen.state, MachineState::Running | MachineState::Stopped) {
                    looks().insert(id.clone(), (Instant::now(), seen.clone()));
                }
                seen
            }
            Err(error) => Observation::of(MachineState::Unknown(error.error.to_string())),
        }
    }

    fn endpoints(&self, machine: MachineRef<'_>) -> Option<Endpoints> {
        State::of(machine).ok()??.endpoints()
    }

    fn ssh_target(&self, machine: MachineRef<'_>, endpoints: Endpoints) -> SshTarget {
        let given = machine.record.spec.options.contains_key("key_pair");
        SshTarget {
            address: endpoints.ssh,
            user: machine.record.spec.ssh_user.clone(),
            key: machine.dir.join(if given { GIVEN_KEY } else { CLIENT_KEY }),
            host_key: machine.record.host_key.clone().unwrap_or_default(),
            machine: machine.record.name.to_string(),
        }
    }
}

/// Looks at an instance. One that is not there may be in another account than the one that these credentials are of.
async fn look(cloud: &dyn Cloud, id: &str, state: &State, options: &Ec2Options) -> Called<Observation> {
    let now = Timestamp::now();
    let found = cloud.instance(id).await?;
    if found.is_none()
        && !state.may_be_invisible(now)
        && let Some(account) = &state.account
    {
        let theirs = cloud.identity().await?.account;
        if theirs != *account {
            let what = format!("its instance {id} is of the account {account}, these credentials are of {theirs}");
            return Ok(Observation::of(MachineState::Unknown(what)));
        }
    }
    Ok(observed(found.as_ref(), state, options, now))
}

/// What a look at an instance means: pure.
fn observed(found: Option<&Instance>, state: &State, options: &Ec2Options, now: Timestamp) -> Observation {
    let id = state.instance.as_deref().unwrap_or_default();
    let Some(instance) = found else {
        return Observation::of(match state.may_be_invisible(now) {
            true => MachineState::Starting,
            false => MachineState::Broken(format!("its instance {id} is gone from {}", state.region)),
        });
    };
    let gone = || {
        let why = if instance.reason.is_empty() { String::new() } else { format!(" ({})", instance.reason) };
        MachineState::Broken(format!("its instance {id} was terminated{why}: `machine rm` removes what is left"))
    };
    let mut seen = Observation::of(match instance.state.as_str() {
        "pending" => MachineState::Starting,
        "running" => MachineState::Running,
        "stopping" => MachineState::Stopping,
        "stopped" => MachineState::Stopped,
        "shutting-down" | "terminated" => gone(),
        other => MachineState::Unknown(format!("its instance {id} is {other:?}")),
    });
    if seen.state == MachineState::Running {
        seen.endpoints = address_of(instance, options).map(|address| state.endpoints_at(address));
    }
    if let Some(ends) = state.expires.filter(|ends| ends.duration_since(now) < SOON) {
        match seen.state {
            MachineState::Running => seen.warnings.push(format!("it ends itself at {}", ends.strftime("%H:%M UTC"))),
            MachineState::Stopped => {
                let at = ends.strftime("%Y-%m-%d %H:%M UTC");
                seen.warnings.push(format!("its time ends at {at}: started after that, it would end itself"));
            }
            _ => {}
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_cloud::FakeCloud;

    fn state() -> State {
        State {
            instance: Some("i-1".into()),
            launched: true,
            launched_at: Some("2026-11-22T12:00:00Z".parse().unwrap()),
            expires: Some("2026-11-22T14:00:00Z".parse().unwrap()),
            ..State::new("t".into(), "eu-central-1")
        }
    }

    fn seen(found: Option<&str>, now: &str) -> Observation {
        let instance = found.map(|state| Instance {
            id: "i-1".into(),
            state: state.into(),
            reason: "spot interruption".into(),
            public: Some("192.0.2.7".parse().unwrap()),
            private: Some("10.0.0.7".parse().unwrap()),
            ..Instance::default()
        });
        observed(instance.as_ref(), &state(), &Ec2Options::default(), now.parse().unwrap())
    }

    #[tokio::test]
    async fn an_instance_that_these_credentials_cannot_see_is_not_taken_for_gone() {
        let look = async |account: &str| {
            let cloud = FakeCloud::showing(vec![None]);
            let old = State { account: Some(account.into()), launched_at: Some(Timestamp::UNIX_EPOCH), ..state() };
            look(&cloud, "i-1", &old, &Ec2Options::default()).await.unwrap().state
        };
        assert!(matches!(look("2").await, MachineState::Unknown(why) if why.contains("credentials are of 1")));
        assert!(matches!(look("1").await, MachineState::Broken(_)));
    }

    #[test]
    fn a_region_is_a_word_of_a_hosts_name() {
        check_region("eu-central-1").unwrap();
        for wrong in ["", "Europe", "eu.example.org/", "eu central"] {
            assert_eq!(check_region(wrong).unwrap_err().code(), Code::Usage);
        }
    }

    #[test]
    fn an_instance_that_is_not_known_yet_starts_and_later_it_is_gone() {
        assert_eq!(seen(None, "2026-11-22T12:00:30Z").state, MachineState::Starting);
        assert!(matches!(seen(None, "2026-11-22T12:30:00Z").state, MachineState::Broken(why) if why.contains("i-1")));
    }

    #[test]
    fn states_are_told_in_our_words_with_the_reason_and_the_coming_end() {
        let now = "2026-11-22T13:30:00Z";
        let running = seen(Some("running"), now);
        assert_eq!(running.endpoints.unwrap().engine.to_string(), "192.0.2.7:2376");
        assert_eq!(running.warnings, ["it ends itself at 14:00 UTC"]);
        assert!(seen(Some("running"), "2026-11-22T12:30:00Z").warnings.is_empty());
        assert_eq!(seen(Some("stopping"), now).state, MachineState::Stopping);
        let stopped = seen(Some("stopped"), now);
        assert_eq!((stopped.state, stopped.endpoints), (MachineState::Stopped, None));
        assert!(stopped.warnings[0].starts_with("its time ends at 2026-11-22 14:00 UTC"), "{:?}", stopped.warnings);
        assert_eq!(seen(Some("stopped"), "2026-11-22T12:30:00Z"), Observation::of(MachineState::Stopped));
        assert!(
            matches!(seen(Some("terminated"), now).state, MachineState::Broken(why) if why.contains("spot interruption"))
        );
    }
}
