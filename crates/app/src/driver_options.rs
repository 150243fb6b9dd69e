//! What the user says to one driver, in that driver's words.

use std::path::PathBuf;

use machine_core::{Code, Error, Result};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::ec2_words::Ec2Words;

/// Words of all drivers; each takes its own and refuses the others'.
#[derive(Clone, Debug, Default)]
pub struct DriverWords {
    /// qemu: hardware acceleration.
    pub accelerator: Option<String>,
    /// qemu: more arguments.
    pub qemu_arguments: Vec<String>,
    /// Boot, even where a warm state could be gone on from.
    pub no_warm: bool,
    /// qemu: the guest and its containers do not reach this computer.
    pub no_host_access: bool,
    /// generic: the host's address or name.
    pub generic_ip_address: Option<String>,
    /// generic: the port of its sshd.
    pub generic_ssh_port: Option<u16>,
    /// generic: who logs in.
    pub generic_ssh_user: Option<String>,
    /// generic: the private key.
    pub generic_ssh_key: Option<PathBuf>,
    /// generic: the port that its engine gets.
    pub generic_engine_port: Option<u16>,
    /// generic: its host key, confirmed.
    pub generic_host_key: Option<String>,
    /// none: where the engine is.
    pub url: Option<String>,
    /// none: the authority, certificate and key for an engine that is not of this store's authority.
    pub tls_files: Option<[PathBuf; 3]>,
    /// The login name inside.
    pub ssh_user: Option<String>,
    /// ec2: all of its own.
    pub ec2: Box<Ec2Words>,
}

/// A driver's options and the login name.
pub(crate) struct Said {
    pub(crate) options: Map<String, Value>,
    /// Empty: the driver knows.
    pub(crate) ssh_user: String,
    /// The disk that the driver's own words ask for, MiB.
    pub(crate) disk_mib: Option<u64>,
}

impl App {
    pub(crate) fn said_to(&self, driver: &str, words: DriverWords) -> Result<Said> {
        let to_qemu =
            words.accelerator.is_some() || words.no_warm || words.no_host_access || !words.qemu_arguments.is_empty();
        if driver != "qemu" && to_qemu {
            return Err(of_another("--accelerator, --no-warm, --no-host-access and --qemu-arg", "qemu"));
        }
        if driver != "generic" && words.says_something_to_generic() {
            return Err(of_another("--generic-... flags", "generic"));
        }
        if driver != "ec2" && *words.ec2 != Ec2Words::default() {
            return Err(of_another("--ec2-... flags and --expires", "ec2"));
        }
        if driver != "none" && (words.url.is_some() || words.tls_files.is_some()) {
            return Err(of_another("--url and --tls-ca-cert, --tls-client-cert, --tls-client-key", "none"));
        }
        match driver {
            "ec2" => self.said_to_ec2(*words.ec2, words.ssh_user),
            "generic" => self.said_to_generic(words),
            "none" => said_to_none(words),
            "qemu" => Ok(said_to_qemu(words)),
            // Refused by whoever looks the driver up.
            _ => Ok(Said { options: Map::new(), ssh_user: words.ssh_user.unwrap_or_default(), disk_mib: None }),
        }
    }

    fn said_to_generic(&self, words: DriverWords) -> Result<Said> {
        let variable = |name: &str| self.environment.generic.get(name).cloned();
        let port = |said: Option<u16>, name: &str| match (said, variable(name)) {
            (Some(port), _) => Ok(Some(port)),
            (None, Some(text)) => text
                .parse::<u16>()
                .map(Some)
                .map_err(|e| Error::new(Code::Usage, format!("GENERIC_{name}={text} is no port")).because(e)),
            (None, None) => Ok(None),
        };
        let address = words.generic_ip_address.or_else(|| variable("IP_ADDRESS")).ok_or_else(|| {
            // docker-machine's text.
            Error::new(Code::Usage, "generic driver requires the --generic-ip-address option")
                .hint("`machine create -d generic --generic-ip-address ADDRESS --generic-ssh-key FILE NAME`")
        })?;
        let key = match words.generic_ssh_key.or_else(|| variable("SSH_KEY").map(PathBuf::from)) {
            Some(key) => std::path::absolute(&key).unwrap_or(key),
            None => self.usual_key()?,
        };
        let mut options = Map::new();
        options.insert("address".into(), json!(address));
        options.insert("key".into(), json!(key));
        if let Some(port) = port(words.generic_ssh_port, "SSH_PORT")? {
            options.insert("ssh_port".into(), json!(port));
        }
        if let Some(port) = port(words.generic_engine_port, "ENGINE_PORT")? {
            options.insert("engine_port".into(), json!(port));
        }
        if let Some(key) = words.generic_host_key {
            let key: machine_ssh::HostKey = key.parse().map_err(|error: Error| {
                error.within("--generic-host-key").with_code(Code::Usage).hint(
                    "on the host, `cat /etc/ssh/ssh_host_ed25519_key.pub` prints it; or leave it out and be asked",
                )
            })?;
            options.insert("host_key".into(), json!(key.to_string()));
        }
        let user = words.generic_ssh_user.or(words.ssh_user).or_else(|| variable("SSH_USER"));
        // docker-machine's choice.
        Ok(Said { options, ssh_user: user.unwrap_or_else(|| "root".to_owned()), disk_mib: None })
    }

    /// The key that ssh(1) would take first.
    fn usual_key(&self) -> Result<PathBuf> {
        let folder = self.environment.home.as_ref().map(|home| home.join(".ssh"));
        let found = folder.and_then(|folder| {
            ["id_ed25519", "id_ecdsa", "id_rsa"].into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
        });
        found.ok_or_else(|| {
            Error::new(Code::Usage, "no private key is known that the host would let in").hint(
                "--generic-ssh-key names it; `ssh-keygen -t ed25519` makes one, `ssh-copy-id USER@HOST` lets it in",
            )
        })
    }
}

impl DriverWords {
    fn says_something_to_generic(&self) -> bool {
        self.generic_ip_address.is_some()
            || self.generic_ssh_port.is_some()
            || self.generic_ssh_user.is_some()
            || self.generic_ssh_key.is_some()
            || self.generic_engine_port.is_some()
            || self.generic_host_key.is_some()
    }
}

fn said_to_none(words: DriverWords) -> Result<Said> {
    // docker-machine's text.
    let url = words.url.ok_or_else(|| {
        Error::new(Code::Usage, "--url option is required when no driver is selected")
            .hint("`machine create -d none --url tcp://HOST:2376 NAME`")
    })?;
    machine_generic::host_of_url(&url)?;
    if words.ssh_user.is_some() {
        return Err(Error::new(
            Code::Usage,
            "--ssh-user is of no use here: nobody logs in to a host that is known by its URL",
        ));
    }
    let mut options = Map::from_iter([("url".to_owned(), json!(url))]);
    if let Some(files) = words.tls_files {
        options.insert("certificates".into(), json!(files.map(|file| std::path::absolute(&file).unwrap_or(file))));
    }
    Ok(Said { options, ssh_user: String::new(), disk_mib: None })
}

fn said_to_qemu(words: DriverWords) -> Said {
    let mut options = Map::new();
    options.insert("accelerator".into(), json!(words.accelerator.unwrap_or_else(|| "auto".to_owned())));
    if !words.qemu_arguments.is_empty() {
        options.insert("arguments".into(), json!(words.qemu_arguments));
    }
    if words.no_warm {
        options.insert("warm".into(), json!(false));
    }
    if words.no_host_access {
        options.insert("host_access".into(), json!(false));
    }
    Said { options, ssh_user: words.ssh_user.unwrap_or_else(|| "docker".to_owned()), disk_mib: None }
}

fn of_another(flags: &str, driver: &str) -> Error {
    Error::new(Code::Usage, format!("{flags} belong to the driver {driver:?}"))
        .hint(format!("add `-d {driver}`, or leave them out"))
}
