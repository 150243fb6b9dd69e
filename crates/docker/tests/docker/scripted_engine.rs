//! A TLS server that asks for a client certificate and answers paths with what a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::authority::{Authority, Identity};

type Answer = Box<dyn Fn(&str) -> String + Send>;

pub struct ScriptedEngine {
    pub address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl ScriptedEngine {
    /// An engine with `identity` that lets in clients of `clients` only. `answer` turns the first line of a request, and
    /// its body in a second one if it has any, into the whole response.
    pub fn start(identity: &Identity, clients: &Authority, answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let answer: Answer = Box::new(answer);
        Self::listen(move |stream| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            // A client that is refused, or refuses, ends this connection with an error.
            let _ = serve(StreamOwned::new(connection, stream), &answer);
        })
    }

    /// A listener that does `with` to every connection.
    pub fn listen(with: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                with(stream.unwrap());
            }
        });
        Self { address, ended }
    }
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: StreamOwned<ServerConnection, TcpStream>, answer: &Answer) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first)?;
    let mut asked = first.trim_end().to_owned();
    let mut line = String::new();
    let mut length = 0;
    while stream.read_line(&mut line)? > 2 {
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    if length > 0 {
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        asked = format!("{asked}\n{}", String::from_utf8(body).unwrap());
    }
    let stream = stream.get_mut();
    stream.write_all(answer(&asked).as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// A response with a JSON or text body.
pub fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
