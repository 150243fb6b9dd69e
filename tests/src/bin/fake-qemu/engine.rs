//! An engine: as much of Docker's API, over mutual TLS, as tells a client that it is there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::containers::Containers;

/// An engine with the certificates of its machine.
pub struct Engine {
    tls: Arc<ServerConfig>,
    mute: bool,
    containers: Arc<Containers>,
}

impl Engine {
    /// The engine of the machine whose seed disk this is.
    pub fn new(seed: &Path, mute: bool, containers: Containers) -> Self {
        let files = files_of(seed);
        let pem = |name: &str| files[&format!("seed/docker/{name}")].clone();
        Self { mute, ..Self::with(&pem("ca.pem"), &pem("server.pem"), &pem("server-key.pem"), containers) }
    }

    /// An engine with these certificates, PEM.
    pub fn with(authority: &[u8], certificate: &[u8], key: &[u8], containers: Containers) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key).unwrap();
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .unwrap();
        Self { tls: Arc::new(tls), mute: false, containers: Arc::new(containers) }
    }

    /// Answers one client, as long as it stays.
    #[allow(dead_code, reason = "of the two that are made of this file, one answers many")]
    pub fn serve_one(&self, client: TcpStream) {
        let _the_client_has_gone = answer(Arc::clone(&self.tls), client, &self.containers);
    }

    /// Answers whoever has the right certificate.
    pub fn serve(&self, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            let (tls, mute, containers) = (Arc::clone(&self.tls), self.mute, Arc::clone(&self.containers));
            std::thread::spawn(move || {
                if mute {
                    std::thread::park();
                }
                let _the_client_has_gone = answer(tls, client, &containers);
            });
        }
    }
}

/// The files of the seed: a tar archive as it is on the disk.
fn files_of(seed: &Path) -> HashMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(File::open(seed).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), bytes)
    });
    entries.collect()
}

fn answer(tls: Arc<ServerConfig>, client: TcpStream, containers: &Containers) -> std::io::Result<()> {
    let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, client));
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = request.clone();
        while !header.trim_end().is_empty() {
            header.clear();
            if stream.read_line(&mut header)? == 0 {
                return Ok(());
            }
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let bare = path.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = bare.trim_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["events"]) => return containers.stream_events(path, stream.get_mut()),
            ("GET", ["containers", id, "logs"]) => return containers.stream_log(id, stream.get_mut()),
            ("POST", ["containers", id, verb]) => {
                containers.change(id, verb);
                stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nApi-Version: 1.45\r\n\r\n")?;
                stream.get_mut().flush()?;
                continue;
            }
            ("DELETE", ["containers", id]) => {
                containers.change(id, "rm");
                stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nApi-Version: 1.45\r\n\r\n")?;
                stream.get_mut().flush()?;
                continue;
            }
            _ => {}
        }
        let (kind, body) = match bare.rsplit('/').next() {
            Some("_ping") => ("text/plain", "OK".to_owned()),
            Some("version") => ("application/json", version()),
            Some("info") => ("application/json", r#"{"SystemTime":"2026-11-22T10:00:00.123456789Z"}"#.to_owned()),
            Some("json") => ("application/json", containers.list(path.contains("all=true"))),
            _ => ("application/json", "{}".to_owned()),
        };
        let shown = if method == "HEAD" { "" } else { &body };
        let head = format!(
            "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nDate: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()).unwrap(),
            body.len()
        );
        stream.get_mut().write_all(format!("{head}{shown}").as_bytes())?;
        stream.get_mut().flush()?;
    }
}

fn version() -> String {
    serde_json::json!({
        "Platform": { "Name": "played" }, "Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24",
        "GitCommit": "0", "GoVersion": "go1", "Os": "linux", "Arch": "amd64", "KernelVersion": "6.12.1-played",
        "BuildTime": "2026-01-01T00:00:00Z",
    })
    .to_string()
}
