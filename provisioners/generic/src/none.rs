//! The driver `none`: an engine of which only the address is known, as docker-machine's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use machine_core::{
    Capabilities, Code, Driver, Endpoints, Error, MachineRef, MachineSpec, MachineState, Observation, Reporter, Result,
    ResultExt as _, SshTarget, Work,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::options::resolve;

/// The port of an engine with TLS, where the URL says none (Docker's own default).
const PORT: u16 = 2376;

/// Engines known by their URL alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoneDriver;

/// `options` of a machine's spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoneOptions {
    url: String,
    /// `ca.pem`, `cert.pem` and `key.pem` for an engine with an authority of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<PathBuf>,
}

/// The `driver_state` of a record: what the name in the URL stood for at the creation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct State {
    engine: SocketAddr,
}

impl NoneOptions {
    fn of(spec: &MachineSpec) -> Result<Self> {
        Self::deserialize(Value::Object(spec.options.clone())).map_err(|error| {
            Error::new(Code::Usage, "a setting of the driver \"none\" is wrong")
                .because(error)
                .hint("`machine create -d none --url tcp://HOST:2376 NAME`")
        })
    }
}

/// The host and port of a URL.
///
/// # Errors
/// [`Code::Usage`] for one that is not of an engine behind TLS.
pub fn host_of_url(url: &str) -> Result<(String, u16)> {
    let refuse = |why: &str| {
        Err(Error::new(Code::Usage, format!("--url {url:?} is no address of an engine: {why}"))
            .hint("it looks like tcp://HOST:2376"))
    };
    let Some(rest) = url.strip_prefix("tcp://") else { return refuse("it does not begin with tcp://") };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        // Not a part of an IPv6 address, which is in brackets.
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok().filter(|port| *port > 0)),
        _ => (rest, Some(PORT)),
    };
    let Some(port) = port else { return refuse("its port is no number") };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let taken = match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    if !taken {
        return refuse("its host is no name and no address");
    }
    Ok((bare.unwrap_or(host).to_owned(), port))
}

fn power(doing: &str) -> Error {
    // docker-machine's text.
    Error::other(format!("hosts without a driver cannot be {doing}"))
        .hint("only its URL is known here; do it where the host is at home")
}

#[async_trait]
impl Driver for NoneDriver {
    fn name(&self) -> &'static str {
        "none"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn preflight(&self, spec: &mut MachineSpec, _reporter: &Reporter) -> Result<()> {
        let options = NoneOptions::of(spec)?;
        let (host, port) = host_of_url(&options.url)?;
        // For the certificate that is made for it.
        spec.tls_san.push(host.clone());
        for path in &options.certificates {
            std::fs::metadata(path).context(|| format!("cannot read {}", path.display())).map_err(pre_create)?;
        }
        machine_ssh::blocking(move || resolve(&host, port)).await.map(drop).map_err(pre_create)
    }

    async fn create(&self, work: Work<'_>) -> Result<Value> {
        let options = NoneOptions::of(&work.machine.record.spec)?;
        let (host, port) = host_of_url(&options.url)?;
        let engine = machine_ssh::blocking(move || resolve(&host, port)).await?;
        for (path, name) in options.certificates.iter().zip(["ca.pem", "cert.pem", "key.pem"]) {
            let bytes = std::fs::read(path).context(|| format!("cannot read {}", path.display()))?;
            machine_files::write_whole(&work.machine.dir.join(name), &bytes, machine_files::PRIVATE)?;
        }
        Ok(json!(State { engine }))
    }

    async fn start(&self, _work: Work<'_>) -> Result<Endpoints> {
        Err(power("started"))
    }

    async fn stop(&self, _work: Work<'_>, _deadline: Duration) -> Result<bool> {
        Err(power("stopped"))
    }

    async fn kill(&self, _work: Work<'_>) -> Result<()> {
        Err(power("killed"))
    }

    async fn remove(&self, _work: Work<'_>) -> Result<()> {
        Ok(())
    }

    async fn observe(&self, machine: MachineRef<'_>) -> Observation {
        match self.endpoints(machine) {
            // As docker-machine: nothing but its engine could tell.
            Some(endpoints) => Observation { endpoints: Some(endpoints), ..Observation::of(MachineState::Running) },
            None => Observation::of(MachineState::Missing),
        }
    }

    fn endpoints(&self, machine: MachineRef<'_>) -> Option<Endpoints> {
        let state = State::deserialize(&machine.record.driver_state).ok()?;
        // Nobody logs in there; the address is the engine's.
        Some(Endpoints { ssh: SocketAddr::new(state.engine.ip(), 22), engine: state.engine })
    }

    fn url(&self, machine: MachineRef<'_>) -> Option<String> {
        NoneOptions::of(&machine.record.spec).ok().map(|options| options.url)
    }

    fn server_name(&self, machine: MachineRef<'_>) -> Option<String> {
        host_of_url(&self.url(machine)?).ok().map(|(host, _)| host)
    }

    fn ssh_target(&self, machine: MachineRef<'_>, endpoints: Endpoints) -> SshTarget {
        SshTarget {
            address: endpoints.ssh,
            user: String::new(),
            key: machine.dir.join("id"),
            host_key: String::new(),
            machine: machine.record.name.to_string(),
        }
    }
}

fn pre_create(error: Error) -> Error {
    if error.code() == Code::Interrupted { error } else { error.with_code(Code::PreCreate) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_what_is_no_engine_with_tls_is_refused() {
        for (url, host, port) in [
            ("tcp://192.0.2.7:2376", "192.0.2.7", 2376),
            ("tcp://docker.example:1234/", "docker.example", 1234),
            ("tcp://host", "host", 2376),
            ("tcp://[2001:db8::7]:99", "2001:db8::7", 99),
            ("tcp://[2001:db8::7]", "2001:db8::7", 2376),
        ] {
            assert_eq!(host_of_url(url).unwrap(), (host.to_owned(), port), "{url}");
        }
        for bad in [
            "",
            "none",
            "http://h:1",
            "unix:///x",
            "tcp://",
            "tcp://:1",
            "tcp://h:x",
            "tcp://h:0",
            "tcp://a b:1",
            "tcp://[x]:1",
            "tcp://h:1/p",
            "tcp://u@h:1",
        ] {
            assert_eq!(host_of_url(bad).unwrap_err().code(), Code::Usage, "{bad}");
        }
    }
}
