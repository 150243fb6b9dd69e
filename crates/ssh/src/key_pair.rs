//! Keys that this program makes: a client key and a host key per machine.

use std::path::{Path, PathBuf};

use machine_core::{Error, Result, ResultExt};
use machine_files as files;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};
use zeroize::Zeroizing;

/// An ed25519 key in OpenSSH's format. The private half is wiped from memory when dropped, and never printed.
pub struct KeyPair {
    /// What goes into a file of mode 0600.
    pub private_openssh: Zeroizing<String>,
    /// One line: `ssh-ed25519 AAAA... comment`, without a line end.
    pub public_openssh: String,
}

impl KeyPair {
    /// Makes a key from the operating system's random source.
    ///
    /// # Errors
    /// When the comment cannot be part of a key (a line end in it).
    pub fn generate(comment: &str) -> Result<Self> {
        if comment.contains(|c: char| c.is_control()) {
            return Err(Error::other(format!(
                "{comment:?} cannot be the comment of a key: it has a control character"
            )));
        }
        let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).context(|| "cannot make a key".into())?;
        key.set_comment(comment);
        let private_openssh = key.to_openssh(LineEnding::LF).context(|| "cannot make a key".into())?;
        let public_openssh = key.public_key().to_openssh().context(|| "cannot make a key".into())?;
        Ok(Self { private_openssh, public_openssh })
    }

    /// Writes the private key to `path` (mode 0600 from its first byte) and the public one to `path.pub`. Each file is
    /// whole or absent at any moment, whatever happens.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut public = path.as_os_str().to_owned();
        public.push(".pub");
        files::write_whole(path, self.private_openssh.as_bytes(), files::PRIVATE)?;
        files::write_whole(&PathBuf::from(public), format!("{}\n", self.public_openssh).as_bytes(), files::PUBLIC)
    }
}

/// Whether a private key, in OpenSSH's or PEM form, is locked with a passphrase.
pub fn is_encrypted(private_key: &str) -> bool {
    match PrivateKey::from_openssh(private_key) {
        Ok(key) => key.is_encrypted(),
        // The older forms say so in a header (RFC 1421) or their first line (PKCS #8).
        Err(_) => private_key.contains("ENCRYPTED"),
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("public_openssh", &self.public_openssh).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_key_is_private_and_reads_back_and_replaces_an_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id_ed25519");
        KeyPair::generate("older").unwrap().save(&path).unwrap();
        let pair = KeyPair::generate("machine dev").unwrap();
        pair.save(&path).unwrap();
        let read = PrivateKey::read_openssh_file(&path).unwrap();
        assert_eq!(read.public_key().to_openssh().unwrap(), pair.public_openssh);
        assert_eq!(read.comment(), "machine dev");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing temporary is left");
    }

    #[test]
    fn two_keys_differ_and_debug_does_not_tell_the_private_one() {
        let (a, b) = (KeyPair::generate("x").unwrap(), KeyPair::generate("x").unwrap());
        assert_ne!(a.public_openssh, b.public_openssh);
        assert!(!format!("{a:?}").contains("PRIVATE"));
        assert!(KeyPair::generate("two\nlines").is_err());
    }
}
