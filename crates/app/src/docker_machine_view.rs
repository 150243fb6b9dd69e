//! A machine in the words of docker-machine's `config.json`, for scripts that ask `inspect` for `.Driver.IPAddress`.

use std::path::Path;

use machine_core::{MachineRecord, SshTarget};
use serde_json::{Value, json};

/// The fields that its users ask for, under its names. What it had and we have not (swarm) is empty.
pub(crate) fn view(record: &MachineRecord, ssh: Option<&SshTarget>, folder: &Path) -> Value {
    let spec = &record.spec;
    let engine = &spec.engine;
    let env: Vec<String> = engine.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "ConfigVersion": 3,
        "Name": record.name,
        "DriverName": record.driver,
        "Driver": {
            "IPAddress": ssh.map(|ssh| ssh.address.ip().to_string()).unwrap_or_default(),
            "MachineName": record.name,
            "SSHUser": ssh.map_or(&spec.ssh_user, |ssh| &ssh.user),
            "SSHPort": ssh.map_or(0, |ssh| ssh.address.port()),
            "SSHKeyPath": ssh.map(|ssh| ssh.key.clone()),
            "StorePath": folder.parent().and_then(Path::parent),
            "CPU": spec.cpus,
            "Memory": spec.memory_mib,
            "DiskSize": spec.disk_mib,
        },
        "HostOptions": {
            "EngineOptions": {
                "ArbitraryFlags": engine.options,
                "Env": env,
                "InsecureRegistry": engine.insecure_registries,
                "InstallURL": engine.install_url.clone().unwrap_or_default(),
                "Labels": engine.labels,
                "RegistryMirror": engine.registry_mirrors,
                "StorageDriver": engine.storage_driver.clone().unwrap_or_default(),
                "TlsVerify": true,
            },
            "SwarmOptions": { "IsSwarm": false, "Master": false },
            "AuthOptions": {
                "CaCertPath": folder.join("ca.pem"),
                "ClientCertPath": folder.join("cert.pem"),
                "ClientKeyPath": folder.join("key.pem"),
                "ServerCertPath": folder.join("server.pem"),
                "ServerCertSANs": spec.tls_san,
                "StorePath": folder,
            },
        },
    })
}
