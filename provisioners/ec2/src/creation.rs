//! Making an instance and what belongs to it. Each call that makes something comes after a checkpoint that knows of it, and
//! what it makes carries its tags from its first moment.
//!
//! ```text
//! security-group -> CreateSecurityGroup, rules -> key-pair -> ImportKeyPair -> instance -> RunInstances
//! ```

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use machine_core::{Code, Error, Result, ResultExt as _, Work};
use serde_json::Value;

use crate::cloud::{CallError, Cloud, Instance};
use crate::driver::{CLIENT_KEY, GIVEN_KEY};
use crate::options::Ec2Options;
use crate::pace;
use crate::plan::{self, Belonging, Wish, tag};
use crate::query::Filter;
use crate::state::State;
use crate::user_data::{Parts, user_data};

/// The host key in the machine's folder (`seed::HOST_KEY` of the app).
const HOST_KEY: &str = "ssh_host_ed25519_key";

/// As long as a line of a key in OpenSSH's form; the longest key of ours has seven (476 bytes), its public half two (145).
const KEY_LINE: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// One creation.
pub(crate) struct Creation<'a> {
    pub(crate) cloud: &'a dyn Cloud,
    pub(crate) options: &'a Ec2Options,
    pub(crate) work: Work<'a>,
    pub(crate) store: &'a str,
    pub(crate) owner: Option<&'a str>,
    /// Whether it is of a fleet, whose hosts share all that is made but the instances.
    pub(crate) fleet: bool,
}

/// What instances are launched into.
pub(crate) struct Surroundings {
    groups: Vec<String>,
    key_name: String,
}

impl Creation<'_> {
    /// Makes all of it; the instance boots when this returns.
    ///
    /// # Errors
    /// Whatever failed; the record knows of what was made.
    pub(crate) async fn run(&self) -> Result<Value> {
        let mut state = self.begin()?;
        let surroundings = self.surroundings(&mut state).await?;
        let made = self.launch(&mut state, &surroundings, 1).await?;
        let instance = made.first().ok_or_else(|| Error::other("RunInstances answered without an instance"))?;
        self.work.reporter.detail(format!("instance {}", instance.id));
        state.instance = Some(instance.id.clone());
        self.tell_of_surplus(&made);
        state.to_value()
    }

    /// The state of one that begins.
    pub(crate) fn begin(&self) -> Result<State> {
        Ok(State {
            account: self.options.facts()?.account.clone(),
            ssh_port: self.options.ssh_port(),
            expires: end(self.options, Timestamp::now())?,
            fleet: self.fleet.then(|| self.name().to_owned()),
            ..State::new(uuid::Uuid::new_v4().simple().to_string(), self.cloud.region())
        })
    }

    fn name(&self) -> &str {
        self.work.machine.record.name.as_str()
    }

    fn belonging<'b>(&'b self, state: &'b State) -> Belonging<'b> {
        Belonging {
            machine: self.name(),
            store: self.store,
            token: &state.token,
            owner: self.owner,
            expires: state.expires.map(in_tag),
            fleet: state.fleet.as_deref(),
        }
    }

    /// Makes the group and the key pair; of an earlier attempt, they are found and taken.
    pub(crate) async fn surroundings(&self, state: &mut State) -> Result<Surroundings> {
        let Self { cloud, options, work, .. } = self;
        let facts = options.facts()?;
        work.checkpoint.save("security-group", &state.to_value()?)?;
        let mut groups = facts.groups.clone();
        if groups.is_empty() {
            let id = self.group(&self.belonging(state)).await?;
            state.group = Some(id.clone());
            cloud.authorize(&id, &plan::rules(options, &facts.allowed)?).await.or_else(already_so)?;
            groups.push(id);
        }
        let key_name = match &options.key_pair {
            Some(name) => name.clone(),
            None => plan::own_name(self.name(), &state.token),
        };
        if options.key_pair.is_none() {
            state.key_pair = Some(key_name.clone());
        }
        work.checkpoint.save("key-pair", &state.to_value()?)?;
        match &options.key {
            Some(key) => {
                machine_files::write_whole(&work.machine.dir.join(GIVEN_KEY), &read_key(key)?, machine_files::PRIVATE)?;
            }
            None => self.key_pair(&self.belonging(state)).await?,
        }
        Ok(Surroundings { groups, key_name })
    }

    /// Launches as many of `count` instances as there is room for, with the host key that lies in the machine's folder.
    pub(crate) async fn launch(
        &self,
        state: &mut State,
        surroundings: &Surroundings,
        count: usize,
    ) -> Result<Vec<Instance>> {
        let Self { cloud, options, work, .. } = self;
        let dir = work.machine.dir;
        let theirs = options.user_data.as_deref().map(read_user_data).transpose()?;
        let (private, public) = (read(&dir.join(HOST_KEY))?, read(&dir.join(format!("{HOST_KEY}.pub")))?);
        let user_data = user_data(&Parts {
            host_key: (private.trim(), public.trim()),
            ends: state.expires,
            theirs: theirs.as_deref(),
            boundary: &format!("machine-{}", state.token),
        })?;
        state.launched = true;
        state.launched_at = Some(Timestamp::now());
        state.launches += u32::from(self.fleet);
        let client_token = match state.launches {
            0 | 1 => state.token.clone(),
            later => format!("{}-{later}", state.token),
        };
        let launch = plan::launch(&Wish {
            options,
            belonging: &self.belonging(state),
            disk_gib: work.machine.record.spec.disk_mib / 1024,
            key_name: Some(&surroundings.key_name),
            groups: &surroundings.groups,
            user_data: &user_data,
            count,
            client_token: &client_token,
        })?;
        work.checkpoint.save("instance", &state.to_value()?)?;
        let kind = options.instance_type.as_deref().unwrap_or_default();
        let zone = &options.facts()?.zone;
        work.reporter.detail(match count {
            1 => format!("launching {kind} in {zone}"),
            many => format!("launching {many} of {kind} in {zone}"),
        });
        match cloud.run(&launch, false).await {
            Ok(made) => Ok(made),
            Err(refused) => {
                // An answer that says no is one: nothing will appear that `rm` would have to wait for.
                if !refused.code.is_empty() && !pace::passes(400, &refused.code) {
                    state.launched = false;
                    work.checkpoint.save("refused", &state.to_value()?)?;
                }
                Err(refused.into())
            }
        }
    }

    /// More than one instance was never asked for.
    fn tell_of_surplus(&self, made: &[Instance]) {
        if made.len() > 1 {
            self.work.reporter.warn(format!("EC2 made {} instances; `machine rm` removes all of them", made.len()));
        }
    }

    /// The machine's own security group; the one that an earlier attempt of this call made is found by its tag.
    async fn group(&self, belonging: &Belonging<'_>) -> Result<String> {
        match self.cloud.create_group(&plan::group(self.options, belonging)?, false).await {
            Ok(id) => Ok(id),
            Err(error) if error.code == "InvalidGroup.Duplicate" => {
                let found = self.cloud.groups(&[Filter::one(format!("tag:{}", tag::TOKEN), belonging.token)]).await?;
                found.into_iter().next().map(|group| group.id).ok_or(error.error)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn key_pair(&self, belonging: &Belonging<'_>) -> Result<()> {
        let public = read(&self.work.machine.dir.join(format!("{CLIENT_KEY}.pub")))?;
        match self.cloud.import_key_pair(&plan::key_pair(self.options, belonging, public.trim()), false).await {
            // Its name has the token in it: an earlier attempt of this call has put it there.
            Err(error) if error.code == "InvalidKeyPair.Duplicate" => Ok(()),
            result => result.map_err(Error::from),
        }
    }
}

/// A rule that is there already is what was wanted.
pub(crate) fn already_so(error: CallError) -> Result<()> {
    if error.code == "InvalidPermission.Duplicate" { Ok(()) } else { Err(error.into()) }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).context(|| format!("cannot read {}", path.display()))
}

/// A time as tags have it.
pub(crate) fn in_tag(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// When a machine that is made now ends itself.
fn end(options: &Ec2Options, now: Timestamp) -> Result<Option<Timestamp>> {
    let end = options.expires_minutes.map(|minutes| {
        let minutes = SignedDuration::from_mins(i64::try_from(minutes).unwrap_or(i64::MAX / 60));
        now.checked_add(minutes).map_err(|error| Error::other("the machine's end is no date").because(error))
    });
    end.transpose()
}

/// Puts the user data together as a creation will, so that what cannot be is told before anything is made. In place of the
/// host key stands one as long as that of a machine with the longest name can be.
///
/// # Errors
/// As [`user_data`], or a file that cannot be read.
pub(crate) fn rehearse_user_data(options: &Ec2Options) -> Result<()> {
    let theirs = options.user_data.as_deref().map(read_user_data).transpose()?;
    let (private, public) = ([KEY_LINE; 7].join("\n"), [KEY_LINE; 2].join(" "));
    let parts = Parts {
        host_key: (&private, &public),
        ends: end(options, Timestamp::now())?,
        theirs: theirs.as_deref(),
        boundary: &format!("machine-{}", uuid::Uuid::new_v4().simple()),
    };
    user_data(&parts).map(drop)
}

/// The user's own user data.
fn read_user_data(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::new(Code::NotFound, format!("cannot read the user data {}", path.display()))
            .because(error)
            .hint("--ec2-userdata names the file")
    })
}

/// The private key of a key pair that is there already.
pub(crate) fn read_key(path: &Path) -> Result<Vec<u8>> {
    let wrong = |text: &str| {
        Error::new(Code::NotFound, format!("{} {text}", path.display())).hint("--ec2-ssh-keypath names the private key")
    };
    let key = std::fs::read(path).map_err(|error| wrong("cannot be read").because(error))?;
    match String::from_utf8_lossy(&key).contains("PRIVATE KEY") {
        true => Ok(key),
        false => Err(wrong("is no private key")),
    }
}
