//! The driver.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use machine_core::{
    Capabilities, Code, Driver, Endpoints, Error, MachineRef, MachineSpec, MachineState, Observation, Reporter, Result,
    ResultExt as _, SshTarget, Work,
};
use machine_ssh::{ConnectFailure, Session};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::options::{GenericOptions, resolve};

/// The copy of the user's key in the machine's folder.
const KEY: &str = "id_generic";
/// What to do about a host that does not answer.
pub const UNREACHABLE: &str = "check --generic-ip-address and --generic-ssh-port; sshd has to run there, and firewalls on the way have to let it through";
/// How long the host may take to let us in.
const LOGIN: Duration = Duration::from_secs(30);
/// How long a look at it may take.
const LOOK: Duration = Duration::from_secs(3);

/// Hosts that exist already.
#[derive(Clone, Copy, Debug, Default)]
pub struct GenericDriver;

/// The `driver_state` of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// What the name stood for when it was last looked up.
    address: IpAddr,
    ssh_port: u16,
    engine_port: u16,
}

impl State {
    fn of(machine: MachineRef<'_>) -> Option<Self> {
        Self::deserialize(&machine.record.driver_state).ok()
    }

    fn endpoints(self) -> Endpoints {
        Endpoints {
            ssh: SocketAddr::new(self.address, self.ssh_port),
            engine: SocketAddr::new(self.address, self.engine_port),
        }
    }
}

fn power(doing: &str, machine: MachineRef<'_>) -> Error {
    Error::other(format!("the driver \"generic\" does not {doing} hosts: they are not ours")).hint(format!(
        "do it where the host is at home; `machine ssh {} sudo poweroff` shuts it down",
        machine.record.name
    ))
}

async fn look_up(options: &GenericOptions) -> Result<State> {
    let options = options.clone();
    machine_ssh::blocking(move || {
        let found = resolve(&options.address, options.ssh_port)?;
        Ok(State { address: found.ip(), ssh_port: options.ssh_port, engine_port: options.engine_port })
    })
    .await
}

#[async_trait]
impl Driver for GenericDriver {
    fn name(&self) -> &'static str {
        "generic"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { adopted: true, login: true, ..Capabilities::default() }
    }

    /// Logs in once: what would stand in the way later is found before anything is made.
    async fn preflight(&self, spec: &mut MachineSpec, reporter: &Reporter) -> Result<()> {
        let options = GenericOptions::of(spec)?;
        reporter.detail(format!("logging in to {} as {}", options.address, spec.ssh_user));
        let state = look_up(&options).await.map_err(|error| error.with_code(Code::PreCreate))?;
        let user = spec.ssh_user.clone();
        machine_ssh::blocking(move || {
            let target = SshTarget {
                address: state.endpoints().ssh,
                user: user.clone(),
                key: options.key.clone(),
                host_key: options.host_key.clone().unwrap_or_default(),
                machine: options.address.clone(),
            };
            check_key(&options)?;
            Session::connect(&target, LOGIN).map(drop).map_err(|error| match error.failure {
                ConnectFailure::Login => {
                    Error::other(format!("the host {} refuses user {user:?} with the key {}", options.address, options.key.display()))
                        .hint("--generic-ssh-user and --generic-ssh-key say who logs in (cloud images: ubuntu, debian, ec2-user, ...)")
                        .hint(format!("`ssh-copy-id -i {}.pub {user}@{}` lets the key in", options.key.display(), options.address))
                }
                ConnectFailure::HostKey => Error::new(Code::HostKey, error.error.to_string())
                    .hint("something else answers at that address, or --generic-host-key is not the host's"),
                _ => error.error.hint(UNREACHABLE),
            })
        })
        .await
        .map_err(|error| if error.code() == Code::Interrupted { error } else { error.with_code(Code::PreCreate) })
    }

    async fn create(&self, work: Work<'_>) -> Result<Value> {
        let options = GenericOptions::of(&work.machine.record.spec)?;
        let state = serde_json::to_value(look_up(&options).await?).context(|| "cannot write the state".into())?;
        work.checkpoint.save("host", &state)?;
        let key = std::fs::read(&options.key).context(|| format!("cannot read the key {}", options.key.display()))?;
        machine_files::write_whole(&work.machine.dir.join(KEY), &key, machine_files::PRIVATE)?;
        Ok(state)
    }

    async fn start(&self, work: Work<'_>) -> Result<Endpoints> {
        // What was a name then may stand for another address now.
        let options = GenericOptions::of(&work.machine.record.spec)?;
        let state = look_up(&options).await?;
        let value = serde_json::to_value(state).context(|| "cannot write the state".into())?;
        work.checkpoint.save("host", &value)?;
        if answers(state.endpoints().ssh).await {
            return Ok(state.endpoints());
        }
        Err(Error::new(
            Code::NotRunning,
            format!("the host {} does not answer at port {}", options.address, options.ssh_port),
        )
        .because(power("start", work.machine)))
    }

    async fn stop(&self, work: Work<'_>, _deadline: Duration) -> Result<bool> {
        Err(power("stop", work.machine))
    }

    async fn kill(&self, work: Work<'_>) -> Result<()> {
        Err(power("kill", work.machine))
    }

    async fn remove(&self, work: Work<'_>) -> Result<()> {
        if State::of(work.machine).is_some() {
            work.reporter.info("The host itself stays as it is, with its engine.");
        }
        Ok(())
    }

    async fn observe(&self, machine: MachineRef<'_>) -> Observation {
        let Some(state) = State::of(machine) else { return Observation::of(MachineState::Missing) };
        let endpoints = state.endpoints();
        match answers(endpoints.ssh).await {
            true => Observation { endpoints: Some(endpoints), ..Observation::of(MachineState::Running) },
            false => Observation::of(MachineState::Stopped),
        }
    }

    fn endpoints(&self, machine: MachineRef<'_>) -> Option<Endpoints> {
        State::of(machine).map(State::endpoints)
    }

    fn ssh_target(&self, machine: MachineRef<'_>, endpoints: Endpoints) -> SshTarget {
        SshTarget {
            address: endpoints.ssh,
            user: machine.record.spec.ssh_user.clone(),
            key: machine.dir.join(KEY),
            host_key: machine.record.host_key.clone().unwrap_or_default(),
            machine: machine.record.name.to_string(),
        }
    }
}

/// Whether something takes connections there.
async fn answers(address: SocketAddr) -> bool {
    matches!(tokio::time::timeout(LOOK, tokio::net::TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// A key that cannot be used is told as what it is, not as one that the host refuses.
fn check_key(options: &GenericOptions) -> Result<()> {
    let path = options.key.display();
    let text = std::fs::read_to_string(&options.key).map_err(|error| {
        Error::new(Code::NotFound, format!("cannot read the key {path}"))
            .because(error)
            .hint("--generic-ssh-key names the private key")
    })?;
    if !text.contains("PRIVATE KEY") {
        return Err(Error::other(format!("{path} is not a private key")).hint("it is the file without .pub at its end"));
    }
    if machine_ssh::is_encrypted(&text) {
        return Err(Error::other(format!("the key {path} is locked with a passphrase, which nobody could type later"))
            .hint("make one for this host without: `ssh-keygen -t ed25519 -N '' -f FILE`, then `ssh-copy-id -i FILE.pub USER@HOST`"));
    }
    Ok(())
}
