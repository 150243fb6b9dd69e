//! What a machine is told of itself at boot.

use std::fs;
use std::path::Path;

use machine_core::{MachineRecord, Result, ResultExt as _};
use machine_images::{Image, MachineSeed, NoCloudSeed, SeedKind};
use sha2::Digest as _;

use crate::files;

/// File names in a machine's folder.
pub(crate) const CLIENT_KEY: &str = "id_ed25519";
pub(crate) const HOST_KEY: &str = "ssh_host_ed25519_key";
pub(crate) const SEED: &str = "seed.img";

/// Writes the seed disk of a machine from its record and its folder. Done before every start: what changed since (a renewed
/// certificate, engine settings) is applied by the guest at that boot.
pub(crate) fn write(record: &MachineRecord, dir: &Path, image: &Image) -> Result<()> {
    let path = dir.join(SEED);
    match image.seed {
        SeedKind::Machine => compose(record, dir)?.write(&path),
        SeedKind::NoCloud => compose_nocloud(record, dir)?.write(&path),
    }
    .context(|| format!("machine {:?}: cannot write the seed disk", record.name.as_str()))
}

/// The seed's content.
pub(crate) fn compose(record: &MachineRecord, dir: &Path) -> Result<MachineSeed> {
    let read = |file: &str| read(dir, file);
    Ok(MachineSeed {
        hostname: record.name.to_string(),
        user: record.spec.ssh_user.clone(),
        authorized_keys: read(&format!("{CLIENT_KEY}.pub"))?,
        host_key_private: read(HOST_KEY)?,
        host_key_public: read(&format!("{HOST_KEY}.pub"))?,
        machine_id: machine_id(record),
        ca_pem: read("ca.pem")?,
        server_cert_pem: read("server.pem")?,
        server_key_pem: read("server-key.pem")?,
        daemon_json: machine_engine::daemon_json(&record.spec.engine, &record.driver)?,
        engine_env: machine_engine::engine_environment(&record.spec.engine)?,
        shares: Vec::new(),
    })
}

/// What cloud-init is told: who the machine is and who may log in. The engine is not its business.
fn compose_nocloud(record: &MachineRecord, dir: &Path) -> Result<NoCloudSeed> {
    Ok(NoCloudSeed {
        // The same at every boot: what cloud-init did once is not done again.
        instance_id: format!("{}-{}", record.name, machine_id(record)),
        hostname: record.name.to_string(),
        user: record.spec.ssh_user.clone(),
        authorized_keys: vec![read(dir, &format!("{CLIENT_KEY}.pub"))?],
        host_key_private: read(dir, HOST_KEY)?,
        host_key_public: read(dir, &format!("{HOST_KEY}.pub"))?,
    })
}

fn read(dir: &Path, file: &str) -> Result<String> {
    let path = dir.join(file);
    fs::read_to_string(&path).map_err(|error| files::explain(error, "cannot read", &path))
}

/// A machine-id (machine-id(5): 128 bits, hexadecimal) of this machine and no other, the same at every boot: derived from
/// its host key, which no other machine has.
fn machine_id(record: &MachineRecord) -> String {
    let of_key = sha2::Sha256::digest(format!("machine-id {}", record.host_key.as_deref().unwrap_or_default()));
    of_key[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendors_image_gets_cloud_inits_seed_with_the_machines_own_keys() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = crate::store::remains(&"dev".parse().unwrap(), "qemu");
        record.spec.ssh_user = "builder".to_owned();
        record.host_key = Some("ssh-ed25519 HOST".to_owned());
        assert!(compose_nocloud(&record, folder.path()).unwrap_err().to_string().contains(CLIENT_KEY));
        for (file, text) in [
            ("id_ed25519.pub", "ssh-ed25519 CLIENT"),
            (HOST_KEY, "SECRET"),
            ("ssh_host_ed25519_key.pub", "ssh-ed25519 HOST"),
        ] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let seed = compose_nocloud(&record, folder.path()).unwrap();
        assert_eq!((seed.user.as_str(), seed.hostname.as_str()), ("builder", "dev"));
        assert_eq!(
            (seed.authorized_keys.as_slice(), seed.host_key_private.as_str()),
            (["ssh-ed25519 CLIENT".to_owned()].as_slice(), "SECRET")
        );
        assert_eq!(seed.instance_id, compose_nocloud(&record, folder.path()).unwrap().instance_id);
        record.host_key = Some("ssh-ed25519 OTHER".to_owned());
        assert_ne!(
            seed.instance_id,
            compose_nocloud(&record, folder.path()).unwrap().instance_id,
            "another machine is another instance"
        );
    }
}
