//! Why an engine did not answer.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use machine_core::{Code, Error};
use rustls::{AlertDescription, CertificateError};

/// The kinds of failure that a caller decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineFailure {
    /// Nothing listens at the address.
    Refused,
    /// No answer within the limit.
    TimedOut,
    /// The connection was made and then closed or reset: QEMU's user network accepts for a guest whose engine is not up.
    NotUp,
    /// The network does not lead there.
    Unreachable,
    /// The server certificate's time has not come: the clock of this computer or of the machine is wrong.
    CertificateNotYetValid,
    /// The server certificate has expired, or this computer's clock is ahead.
    CertificateExpired,
    /// The server certificate is for other names.
    CertificateName,
    /// The server certificate comes from another authority than this store's: another machine answers.
    CertificateUntrusted,
    /// The engine refuses our client certificate.
    ClientRefused,
    /// The engine answered with this HTTP error.
    Http(u16),
    /// The certificates or the key on this computer cannot be used.
    Local,
    /// What answers does not speak Docker's API as we do.
    Protocol,
}

impl EngineFailure {
    /// Whether waiting may help: the machine may still be booting.
    pub fn is_not_yet(self) -> bool {
        matches!(self, Self::Refused | Self::TimedOut | Self::NotUp | Self::Unreachable)
    }
}

/// An error of an engine, with its kind. `?` turns it into an [`Error`].
pub struct EngineError {
    /// What a caller decides on.
    pub failure: EngineFailure,
    /// What a person reads.
    pub error: Error,
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        error.error
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.failure, self.error)
    }
}

/// What an error of bollard, hyper, rustls or a socket means for `peer` (`machine "dev" (127.0.0.1:2376)`).
pub(crate) fn explain(peer: &str, error: bollard::errors::Error) -> EngineError {
    use bollard::errors::Error::{
        DockerResponseServerError, HyperResponseError, IOError, JsonDataError, RequestTimeoutError,
    };
    match error {
        DockerResponseServerError { status_code, message } => EngineError {
            failure: EngineFailure::Http(status_code),
            error: Error::other(format!("the engine of {peer} answered {status_code}: {}", message.trim())),
        },
        RequestTimeoutError => timed_out(peer),
        IOError { err } => judge(peer, err),
        HyperResponseError { err } => judge(peer, err),
        error @ JsonDataError { .. } => EngineError {
            failure: EngineFailure::Protocol,
            error: Error::other(format!("the engine of {peer} gave an answer that is not Docker's")).because(error),
        },
        error => judge(peer, error),
    }
}

/// The error of a call whose limit passed.
pub(crate) fn timed_out(peer: &str) -> EngineError {
    EngineError {
        failure: EngineFailure::TimedOut,
        error: Error::new(Code::TimedOut, format!("the engine of {peer} did not answer in time")),
    }
}

/// Finds the deepest known cause and names it.
pub(crate) fn judge(peer: &str, error: impl StdError + Send + Sync + 'static) -> EngineError {
    let (failure, what, hints): (EngineFailure, String, &[&str]) = if let Some(tls) = find::<rustls::Error>(&error) {
        of_tls(tls)
    } else if let Some(socket) = find::<io::Error>(&error) {
        of_socket(socket.kind())
    } else if find::<hyper::Error>(&error)
        .is_some_and(|e| e.is_incomplete_message() || e.is_canceled() || e.is_closed())
    {
        of_socket(io::ErrorKind::UnexpectedEof)
    } else {
        (EngineFailure::Protocol, "does not speak Docker's API as expected".into(), &[])
    };
    let code = if failure == EngineFailure::TimedOut { Code::TimedOut } else { Code::Other };
    let mut told = Error::new(code, format!("the engine of {peer} {what}")).because(error);
    for hint in hints {
        told = told.hint(*hint);
    }
    EngineError { failure, error: told }
}

fn of_socket(kind: io::ErrorKind) -> (EngineFailure, String, &'static [&'static str]) {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, TimedOut, UnexpectedEof};
    match kind {
        ConnectionRefused => (EngineFailure::Refused, "is not reachable: nothing listens there".into(), &[]),
        TimedOut => (EngineFailure::TimedOut, "did not answer in time".into(), &[]),
        ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => {
            (EngineFailure::NotUp, "closed the connection".into(), &["the machine may still be booting"])
        }
        _ => (EngineFailure::Unreachable, "is not reachable".into(), &[]),
    }
}

fn of_tls(error: &rustls::Error) -> (EngineFailure, String, &'static [&'static str]) {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked, CertificateUnknown,
        DecryptError, UnknownCA, UnsupportedCertificate,
    };
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                EngineFailure::CertificateNotYetValid,
                "shows a certificate that is not valid yet".into(),
                &["the clock of this computer is behind, or the machine's was ahead when it was made: set the clock"],
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                EngineFailure::CertificateExpired,
                "shows a certificate that has expired".into(),
                &["`machine regenerate-certs` or a restart of the machine renews it", "check this computer's clock"],
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                EngineFailure::CertificateName,
                "shows a certificate for other names".into(),
                &["`machine regenerate-certs` makes one for its present address; `--tls-san` adds names"],
            ),
            _ => (
                EngineFailure::CertificateUntrusted,
                "shows a certificate that this store's authority has not made".into(),
                &["another machine, or a machine of another store, answers at that address"],
            ),
        },
        rustls::Error::AlertReceived(
            AccessDenied
            | BadCertificate
            | CertificateExpired
            | CertificateRequired
            | CertificateRevoked
            | CertificateUnknown
            | DecryptError
            | UnknownCA
            | UnsupportedCertificate,
        ) => (
            EngineFailure::ClientRefused,
            "refuses this store's client certificate".into(),
            &["it was expired or made by another store, or the machine's clock is wrong: `machine regenerate-certs`"],
        ),
        _ => (EngineFailure::Protocol, "does not speak TLS as expected".into(), &[]),
    }
}

/// Looks for a cause of type `T`, also inside the errors that [`io::Error`] wraps, the deepest first.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let inner = match error.downcast_ref::<io::Error>() {
        Some(wrapper) => wrapper.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    };
    inner.and_then(find).or_else(|| error.downcast_ref())
}
