//! One request over one mutual-TLS connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bollard::BollardRequest;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use machine_core::{Error, Result, ResultExt};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::engine::EngineTarget;
use crate::failure::{EngineError, EngineFailure};

/// TLS that trusts the certificates of `ca` and nothing else, and shows the client certificate.
pub(crate) fn tls(ca: &[u8], certificate: &[u8], key: &[u8]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(ca, "the certificate authority")? {
        roots.add(authority).context(|| "the certificate authority cannot be used".into())?;
    }
    let chain = certificates(certificate, "the client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| Error::other(format!("the client key cannot be read: {error}")))?;
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context(|| "TLS cannot be set up".into())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .context(|| "the client certificate and key cannot be used".into())
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::other(format!("{what} cannot be read: {error}")))?;
    if found.is_empty() { Err(Error::other(format!("{what} holds no certificate"))) } else { Ok(found) }
}

/// The way to one engine. A connection per request: an engine is asked now and then, and a connection kept open would
/// only be found broken after the machine was restarted. TLS sessions are resumed.
#[derive(Clone)]
pub(crate) struct Way {
    pub address: SocketAddr,
    pub name: ServerName<'static>,
    pub tls: Arc<ClientConfig>,
}

impl Way {
    /// The way to `target`; nothing is sent.
    pub(crate) fn to(target: &EngineTarget) -> Result<Self, EngineError> {
        let EngineTarget { address, server_name, ca_pem, client_cert_pem, client_key_pem, .. } = target;
        let peer = target.peer();
        let local = |error: Error| EngineError {
            failure: EngineFailure::Local,
            error: error.within(format!("cannot prepare TLS to {peer}")),
        };
        let name = ServerName::try_from(server_name.clone())
            .map_err(|error| local(Error::other(format!("{server_name:?} is no name of a server")).because(error)))?;
        let tls = tls(ca_pem.as_bytes(), client_cert_pem.as_bytes(), client_key_pem.as_bytes()).map_err(local)?;
        Ok(Self { address: *address, name, tls: Arc::new(tls) })
    }

    /// A new connection, its handshake done.
    pub(crate) async fn open(&self) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(&self.tls)).connect(self.name.clone(), socket).await
    }

    pub(crate) async fn send(self, mut request: BollardRequest) -> Result<Response<Incoming>, bollard::errors::Error> {
        let stream = self.open().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection to an engine ended: {error}");
            }
        });
        let host = HeaderValue::from_str(&self.name.to_str()).map_err(io::Error::other)?;
        request.headers_mut().insert(HOST, host);
        // On a connection of its own a request names the path alone (RFC 9112, 3.2.1).
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(io::Error::other)?;
        Ok(sender.send_request(request).await?)
    }
}
