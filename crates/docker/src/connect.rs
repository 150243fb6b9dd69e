//! One request over one mutual-TLS connection.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::BollardRequest;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
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

/// The way to one engine. A connection at rest is used again: where nothing computes fast, a handshake takes longer than most
/// answers. One that has ended meanwhile, with the engine or the machine, is replaced.
#[derive(Clone)]
pub(crate) struct Way {
    pub address: SocketAddr,
    pub name: ServerName<'static>,
    pub tls: Arc<ClientConfig>,
    pub rest: Arc<Mutex<Option<Sender>>>,
}

/// The sending side of a connection.
pub(crate) type Sender = SendRequest<<BollardRequest as Sends>::Body>;

/// What a request carries; its type has no public name.
pub(crate) trait Sends {
    type Body;
}

impl<B> Sends for hyper::Request<B> {
    type Body = B;
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
        Ok(Self { address: *address, name, tls: Arc::new(tls), rest: Arc::default() })
    }

    /// A new connection, its handshake done.
    pub(crate) async fn open(&self) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(&self.tls)).connect(self.name.clone(), socket).await
    }

    pub(crate) async fn send(self, mut request: BollardRequest) -> Result<Response<Incoming>, bollard::errors::Error> {
        let host = HeaderValue::from_str(&self.name.to_str()).map_err(io::Error::other)?;
        request.headers_mut().insert(HOST, host);
        // On a connection of its own a request names the path alone (RFC 9112, 3.2.1).
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(io::Error::other)?;
        let rested = self.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        // One that still carries an answer, such as a stream of events, is nobody else's.
        if let Some(mut sender) = rested.filter(SendRequest::is_ready) {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.keep(sender, response)),
                // It was not sent: the connection had ended.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await?;
        Ok(self.keep(sender, response))
    }

    fn keep(&self, sender: Sender, response: Response<Incoming>) -> Response<Incoming> {
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        response
    }

    async fn connect(&self) -> Result<Sender, bollard::errors::Error> {
        let stream = self.open().await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // A terminal takes the connection over.
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!("the connection to an engine ended: {error}");
            }
        });
        Ok(sender)
    }
}
