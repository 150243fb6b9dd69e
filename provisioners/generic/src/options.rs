//! What the user says of a host.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use machine_core::{Code, Error, MachineSpec, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `options` of a [`MachineSpec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenericOptions {
    /// Its address or name.
    pub address: String,
    /// The port of its sshd.
    #[serde(default = "ssh_port")]
    pub ssh_port: u16,
    /// The port that its engine gets.
    #[serde(default = "engine_port")]
    pub engine_port: u16,
    /// The private key that it lets in; copied into the machine's folder.
    pub key: PathBuf,
    /// Its host key, as confirmed: exactly this one from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

fn ssh_port() -> u16 {
    22
}

fn engine_port() -> u16 {
    2376
}

impl GenericOptions {
    /// Reads them.
    ///
    /// # Errors
    /// [`Code::Usage`] for a setting that there is not, that is missing, or a value of the wrong kind.
    pub fn of(spec: &MachineSpec) -> Result<Self> {
        let options = Self::deserialize(Value::Object(spec.options.clone())).map_err(|error| {
            Error::new(Code::Usage, "a setting of the driver \"generic\" is wrong")
                .because(error)
                .hint("`machine create -d generic --generic-ip-address ADDRESS --generic-ssh-key FILE NAME`")
        })?;
        if options.ssh_port == 0 || options.engine_port == 0 || options.ssh_port == options.engine_port {
            let wrong = "the ports of sshd and of the engine must be two, and not 0";
            return Err(Error::new(Code::Usage, wrong)
                .hint("--generic-ssh-port is 22 and --generic-engine-port 2376 when not said"));
        }
        Ok(options)
    }
}

/// The address of a host by its name; an IPv4 one where it has both. Blocks as long as the system's resolver does.
///
/// # Errors
/// A name that nobody knows.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr> {
    // An IPv6 address may come in brackets, as in URLs.
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let unknown =
        || Error::other(format!("nobody knows an address of the host {host:?}")).hint("check --generic-ip-address");
    if bare.trim().is_empty() {
        // Windows takes it for this computer.
        return Err(unknown());
    }
    let mut found: Vec<SocketAddr> =
        (bare, port).to_socket_addrs().map_err(|error| unknown().because(error))?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(options: &Value) -> MachineSpec {
        MachineSpec {
            cpus: 0,
            memory_mib: 0,
            disk_mib: 0,
            image: None,
            ssh_user: "root".into(),
            tls_san: Vec::new(),
            publish: Default::default(),
            shares: Vec::new(),
            share_type: Default::default(),
            engine: machine_core::EngineSpec::default(),
            options: options.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn ports_have_their_usual_numbers_and_what_is_wrong_is_refused() {
        let options = GenericOptions::of(&spec(&json!({"address": "192.0.2.1", "key": "/k"}))).unwrap();
        assert_eq!((options.ssh_port, options.engine_port), (22, 2376));
        for wrong in [
            json!({}),
            json!({"address": "a"}),
            json!({"address": "a", "key": "/k", "accelerator": "tcg"}),
            json!({"address": "a", "key": "/k", "ssh_port": 70000}),
            json!({"address": "a", "key": "/k", "ssh_port": 0}),
            json!({"address": "a", "key": "/k", "ssh_port": 22, "engine_port": 22}),
        ] {
            assert_eq!(GenericOptions::of(&spec(&wrong)).unwrap_err().code(), Code::Usage, "{wrong}");
        }
    }

    #[test]
    fn addresses_are_taken_as_they_are_with_or_without_brackets() {
        assert_eq!(resolve("192.0.2.7", 22).unwrap().to_string(), "192.0.2.7:22");
        assert_eq!(resolve("[2001:db8::7]", 22).unwrap().to_string(), "[2001:db8::7]:22");
        assert_eq!(resolve("2001:db8::7", 22).unwrap().to_string(), "[2001:db8::7]:22");
        assert!(resolve("", 22).is_err());
    }
}
