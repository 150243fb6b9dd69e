//! Certificates of a store, made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
pub struct Identity {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn server(&self, names: &[&str]) -> Identity {
        self.server_between(names, 2020, 2090)
    }

    /// A server certificate valid from the first day of one year to that of another.
    pub fn server_between(&self, names: &[&str], from: i32, to: i32) -> Identity {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, from, to)
    }

    pub fn client(&self) -> Identity {
        self.sign(&[], ExtendedKeyUsagePurpose::ClientAuth, 2020, 2090)
    }

    fn sign(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, from: i32, to: i32) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap().pem();
        Identity { cert, key: key.serialize_pem() }
    }
}
