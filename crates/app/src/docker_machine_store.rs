//! What docker-machine left on disk: `config.json` of one machine (docker-machine 0.16, libmachine/host and drivers/generic),
//! read as text of a stranger.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use machine_core::{Code, EngineSpec, Error, MachineName, Result};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::files;

/// Larger than any that docker-machine writes.
pub(crate) const LIMIT: u64 = 1 << 20;

/// Entries of one list at most: nobody types more flags than that.
const ENTRIES: usize = 1000;

/// docker-machine's own default, which is no wish of anybody.
const USUAL_INSTALL_URL: &str = "https://get.docker.com";

/// What a `config.json` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OldConfig {
    pub(crate) name: MachineName,
    pub(crate) driver: String,
    pub(crate) host: Option<OldHost>,
    /// Where the engine of a machine without a driver is.
    pub(crate) url: Option<String>,
    pub(crate) engine: EngineSpec,
    pub(crate) tls_san: Vec<String>,
    pub(crate) swarm: bool,
}

/// How a host of the driver `generic` is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OldHost {
    pub(crate) address: String,
    pub(crate) user: String,
    pub(crate) ssh_port: u16,
    pub(crate) engine_port: u16,
    /// As docker-machine wrote it: absolute, and wrong when the store was moved.
    pub(crate) key: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    config_version: u32,
    name: String,
    driver_name: String,
    #[serde(default)]
    driver: Value,
    #[serde(default)]
    host_options: HostOptions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostOptions {
    #[serde(deserialize_with = "null_is_nothing")]
    engine_options: EngineOptions,
    #[serde(deserialize_with = "null_is_nothing")]
    swarm_options: SwarmOptions,
    #[serde(deserialize_with = "null_is_nothing")]
    auth_options: AuthOptions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EngineOptions {
    #[serde(deserialize_with = "null_is_nothing")]
    arbitrary_flags: Vec<String>,
    #[serde(deserialize_with = "null_is_nothing")]
    env: Vec<String>,
    #[serde(deserialize_with = "null_is_nothing")]
    insecure_registry: Vec<String>,
    #[serde(deserialize_with = "null_is_nothing")]
    labels: Vec<String>,
    #[serde(deserialize_with = "null_is_nothing")]
    registry_mirror: Vec<String>,
    #[serde(deserialize_with = "null_is_nothing")]
    storage_driver: String,
    #[serde(rename = "InstallURL", deserialize_with = "null_is_nothing")]
    install_url: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct SwarmOptions {
    is_swarm: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthOptions {
    #[serde(rename = "ServerCertSANs", deserialize_with = "null_is_nothing")]
    server_cert_sans: Vec<String>,
}

#[derive(Deserialize)]
struct GenericDriver {
    #[serde(rename = "IPAddress", default)]
    ip_address: String,
    #[serde(rename = "SSHUser", default)]
    ssh_user: String,
    #[serde(rename = "SSHPort", default)]
    ssh_port: u16,
    #[serde(rename = "SSHKeyPath", default)]
    ssh_key_path: String,
    #[serde(rename = "EnginePort", default)]
    engine_port: u16,
}

/// Go writes an empty list as `null`.
fn null_is_nothing<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

impl OldConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// What is none, is of a docker-machine that nobody knows, or says what cannot be.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let config: Config = serde_json::from_slice(text)
            .map_err(|error| Error::other("it is no config.json of docker-machine").because(error))?;
        // 3 since docker-machine 0.5.2; nothing newer came.
        if config.config_version > 3 {
            return Err(Error::other(format!(
                "it is of version {}, and docker-machine's last was 3",
                config.config_version
            )));
        }
        let options = config.host_options;
        let lists = [
            &options.engine_options.arbitrary_flags,
            &options.engine_options.env,
            &options.engine_options.insecure_registry,
            &options.engine_options.labels,
            &options.engine_options.registry_mirror,
            &options.auth_options.server_cert_sans,
        ];
        if lists.iter().any(|list| list.len() > ENTRIES) {
            return Err(Error::other(format!("a list in it has more than {ENTRIES} entries")));
        }
        let host = match config.driver_name.as_str() {
            "generic" => Some(OldHost::read(config.driver.clone())?),
            _ => None,
        };
        let url = match config.driver_name.as_str() {
            "none" => {
                let url = config.driver["URL"].as_str().unwrap_or_default().to_owned();
                machine_generic::host_of_url(&url)?;
                Some(url)
            }
            _ => None,
        };
        Ok(Self {
            name: config.name.parse()?,
            driver: config.driver_name,
            host,
            url,
            engine: engine(options.engine_options),
            tls_san: options.auth_options.server_cert_sans,
            swarm: options.swarm_options.is_swarm,
        })
    }

    /// Reads the one of a machine's folder.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); and a file that cannot be read, or is larger than any.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        Self::parse(&read_bounded(&path)?).map_err(|error| error.within(format!("{} is not used", path.display())))
    }
}

/// A file of at most [`LIMIT`] bytes.
pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    let failed = |error| files::explain(error, "cannot read", path);
    let file = std::fs::File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::other(format!("{} is no file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LIMIT {
        return Err(Error::other(format!("{} is larger than 1 MiB", path.display())));
    }
    Ok(bytes)
}

impl OldHost {
    fn read(driver: Value) -> Result<Self> {
        let driver: GenericDriver = serde_json::from_value(driver)
            .map_err(|error| Error::other("what it says of the host is wrong").because(error))?;
        let said = |port: u16, usual: u16| if port == 0 { usual } else { port };
        let host = Self {
            address: driver.ip_address,
            user: if driver.ssh_user.is_empty() { "root".to_owned() } else { driver.ssh_user },
            ssh_port: said(driver.ssh_port, 22),
            engine_port: said(driver.engine_port, 2376),
            key: (!driver.ssh_key_path.is_empty()).then(|| PathBuf::from(driver.ssh_key_path)),
        };
        let is_odd =
            |text: &str| text.is_empty() || text.len() > 255 || text.chars().any(|c| c.is_control() || c == ' ');
        if is_odd(&host.address) || is_odd(&host.user) {
            return Err(Error::other("it names no address, or no user, that could be one"));
        }
        Ok(host)
    }
}

fn engine(options: EngineOptions) -> EngineSpec {
    let said = |text: String| (!text.is_empty()).then_some(text);
    let variable = |text: String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    EngineSpec {
        options: options.arbitrary_flags,
        labels: options.labels,
        insecure_registries: options.insecure_registry,
        registry_mirrors: options.registry_mirror,
        storage_driver: said(options.storage_driver),
        env: options.env.into_iter().filter_map(variable).collect::<BTreeMap<_, _>>(),
        install_url: said(options.install_url).filter(|url| url != USUAL_INSTALL_URL),
        ..EngineSpec::default()
    }
}

/// The folders of machines in docker-machine's store, or in its folder `machines`; sorted.
///
/// # Errors
/// [`Code::NotFound`] where there is no such store.
pub(crate) fn folders(store: &Path) -> Result<Vec<PathBuf>> {
    let machines = if store.join("machines").is_dir() { store.join("machines") } else { store.to_owned() };
    let entries = std::fs::read_dir(&machines).map_err(|error| {
        Error::new(Code::NotFound, format!("there is no store of docker-machine at {}", store.display()))
            .because(error)
            .hint("name it: the folder that has `machines` in it, ~/.docker/machine by default")
    })?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| path.join("config.json").symlink_metadata().is_ok())
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As docker-machine 0.16.2 writes it, without what nobody reads here.
    const SAMPLE: &str = r#"{
    "ConfigVersion": 3,
    "Driver": {
        "IPAddress": "192.0.2.7", "MachineName": "lab", "SSHUser": "ubuntu", "SSHPort": 2222,
        "SSHKeyPath": "/home/me/.docker/machine/machines/lab/id_rsa", "StorePath": "/home/me/.docker/machine",
        "SwarmMaster": false, "EnginePort": 2376, "SSHKey": "/home/me/.ssh/id_rsa"
    },
    "DriverName": "generic",
    "HostOptions": {
        "Driver": "", "Memory": 0, "Disk": 0,
        "EngineOptions": {
            "ArbitraryFlags": ["log-opt=max-size=10m"], "Dns": null, "GraphDir": "", "Env": ["HTTP_PROXY=http://p:1"],
            "Ipv6": false, "InsecureRegistry": null, "Labels": ["team=a"], "LogLevel": "", "StorageDriver": "overlay2",
            "SelinuxEnabled": false, "TlsVerify": true, "RegistryMirror": [], "InstallURL": "https://get.docker.com"
        },
        "SwarmOptions": {"IsSwarm": false, "Address": ""},
        "AuthOptions": {"CertDir": "/home/me/.docker/machine/certs", "ServerCertSANs": ["lab.example.org"]}
    },
    "Name": "lab"
}"#;

    #[test]
    fn a_config_of_docker_machine_is_read_with_gos_nulls_and_without_its_defaults() {
        let config = OldConfig::parse(SAMPLE.as_bytes()).unwrap();
        let host = config.host.unwrap();
        assert_eq!((host.address.as_str(), host.user.as_str(), host.ssh_port), ("192.0.2.7", "ubuntu", 2222));
        assert_eq!(config.engine.options, ["log-opt=max-size=10m"]);
        assert_eq!(config.engine.env["HTTP_PROXY"], "http://p:1");
        assert_eq!((config.engine.storage_driver.as_deref(), config.engine.install_url), (Some("overlay2"), None));
        assert_eq!(config.tls_san, ["lab.example.org"]);
    }

    #[test]
    fn an_engine_without_a_driver_has_an_address() {
        let config = |url: &str| {
            let text = format!(r#"{{"ConfigVersion":3,"Name":"far","DriverName":"none","Driver":{{"URL":{url:?}}}}}"#);
            OldConfig::parse(text.as_bytes())
        };
        assert_eq!(config("tcp://192.0.2.9:2376").unwrap().url.as_deref(), Some("tcp://192.0.2.9:2376"));
        assert!(config("").is_err() && config("ssh://x").is_err());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (from, to) in [
            ("\"ConfigVersion\": 3", "\"ConfigVersion\": 4"),
            ("\"Name\": \"lab\"", "\"Name\": \"../lab\""),
            ("192.0.2.7", "-oProxyCommand=x y"),
            ("\"SSHPort\": 2222", "\"SSHPort\": 70000"),
            ("\"ubuntu\"", "\"a\\nb\""),
        ] {
            let text = SAMPLE.replacen(from, to, 1);
            assert_ne!(text, SAMPLE);
            assert!(OldConfig::parse(text.as_bytes()).is_err(), "{to}");
        }
        assert!(OldConfig::parse("[".repeat(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_in_the_file_is_read_or_refused(
            cuts in prop::collection::vec((0..SAMPLE.len(), any::<u8>()), 0..8),
            end in 0..=SAMPLE.len(),
        ) {
            let mut text = SAMPLE.as_bytes().to_vec();
            for (at, byte) in cuts {
                text[at] = byte;
            }
            text.truncate(end);
            if let Ok(config) = OldConfig::parse(&text) {
                prop_assert!(!config.name.as_str().contains(['/', '\\']));
                if let Some(host) = config.host {
                    prop_assert!(!host.address.contains(char::is_control) && host.ssh_port != 0);
                }
            }
        }
    }
}
