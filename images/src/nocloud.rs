//! The seed of a machine made from a vendor's cloud image: a FAT file system labelled `CIDATA`, which cloud-init's NoCloud
//! data source reads (cloud-init documentation, "NoCloud").

use std::fmt;
use std::io::{Cursor, Write};
use std::path::Path;

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use machine_core::{Code, Error, Result, ResultExt};
use serde_json::{Value, json};

use machine_files as files;

/// The size of the disk, bytes: what it holds takes a few thousand.
const SIZE: usize = 1 << 20;
/// The label that cloud-init looks for, padded as FAT has it.
const LABEL: [u8; 11] = *b"CIDATA     ";

/// Identity of one machine, for cloud-init. Its secrets are not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct NoCloudSeed {
    /// Another id than at the last boot makes cloud-init apply everything anew.
    pub instance_id: String,
    /// Its host name.
    pub hostname: String,
    /// The user who logs in; may become root by `sudo`, and belongs to the group `docker`.
    pub user: String,
    /// Public keys of that user.
    pub authorized_keys: Vec<String>,
    /// The ed25519 host key in OpenSSH's format (a secret).
    pub host_key_private: String,
    /// Its public half, one line.
    pub host_key_public: String,
}

impl NoCloudSeed {
    /// Writes the seed as a disk file (0600), in place of one that is there.
    ///
    /// # Errors
    /// Fields that are missing; what cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write_whole(path, &self.to_disk()?, files::PRIVATE)
    }

    /// The bytes of the disk: always the same for the same fields.
    ///
    /// # Errors
    /// Fields that are missing.
    pub fn to_disk(&self) -> Result<Vec<u8>> {
        let required = [&self.instance_id, &self.hostname, &self.user, &self.host_key_private, &self.host_key_public];
        if self.authorized_keys.is_empty() || required.iter().any(|field| field.trim().is_empty()) {
            return Err(Error::new(Code::Usage, "cannot make the seed: a field of it is empty"));
        }
        fat_disk(&[
            ("meta-data", yaml("", &self.meta_data())),
            ("user-data", yaml("#cloud-config\n", &self.user_data())),
            ("network-config", yaml("", &network_config())),
        ])
        .context(|| "cannot make the seed".into())
    }

    fn meta_data(&self) -> Value {
        json!({ "instance-id": self.instance_id, "local-hostname": self.hostname })
    }

    fn user_data(&self) -> Value {
        let mut user = json!({
            "name": self.user,
            "gecos": "machine",
            "groups": ["docker"],
            "lock_passwd": true,
            "shell": "/bin/bash",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "ssh_authorized_keys": self.authorized_keys.iter().map(|key| key.trim()).collect::<Vec<_>>(),
        });
        if self.user == "docker" {
            // useradd(8) refuses to make a group of the user's name that is there already.
            user["primary_group"] = json!("docker");
        }
        json!({
            "hostname": self.hostname,
            "manage_etc_hosts": "localhost",
            // Nobody logs in as root or with a password.
            "disable_root": true,
            "ssh_pwauth": false,
            // Our host key, and none of those that came with the image or that the guest would make.
            "ssh_deletekeys": true,
            "ssh_keys": {
                "ed25519_private": format!("{}\n", self.host_key_private.trim_end()),
                "ed25519_public": format!("{}\n", self.host_key_public.trim_end()),
            },
            // Made before the engine is installed, so that the first login is in it already.
            "groups": ["docker"],
            "users": [user],
            "growpart": { "mode": "auto", "devices": ["/"] },
            "resize_rootfs": true,
            // At every boot: behind QEMU, link-local addresses are those of the host's own surroundings (a cloud's metadata).
            "bootcmd": [["ip", "route", "replace", "unreachable", "169.254.0.0/16"]],
            "package_update": false,
            "package_upgrade": false,
        })
    }
}

/// One network card of whatever name, addresses from QEMU's DHCP server.
fn network_config() -> Value {
    json!({
        "version": 2,
        "ethernets": { "primary": { "match": { "name": "e*" }, "dhcp4": true } },
    })
}

/// JSON is YAML; cloud-init reads it as such.
fn yaml(first_line: &str, value: &Value) -> String {
    format!("{first_line}{value:#}\n")
}

/// A FAT12 file system with `files` in its root.
fn fat_disk(files: &[(&str, String)]) -> std::io::Result<Vec<u8>> {
    let mut disk = Cursor::new(vec![0u8; SIZE]);
    let volume_id = u32::from_be_bytes(*b"seed");
    let options = FormatVolumeOptions::new().fat_type(FatType::Fat12).volume_label(LABEL).volume_id(volume_id);
    fatfs::format_volume(&mut disk, options)?;
    {
        let file_system = FileSystem::new(&mut disk, FsOptions::new())?;
        for (name, text) in files {
            file_system.root_dir().create_file(name)?.write_all(text.as_bytes())?;
        }
        file_system.unmount()?;
    }
    Ok(disk.into_inner())
}

impl fmt::Debug for NoCloudSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoCloudSeed")
            .field("instance_id", &self.instance_id)
            .field("hostname", &self.hostname)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn seed() -> NoCloudSeed {
        NoCloudSeed {
            instance_id: "dev-1".into(),
            hostname: "dev".into(),
            user: "docker".into(),
            authorized_keys: vec!["ssh-ed25519 AAAA client\n".into()],
            host_key_private: "-----BEGIN OPENSSH PRIVATE KEY-----\nTOPSECRET\n-----END OPENSSH PRIVATE KEY-----\n"
                .into(),
            host_key_public: "ssh-ed25519 BBBB".into(),
        }
    }

    fn read(disk: &[u8], name: &str) -> String {
        let mut copy = Cursor::new(disk.to_vec());
        let file_system = FileSystem::new(&mut copy, FsOptions::new()).unwrap();
        let mut text = String::new();
        file_system.root_dir().open_file(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_disk_is_labelled_and_has_the_three_files_that_cloud_init_reads() {
        let disk = seed().to_disk().unwrap();
        assert_eq!(disk.len(), SIZE);
        assert_eq!(disk, seed().to_disk().unwrap(), "the same fields make the same bytes");
        {
            let mut copy = Cursor::new(disk.clone());
            let file_system = FileSystem::new(&mut copy, FsOptions::new()).unwrap();
            assert_eq!(file_system.read_volume_label_from_root_dir().unwrap().as_deref(), Some("CIDATA"));
            assert_eq!(file_system.volume_label(), "CIDATA");
            assert_eq!(file_system.root_dir().iter().count(), 3);
        }
        let meta: Value = serde_json::from_str(&read(&disk, "meta-data")).unwrap();
        assert_eq!(meta, json!({ "instance-id": "dev-1", "local-hostname": "dev" }));
        let network: Value = serde_json::from_str(&read(&disk, "network-config")).unwrap();
        assert_eq!(network["version"], 2);
        let user_data = read(&disk, "user-data");
        let config: Value = serde_json::from_str(user_data.strip_prefix("#cloud-config\n").unwrap()).unwrap();
        assert_eq!(config["ssh_keys"]["ed25519_private"], seed().host_key_private);
        assert_eq!(config["users"][0]["ssh_authorized_keys"][0], "ssh-ed25519 AAAA client");
        assert_eq!((&config["ssh_pwauth"], &config["disable_root"]), (&json!(false), &json!(true)));
        assert_eq!(config["users"][0]["primary_group"], "docker");
        let other = NoCloudSeed { user: "ann".into(), ..seed() }.user_data();
        assert_eq!(other["users"][0]["primary_group"], Value::Null, "a group of its own");
    }

    #[test]
    fn secrets_are_not_printed_and_empty_fields_are_refused() {
        assert!(!format!("{:?}", seed()).contains("TOPSECRET"));
        let empty = NoCloudSeed { authorized_keys: Vec::new(), ..seed() };
        assert_eq!(empty.to_disk().unwrap_err().code(), Code::Usage);
    }

    /// What Linux and cloud-init see, where util-linux is installed.
    #[cfg(target_os = "linux")]
    #[test]
    fn blkid_sees_a_vfat_file_system_labelled_cidata() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.img");
        seed().write(&path).unwrap();
        let blkid = ["/usr/sbin/blkid", "/sbin/blkid"].into_iter().find(|path| Path::new(path).exists());
        let seen =
            std::process::Command::new(blkid.expect("blkid of util-linux")).arg("-p").arg(&path).output().unwrap();
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        assert!(seen.contains("LABEL=\"CIDATA\"") && seen.contains("TYPE=\"vfat\""), "{seen}");
    }
}
