//! The seed of a machine made from our own image: a tar archive that is a small disk (contract: `images/recipe/README.md`,
//! version 1).

use std::fmt;
use std::path::Path;

use machine_core::{Code, Error, Result, ResultExt};

use machine_files as files;

/// The version of the contract, which the guest checks.
const SEED_VERSION: &str = "1\n";
/// Disks of virtio-blk and of tar come in blocks, bytes.
const BLOCK: usize = 512;
/// The smallest disk made, bytes; the guest finds the end of the archive by itself. All that is usual fits, so that a
/// machine that goes on from another's saved state finds a disk of the size that it knows.
const SMALLEST: usize = 256 << 10;

/// A folder of this computer that the guest mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedShare {
    /// The tag of its device.
    pub tag: String,
    /// Where it appears in the guest.
    pub path: String,
    /// Whether the guest may only read it.
    pub read_only: bool,
}

/// Identity and settings of one machine. Its secrets are not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MachineSeed {
    /// Its host name.
    pub hostname: String,
    /// The user who logs in.
    pub user: String,
    /// Public keys, one a line, as in `~/.ssh/authorized_keys`.
    pub authorized_keys: String,
    /// The ed25519 host key in OpenSSH's format (a secret).
    pub host_key_private: String,
    /// Its public half, one line.
    pub host_key_public: String,
    /// 32 hexadecimal digits, as in `/etc/machine-id`.
    pub machine_id: String,
    /// Who signs the clients of the engine.
    pub ca_pem: String,
    /// The engine's certificate.
    pub server_cert_pem: String,
    /// Its key (a secret).
    pub server_key_pem: String,
    /// `/etc/docker/daemon.json`, complete.
    pub daemon_json: String,
    /// The engine's environment, `NAME=value` lines.
    pub engine_env: Option<String>,
    /// Shared folders.
    pub shares: Vec<SeedShare>,
}

impl MachineSeed {
    /// Writes the seed as a disk file (0600), in place of one that is there.
    ///
    /// # Errors
    /// Fields that would mean something else in the guest; what cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write_whole(path, &self.to_disk()?, files::PRIVATE)
    }

    /// The bytes of the disk: always the same for the same fields. They are also what `guest apply -` takes.
    ///
    /// # Errors
    /// Fields that would mean something else in the guest.
    pub fn to_disk(&self) -> Result<Vec<u8>> {
        let mut disk = self.to_tar().context(|| "cannot make the seed".into())?;
        disk.resize(disk.len().next_multiple_of(BLOCK).max(SMALLEST), 0);
        Ok(disk)
    }

    /// The disk of a template: what machines with these settings have in common before they are anybody's. Nothing of
    /// this machine's identity is in it.
    ///
    /// # Errors
    /// Fields that would mean something else in the guest.
    pub fn to_template_disk(&self) -> Result<Vec<u8>> {
        let line = |text: &str| format!("{}\n", text.trim_end());
        let mut files = vec![
            ("version", 0o644, SEED_VERSION.into()),
            ("template", 0o644, "1\n".to_owned()),
            ("user", 0o644, line(&self.user)),
            ("docker/daemon.json", 0o644, line(&self.daemon_json)),
        ];
        if let Some(environment) = &self.engine_env {
            files.push(("docker/engine.env", 0o600, line(environment)));
        }
        self.validate()?;
        let mut disk = archive(files).context(|| "cannot make the seed of a template".into())?;
        disk.resize(disk.len().next_multiple_of(BLOCK).max(SMALLEST), 0);
        Ok(disk)
    }

    fn to_tar(&self) -> Result<Vec<u8>> {
        self.validate()?;
        let shares = self.shares.iter().map(SeedShare::line).collect::<Result<String>>()?;
        let line = |text: &str| format!("{}\n", text.trim_end());
        let mut files = vec![
            ("version", 0o644, SEED_VERSION.into()),
            ("hostname", 0o644, line(&self.hostname)),
            ("user", 0o644, line(&self.user)),
            ("authorized_keys", 0o600, line(&self.authorized_keys)),
            ("ssh_host_ed25519_key", 0o600, line(&self.host_key_private)),
            ("ssh_host_ed25519_key.pub", 0o644, line(&self.host_key_public)),
            ("machine-id", 0o644, line(&self.machine_id)),
            ("docker/ca.pem", 0o644, line(&self.ca_pem)),
            ("docker/server.pem", 0o644, line(&self.server_cert_pem)),
            ("docker/server-key.pem", 0o600, line(&self.server_key_pem)),
            ("docker/daemon.json", 0o644, line(&self.daemon_json)),
        ];
        if let Some(environment) = &self.engine_env {
            files.push(("docker/engine.env", 0o600, line(environment)));
        }
        files.push(("shares", 0o644, shares));
        archive(files)
    }

    fn validate(&self) -> Result<()> {
        let refuse = |field: &str, why: &str| Err(Error::new(Code::Usage, format!("{field} {why}")));
        for (field, text) in [
            ("hostname", &self.hostname),
            ("user", &self.user),
            ("host_key_public", &self.host_key_public),
            ("machine_id", &self.machine_id),
        ] {
            if text.trim().is_empty() || text.trim_end().contains(['\n', '\r']) {
                return refuse(field, "must be one line");
            }
        }
        for (field, text) in [
            ("authorized_keys", &self.authorized_keys),
            ("host_key_private", &self.host_key_private),
            ("ca_pem", &self.ca_pem),
            ("server_cert_pem", &self.server_cert_pem),
            ("server_key_pem", &self.server_key_pem),
            ("daemon_json", &self.daemon_json),
        ] {
            if text.trim().is_empty() {
                return refuse(field, "is empty");
            }
        }
        let id = self.machine_id.trim_end();
        if id.len() != 32 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return refuse("machine_id", "is not 32 hexadecimal digits");
        }
        Ok(())
    }
}

/// A tar of files below `seed/`: name, mode, text.
fn archive(files: Vec<(&str, u32, String)>) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, mode, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(text.len() as u64);
        let path = format!("seed/{name}");
        archive.append_data(&mut header, &path, text.as_bytes()).context(|| format!("cannot add {path}"))?;
    }
    archive.into_inner().context(|| "cannot end the archive".into())
}

impl SeedShare {
    /// `TAG<TAB>PATH<TAB>ro|rw`.
    fn line(&self) -> Result<String> {
        let plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if !plain(&self.tag) || self.tag.contains(' ') || !plain(&self.path) || !self.path.starts_with('/') {
            return Err(Error::new(Code::Usage, format!("cannot share {:?} with the machine", self.path))
                .hint("the path inside must be absolute, without tabs and line breaks"));
        }
        Ok(format!("{}\t{}\t{}\n", self.tag, self.path, if self.read_only { "ro" } else { "rw" }))
    }
}

impl fmt::Debug for MachineSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineSeed")
            .field("hostname", &self.hostname)
            .field("user", &self.user)
            .field("machine_id", &self.machine_id)
            .field("shares", &self.shares)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn seed() -> MachineSeed {
        MachineSeed {
            hostname: "dev".into(),
            user: "docker".into(),
            authorized_keys: "ssh-ed25519 AAAA client".into(),
            host_key_private: "-----BEGIN OPENSSH PRIVATE KEY-----\nTOPSECRET\n-----END OPENSSH PRIVATE KEY-----"
                .into(),
            host_key_public: "ssh-ed25519 BBBB".into(),
            machine_id: "0123456789abcdef0123456789abcdef".into(),
            ca_pem: "ca\n".into(),
            server_cert_pem: "certificate\n".into(),
            server_key_pem: "TOPSECRET\n".into(),
            daemon_json: "{}".into(),
            engine_env: None,
            shares: vec![
                SeedShare { tag: "share0".into(), path: "/home/né e".into(), read_only: false },
                SeedShare { tag: "share1".into(), path: "/mnt".into(), read_only: true },
            ],
        }
    }

    fn unpack(disk: &[u8]) -> BTreeMap<String, String> {
        let mut archive = tar::Archive::new(disk);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
            let mut text = String::new();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            entry.read_to_string(&mut text).unwrap();
            (path, text)
        });
        entries.collect()
    }

    #[test]
    fn the_disk_is_a_tar_from_its_first_byte_and_always_the_same() {
        let disk = seed().to_disk().unwrap();
        assert_eq!(disk, seed().to_disk().unwrap());
        assert!(disk.len() >= SMALLEST && disk.len().is_multiple_of(BLOCK));
        let files = unpack(&disk);
        let names: Vec<&str> = files.keys().map(|name| name.strip_prefix("seed/").unwrap()).collect();
        assert_eq!(
            names,
            [
                "authorized_keys",
                "docker/ca.pem",
                "docker/daemon.json",
                "docker/server-key.pem",
                "docker/server.pem",
                "hostname",
                "machine-id",
                "shares",
                "ssh_host_ed25519_key",
                "ssh_host_ed25519_key.pub",
                "user",
                "version"
            ]
        );
        assert_eq!(files["seed/version"], "1\n");
        assert_eq!(files["seed/hostname"], "dev\n");
        assert_eq!(files["seed/shares"], "share0\t/home/né e\trw\nshare1\t/mnt\tro\n");
        let with_environment = MachineSeed { engine_env: Some("A=b".into()), ..seed() };
        assert_eq!(unpack(&with_environment.to_disk().unwrap())["seed/docker/engine.env"], "A=b\n");
    }

    #[test]
    fn a_template_has_settings_and_nobodys_identity() {
        let files = unpack(&seed().to_template_disk().unwrap());
        let names: Vec<&str> = files.keys().map(|name| name.strip_prefix("seed/").unwrap()).collect();
        assert_eq!(names, ["docker/daemon.json", "template", "user", "version"]);
        assert_eq!((files["seed/user"].as_str(), files["seed/docker/daemon.json"].as_str()), ("docker\n", "{}\n"));
        let another = MachineSeed { hostname: "other".into(), machine_id: "f".repeat(32), ..seed() };
        assert_eq!(another.to_template_disk().unwrap(), seed().to_template_disk().unwrap());
    }

    #[test]
    fn a_written_seed_is_private_and_replaces_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.img");
        std::fs::write(&path, "old").unwrap();
        seed().write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), seed().to_disk().unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777, 0o600);
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = format!("{:?}", seed());
        assert!(text.contains("dev") && !text.contains("TOPSECRET"), "{text}");
    }

    #[test]
    fn fields_that_would_mean_something_else_are_refused() {
        for bad in [
            MachineSeed { hostname: "a\nb".into(), ..seed() },
            MachineSeed { user: String::new(), ..seed() },
            MachineSeed { machine_id: "0123".into(), ..seed() },
            MachineSeed { host_key_private: "\n".into(), ..seed() },
            MachineSeed {
                shares: vec![SeedShare { tag: "x".into(), path: "/a\tb".into(), read_only: true }],
                ..seed()
            },
            MachineSeed { shares: vec![SeedShare { tag: "x".into(), path: "a".into(), read_only: true }], ..seed() },
        ] {
            assert_eq!(bad.to_disk().unwrap_err().code(), Code::Usage, "{bad:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_systems_tar_unpacks_it_as_the_guest_does() {
        let folder = tempfile::tempdir().unwrap();
        seed().write(&folder.path().join("seed.img")).unwrap();
        let unpacked = std::process::Command::new("tar")
            .args(["--extract", "--file", "seed.img", "--no-same-owner", "--no-same-permissions", "seed"])
            .current_dir(folder.path())
            .status()
            .unwrap();
        assert!(unpacked.success());
        let read = |name: &str| std::fs::read_to_string(folder.path().join("seed").join(name)).unwrap();
        assert_eq!(read("machine-id"), "0123456789abcdef0123456789abcdef\n");
        assert_eq!(read("docker/server-key.pem"), "TOPSECRET\n");
    }
}
