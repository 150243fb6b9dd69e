//! The key by which a server proves who it is.

use std::fmt;
use std::str::FromStr;

use machine_core::{Error, Result};
use ssh_key::{Fingerprint, HashAlg, PublicKey};

/// A pinned host key: exactly this key, or no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    algorithm: String,
    blob: Vec<u8>,
    text: String,
    fingerprint: Fingerprint,
}

impl HostKey {
    /// The key's type, such as `ssh-ed25519`.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:...`.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.to_string()
    }

    /// Whether a server's key, as it was on the wire, is this one.
    pub fn matches(&self, blob: &[u8]) -> bool {
        self.blob == blob
    }

    /// The key that a server showed.
    pub(crate) fn from_wire(blob: &[u8]) -> Result<Self> {
        let key = PublicKey::from_bytes(blob)
            .map_err(|e| Error::other("the server's key is of an unknown type").because(e))?;
        key.to_openssh().map_err(|e| Error::other("the server's key cannot be written").because(e))?.parse()
    }

    /// The order in which to ask a server for its key: this type first. The others follow only so that a server without
    /// this type can be named in the refusal, as OpenSSH does.
    pub(crate) fn preference(&self) -> String {
        Self::order(&self.algorithm)
    }

    /// The order for a server whose key is not known yet: the newest type first, as OpenSSH asks.
    pub(crate) fn any() -> String {
        Self::order("ssh-ed25519")
    }

    fn order(first: &str) -> String {
        // An RSA key signs under newer names than its own (RFC 8332).
        const TYPES: [(&str, &str); 5] = [
            ("ssh-ed25519", "ssh-ed25519"),
            ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
            ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
            ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
            ("ssh-rsa", "rsa-sha2-512,rsa-sha2-256"),
        ];
        let (own, other): (Vec<_>, Vec<_>) = TYPES.iter().partition(|(name, _)| *name == first);
        own.iter().chain(&other).map(|(_, methods)| *methods).collect::<Vec<_>>().join(",")
    }
}

/// Describes the key that a server showed: its type and fingerprint.
pub(crate) fn describe(blob: &[u8]) -> String {
    match PublicKey::from_bytes(blob) {
        Ok(key) => format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256)),
        Err(_) => "a key of an unknown type".to_owned(),
    }
}

impl FromStr for HostKey {
    type Err = Error;

    /// Reads `ssh-ed25519 AAAA... [comment]`, or a `known_hosts` line, which has the host's name in front (sshd(8)).
    fn from_str(line: &str) -> Result<Self> {
        let refuse = |why: String| Error::other(format!("{line:?} is not a host key: {why}"));
        if line.lines().count() > 1 {
            return Err(refuse("it has more than one line".into()));
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (kind, key) = match words[..] {
            [first, ..] if first.starts_with('@') => return Err(refuse(format!("{first} keys are not supported"))),
            [first, ..] if first.starts_with('#') => return Err(refuse("it is a comment".into())),
            // Every key begins with the length of its type's name, three zero bytes and one more.
            [kind, key, ..] if key.starts_with("AAAA") => (kind, key),
            [_host, kind, key, ..] if key.starts_with("AAAA") => (kind, key),
            _ => return Err(refuse("it has no key type and key".into())),
        };
        let text = format!("{kind} {key}");
        let key = PublicKey::from_openssh(&text).map_err(|e| refuse(e.to_string()))?;
        let blob = key.to_bytes().map_err(|e| refuse(e.to_string()))?;
        Ok(Self {
            algorithm: key.algorithm().as_str().to_owned(),
            fingerprint: key.fingerprint(HashAlg::Sha256),
            blob,
            text,
        })
    }
}

impl fmt::Display for HostKey {
    /// Type and key, without host name and comment: the form that is kept in a record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::KeyPair;

    // From ssh-keygen (OpenSSH 9.2) and its `-l`.
    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPKX0n8HF2o6J+Frgs1xsPT0wZGqorO1fR5DZ7ziyHwK";
    const FINGERPRINT: &str = "SHA256:Sz7Vm8BwdhmVkNQ54nyWpVw2cTGfkrtNH9XmSRV6UrA";

    #[test]
    fn a_bare_key_and_a_known_hosts_line_are_the_same_key() {
        let bare: HostKey = ED25519.parse().unwrap();
        assert_eq!(bare.fingerprint(), FINGERPRINT);
        assert_eq!(bare.algorithm(), "ssh-ed25519");
        for line in
            [format!("{ED25519} a comment"), format!("[127.0.0.1]:2222 {ED25519}"), format!("dev,::1 {ED25519} c")]
        {
            let key: HostKey = line.parse().unwrap();
            assert_eq!(key, bare, "{line}");
            assert_eq!(key.to_string(), ED25519);
        }
    }

    #[test]
    fn what_is_not_one_key_is_refused_with_the_reason() {
        let cases = [
            (String::new(), "no key type"),
            ("ssh-ed25519".into(), "no key type"),
            (format!("@revoked * {ED25519}"), "@revoked"),
            (format!("{ED25519}\n{ED25519}"), "more than one line"),
            (ED25519.replace("ssh-ed25519 ", "ssh-rsa "), "algorithm"),
            (ED25519[..60].to_owned(), "not a host key"),
        ];
        for (line, why) in cases {
            let error = line.parse::<HostKey>().unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn the_pinned_type_is_asked_for_first() {
        let key: HostKey = ED25519.parse().unwrap();
        assert!(key.preference().starts_with("ssh-ed25519,ecdsa-"));
    }

    proptest! {
        #[test]
        fn any_line_is_a_key_or_an_error_and_never_a_panic(line in "\\PC{0,80}", tail in "[A-Za-z0-9+/=]{0,80}") {
            let _ = line.parse::<HostKey>();
            let _ = format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5{tail}").parse::<HostKey>();
        }

        #[test]
        fn every_key_reads_back_from_what_it_prints(host in "[a-z0-9.]{0,12}", comment in "[a-z@ ]{0,12}") {
            let pair = KeyPair::generate("x").unwrap();
            let key: HostKey = pair.public_openssh.parse().unwrap();
            let again: HostKey = format!("{host} {key} {comment}").parse().unwrap();
            prop_assert_eq!(again, key);
        }

        #[test]
        fn one_flipped_bit_is_another_key(bit in 0_usize..256) {
            let key: HostKey = ED25519.parse().unwrap();
            let mut blob = key.blob.clone();
            let at = blob.len() - 32 + bit / 8;
            blob[at] ^= 1 << (bit % 8);
            prop_assert!(key.matches(&key.blob) && !key.matches(&blob));
        }
    }
}
