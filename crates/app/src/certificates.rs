//! Certificates: one CA and one client certificate per store, one server certificate per machine. All ECDSA P-256.
//!
//! The CA outlives what it signs by far and is never replaced silently: that would cut off every machine at once. The others
//! are renewed when a third of their life is left, so that a machine used once a month never shows an expired one.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use machine_core::{Error, MachineName, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject as _;

use crate::files;
use crate::store::{CERTIFICATES_LOCK, Store};

const DAY: i64 = 24 * 3600;
/// The CA's life.
const CA_DAYS: i64 = 3650;
/// A server's or client's life: below the 825 days above which some TLS stacks refuse a certificate (Apple, 2019).
const LEAF_DAYS: i64 = 365;
/// Certificates begin a day early, for guests and colleagues whose clocks are behind.
const BACKDATED: i64 = DAY;

/// A certificate and its key, as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) ends: Timestamp,
}

/// The CA of a store, with the client certificate that it gave out.
pub(crate) struct Authority {
    folder: PathBuf,
    pub(crate) ca_pem: String,
    pub(crate) client: Pair,
}

impl Authority {
    /// Opens the store's CA, making it at first use, and renews the client certificate when it comes to its end.
    ///
    /// # Errors
    /// A CA that is there and cannot be used (key lost, expired): it is never replaced here.
    pub(crate) fn open(store: &Store, owner: Option<&str>, now: Timestamp) -> Result<Self> {
        let folder = store.certificates();
        machine_files::make_private_folder(&folder)?;
        let _lock = store.lock_file(CERTIFICATES_LOCK, Duration::from_secs(20))?;
        let owner = owner.unwrap_or("unknown");
        let (ca, ca_key) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
        if !ca.exists() {
            if ca_key.exists() && cert_is_there(&folder) {
                // A new CA would cut off every machine of the old one, and lose the key that could restore it.
                return Err(Error::other(format!("the CA certificate {} is gone, its key is there", ca.display()))
                    .hint("restore it from a backup; every machine's folder has a copy: ca.pem"));
            }
            // The key goes first: a CA certificate on the disk always has its key.
            let pair = new_authority(owner, now)?;
            machine_files::write_whole(&ca_key, pair.key.as_bytes(), machine_files::PRIVATE)?;
            machine_files::write_whole(&ca, pair.certificate.as_bytes(), machine_files::PUBLIC)?;
        }
        let ca_pem = read(&ca)?;
        let ends = end_of(&ca_pem).map_err(|e| e.within(format!("the CA {} is broken", ca.display())))?;
        if ends <= now {
            return Err(Error::other(format!("the CA {} ended on {ends}", ca.display()))
                .hint("move the folder away: a new CA is made then, and every machine needs `machine stop` and `machine start`"));
        }
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let mut client = None;
        if let (Ok(certificate), Ok(key)) = (fs::read_to_string(&cert), fs::read_to_string(&key))
            && let Ok(ends) = end_of(&certificate)
            && !is_due(ends, now)
        {
            client = Some(Pair { certificate, key, ends });
        }
        let client = match client {
            Some(client) => client,
            None => {
                let mut wanted = leaf(owner, now)?;
                wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                let pair = sign(&wanted, &ca_pem, &ca_key, now)?;
                machine_files::write_whole(&key, pair.key.as_bytes(), machine_files::PRIVATE)?;
                machine_files::write_whole(&cert, pair.certificate.as_bytes(), machine_files::PUBLIC)?;
                pair
            }
        };
        Ok(Self { folder, ca_pem, client })
    }

    /// Signs a server certificate for `name`, good for this computer's loopback, the name and `sans`.
    pub(crate) fn server(&self, name: &MachineName, sans: &[String], now: Timestamp) -> Result<Pair> {
        let mut wanted = leaf(name.as_str(), now)?;
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        wanted.subject_alt_names = subject_alternative_names(name, sans)?;
        sign(&wanted, &self.ca_pem, &self.folder.join("ca-key.pem"), now)
    }

    /// Puts the three files that `DOCKER_CERT_PATH` must hold into a machine's folder, where they differ.
    pub(crate) fn hand_out(&self, folder: &Path) -> Result<()> {
        for (file, content, access) in [
            ("ca.pem", &self.ca_pem, machine_files::PUBLIC),
            ("cert.pem", &self.client.certificate, machine_files::PUBLIC),
            ("key.pem", &self.client.key, machine_files::PRIVATE),
        ] {
            let path = folder.join(file);
            if fs::read_to_string(&path).is_ok_and(|present| present == *content) {
                continue;
            }
            machine_files::write_whole(&path, content.as_bytes(), access)?;
        }
        Ok(())
    }
}

fn cert_is_there(folder: &Path) -> bool {
    folder.join("cert.pem").exists()
}

/// Whether a certificate that ends then should be renewed now: a third of its life is left.
pub(crate) fn is_due(ends: Timestamp, now: Timestamp) -> bool {
    ends.as_second() - now.as_second() < LEAF_DAYS * DAY / 3
}

/// The names and addresses that a server certificate is good for: fixed ones, the machine's, the user's.
pub(crate) fn subject_alternative_names(name: &MachineName, sans: &[String]) -> Result<Vec<SanType>> {
    let fixed = ["127.0.0.1", "::1", "localhost", name.as_str(), "host.docker.internal"];
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for san in fixed.into_iter().chain(sans.iter().map(String::as_str)) {
        if !seen.insert(san.to_ascii_lowercase()) {
            continue;
        }
        names.push(match san.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(dns_name(san)?.try_into().map_err(|e| {
                Error::new(machine_core::Code::Usage, format!("{san:?} cannot stand in a certificate")).because(e)
            })?),
        });
    }
    Ok(names)
}

fn dns_name(san: &str) -> Result<&str> {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'*')
    };
    if san.len() <= 253 && san.split('.').all(label) {
        Ok(san)
    } else {
        Err(Error::new(machine_core::Code::Usage, format!("{san:?} is neither a host name nor an IP address"))
            .hint("--tls-san takes one name or address; repeat it for more"))
    }
}

/// Whether a PEM certificate is good for an address.
pub(crate) fn covers(pem: &str, address: IpAddr) -> bool {
    let Ok(der) = rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&der) else { return false };
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(
        |name| matches!(name, x509_parser::extensions::GeneralName::IPAddress(found) if *found == octets.as_slice()),
    )
}

/// When a PEM certificate ends.
pub(crate) fn end_of(pem: &str) -> Result<Timestamp> {
    let der = rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| Error::other("not a PEM certificate").because(format!("{e:?}")))?;
    let (_, certificate) =
        x509_parser::parse_x509_certificate(&der).map_err(|e| Error::other("not an X.509 certificate").because(e))?;
    Timestamp::from_second(certificate.validity().not_after.timestamp())
        .map_err(|e| Error::other("the certificate's end is no date").because(e))
}

fn new_authority(owner: &str, now: Timestamp) -> Result<Pair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::OrganizationName, owner);
    params.distinguished_name.push(DnType::CommonName, "machine CA");
    valid_for(&mut params, now, CA_DAYS)?;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let ends = later(now, CA_DAYS)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem(), ends })
}

fn leaf(common_name: &str, now: Timestamp) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "machine");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, now, LEAF_DAYS)?;
    Ok(params)
}

fn sign(params: &CertificateParams, ca_pem: &str, ca_key: &Path, now: Timestamp) -> Result<Pair> {
    let ca_key = KeyPair::from_pem(&read(ca_key)?)
        .map_err(|e| Error::other(format!("the key {} is broken", ca_key.display())).because(e))?;
    let issuer = Issuer::from_ca_cert_pem(ca_pem, ca_key).map_err(failed)?;
    // Nothing outlives the CA: a client would trust it no longer, whatever it says itself.
    let ends = later(now, LEAF_DAYS)?.min(end_of(ca_pem)?);
    let mut params = params.clone();
    params.not_after = time::OffsetDateTime::from_unix_timestamp(ends.as_second())
        .map_err(|e| Error::other("the clock is out of range").because(e))?;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem(), ends })
}

fn valid_for(params: &mut CertificateParams, now: Timestamp, days: i64) -> Result<()> {
    let at = |second: i64| {
        time::OffsetDateTime::from_unix_timestamp(second)
            .map_err(|e| Error::other("the clock is out of range").because(e))
    };
    params.not_before = at(now.as_second() - BACKDATED)?;
    params.not_after = at(now.as_second() + days * DAY)?;
    // 64 random bits, the top one clear so that the number stays short and positive.
    let serial = uuid::Uuid::new_v4().as_u64_pair().1 >> 1;
    params.serial_number = Some(SerialNumber::from(serial));
    Ok(())
}

fn later(now: Timestamp, days: i64) -> Result<Timestamp> {
    Timestamp::from_second(now.as_second() + days * DAY)
        .map_err(|e| Error::other("the clock is out of range").because(e))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| {
        files::explain(error, "cannot read", path)
            .hint("without it no certificate can be made; restore it from a backup")
    })
}

fn failed(error: rcgen::Error) -> Error {
    Error::other("cannot make a certificate").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, now: Timestamp) -> Authority {
        Authority::open(&Store::at(folder.to_owned()), Some("me"), now).unwrap()
    }

    #[test]
    fn the_authority_is_made_once_and_its_client_certificate_renewed_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let first = open(folder.path(), now);
        let again = open(folder.path(), now);
        assert_eq!((&first.ca_pem, &first.client.key), (&again.ca_pem, &again.client.key));
        let next_year = later(now, 300).unwrap();
        let renewed = open(folder.path(), next_year);
        assert_eq!(first.ca_pem, renewed.ca_pem);
        assert_ne!(first.client.certificate, renewed.client.certificate);
        assert!(renewed.client.ends > first.client.ends);
    }

    #[test]
    fn an_expired_authority_is_reported_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let first = open(folder.path(), now);
        let store = Store::at(folder.path().to_owned());
        let refused = Authority::open(&store, None, later(now, CA_DAYS + 1).unwrap()).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("ended"), "{refused}");
        assert_eq!(fs::read_to_string(folder.path().join("certs/ca.pem")).unwrap(), first.ca_pem);
    }

    #[test]
    fn a_server_certificate_names_loopback_the_machine_and_what_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let authority = open(folder.path(), Timestamp::now());
        let name: MachineName = "Dev".parse().unwrap();
        let pair = authority.server(&name, &["10.1.2.3".into(), "lab.example.org".into()], Timestamp::now()).unwrap();
        let der = rustls_pki_types::CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        let sans = certificate.subject_alternative_name().unwrap().unwrap().value.general_names.len();
        assert_eq!(sans, 7, "127.0.0.1 ::1 localhost Dev host.docker.internal 10.1.2.3 lab.example.org");
        assert!(certificate.raw_serial().len() <= 8);
        let good_for = |address: &str| covers(&pair.certificate, address.parse().unwrap());
        assert!(good_for("127.0.0.1") && good_for("::1") && good_for("10.1.2.3"));
        assert!(!good_for("10.1.2.4") && !covers("no certificate", "10.1.2.3".parse().unwrap()));
        assert_eq!(end_of(&pair.certificate).unwrap().as_second(), pair.ends.as_second());
        for bad in ["", "a b", "http://x", &"x".repeat(300)] {
            assert!(subject_alternative_names(&name, &[bad.to_owned()]).is_err(), "{bad:?}");
        }
    }
}
