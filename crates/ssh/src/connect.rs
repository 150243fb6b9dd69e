//! A session: connected, the host key checked, logged in.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use machine_core::{Code, Error, Result, SshTarget};
use ssh2::{BlockDirections, ErrorCode, MethodType};
use zeroize::Zeroizing;

use crate::host_key::{HostKey, describe};
use crate::readiness::{Interest, wait};

/// How often a silent connection is asked for a sign of life.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(15);

/// How long a server that accepts may say nothing, while a machine boots: QEMU's user network accepts for a guest whose
/// sshd does not run yet.
const BANNER_LIMIT: Duration = Duration::from_secs(5);

/// Time between two attempts while a machine boots.
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// Nothing listens at the address.
    Refused,
    /// No answer within the limit.
    TimedOut,
    /// The connection was made and then closed before the login was decided: what a machine that still boots does.
    Closed,
    /// The network does not lead there.
    Unreachable,
    /// Another key than the pinned one. Nothing was sent to that server.
    HostKey,
    /// The server refuses the user or the key.
    Login,
    /// The private key or the pinned host key on this computer cannot be used.
    Local,
    /// What answers does not speak SSH as we do.
    Protocol,
}

impl ConnectFailure {
    /// Whether waiting may help: the machine may still be booting.
    pub fn is_not_yet(self) -> bool {
        matches!(self, Self::Refused | Self::TimedOut | Self::Closed | Self::Unreachable)
    }
}

/// An error of connecting, with its kind. `?` turns it into an [`Error`].
pub struct ConnectError {
    /// What a caller that polls decides on.
    pub failure: ConnectFailure,
    /// What a person reads.
    pub error: Error,
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        error.error
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.failure, self.error)
    }
}

/// Why an operation on the connection ended without a result.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Its own limit passed.
    TimedOut,
    /// libssh2's reason.
    Ssh(ssh2::Error),
    /// The socket's reason.
    Socket(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

pub(crate) fn would_block(error: &ssh2::Error) -> bool {
    // LIBSSH2_ERROR_EAGAIN (libssh2.h).
    error.code() == ErrorCode::Session(-37)
}

/// A logged-in connection to one machine. One thing at a time runs on it; it is closed when dropped.
pub struct Session {
    pub(crate) ssh: ssh2::Session,
    pub(crate) socket: TcpStream,
    /// `machine "dev" (127.0.0.1:2222)`, for messages.
    pub(crate) peer: String,
    /// Set when a limit passed half-way through something: what the connection would say next is unknown.
    pub(crate) spoilt: bool,
}

impl Session {
    /// Connects, checks the host key against the pinned one, and logs in with the machine's private key (and nothing
    /// else: no agent, no password), all within `limit`.
    ///
    /// # Errors
    /// Each with its [`ConnectFailure`]. A wrong host key has the code [`Code::HostKey`], limits have [`Code::TimedOut`].
    pub fn connect(target: &SshTarget, limit: Duration) -> Result<Self, ConnectError> {
        let now = Instant::now();
        Self::attempt(target, now + limit, now + limit)
    }

    /// Connects to a machine that may still be booting: tries again while the failure is one that waiting may cure.
    ///
    /// `between` hears of every failed attempt and may end the waiting, because the machine has died, say.
    ///
    /// # Errors
    /// The last attempt's, when `limit` has passed or waiting does not help.
    pub fn connect_when_up(
        target: &SshTarget,
        limit: Duration,
        mut between: impl FnMut(&ConnectError) -> ControlFlow<()>,
    ) -> Result<Self, ConnectError> {
        let deadline = Instant::now() + limit;
        loop {
            let error = match Self::attempt(target, (Instant::now() + BANNER_LIMIT).min(deadline), deadline) {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            tracing::debug!(machine = target.machine, failure = ?error.failure, "ssh is not up: {error}");
            if !error.failure.is_not_yet() || between(&error).is_break() || Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The key that the server at `address` shows, for a person to confirm. Nothing else is said to it.
    ///
    /// # Errors
    /// As [`Self::connect`], as far as that gets before the login.
    pub fn shown_host_key(address: SocketAddr, limit: Duration) -> Result<HostKey, ConnectError> {
        let deadline = Instant::now() + limit;
        let mut session = Self::open(address, format!("the host {address}"), &HostKey::any(), deadline)?;
        session.shake_hands(deadline, deadline)?;
        let blob = session.ssh.host_key().map(|(blob, _)| blob.to_vec()).unwrap_or_default();
        HostKey::from_wire(&blob).map_err(|error| ConnectError { failure: ConnectFailure::Protocol, error })
    }

    fn attempt(target: &SshTarget, banner_by: Instant, deadline: Instant) -> Result<Self, ConnectError> {
        let peer = format!("machine {:?} ({})", target.machine, target.address);
        let pinned: HostKey = target.host_key.parse().map_err(|error: Error| ConnectError {
            failure: ConnectFailure::Local,
            error: error.within(format!("the pinned host key of {peer} cannot be read")),
        })?;
        let key = read_key(&target.key, &target.machine)?;
        let mut session = Self::open(target.address, peer, &pinned.preference(), deadline)?;
        session.shake_hands(banner_by, deadline)?;
        session.check_host_key(&pinned, &target.machine)?;
        session.log_in(&target.user, &key, deadline)?;
        Ok(session)
    }

    /// Connects, and says nothing yet.
    fn open(address: SocketAddr, peer: String, host_keys: &str, deadline: Instant) -> Result<Self, ConnectError> {
        let socket = open(address, &peer, deadline)?;
        let prepared = (|| {
            let mut ssh = ssh2::Session::new()?;
            ssh.set_tcp_stream(socket.try_clone().map_err(|_| ssh2::Error::unknown())?);
            ssh.set_blocking(false);
            ssh.method_pref(MethodType::HostKey, host_keys)?;
            ssh.set_keepalive(true, u32::try_from(KEEPALIVE.as_secs()).unwrap_or(u32::MAX));
            Ok::<_, ssh2::Error>(ssh)
        })();
        let ssh = prepared.map_err(|error| ConnectError {
            failure: ConnectFailure::Local,
            error: Error::other("cannot set up an SSH session").because(error),
        })?;
        Ok(Self { ssh, socket, peer, spoilt: false })
    }

    fn shake_hands(&mut self, banner_by: Instant, deadline: Instant) -> Result<(), ConnectError> {
        let mut ssh = self.ssh.clone();
        let limit = |ssh: &ssh2::Session| match ssh.banner_bytes() {
            None => banner_by,
            Some(banner) if banner.starts_with(b"SSH-") => deadline,
            // libssh2 takes any line for a banner and would wait for more.
            Some(_) => Instant::now(),
        };
        let fault = match self.retry(limit, || ssh.handshake()) {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        match self.ssh.banner_bytes() {
            None => Err(self.refusal(fault, "waiting for its SSH banner")),
            Some(banner) if banner.starts_with(b"SSH-") => Err(self.refusal(fault, "agreeing on keys")),
            Some(banner) => {
                let said = String::from_utf8_lossy(&banner[..banner.len().min(60)]).into_owned();
                let error = Error::other(format!("{} does not speak SSH: its banner is {said:?}", self.peer));
                Err(ConnectError { failure: ConnectFailure::Protocol, error })
            }
        }
    }

    fn check_host_key(&self, pinned: &HostKey, machine: &str) -> Result<(), ConnectError> {
        let shown = self.ssh.host_key().map(|(blob, _)| blob.to_vec()).unwrap_or_default();
        if pinned.matches(&shown) {
            return Ok(());
        }
        let error = Error::new(
            Code::HostKey,
            format!(
                "the host key of {} is not the pinned one (pinned: {} {}, got: {}); nothing was sent to it",
                self.peer,
                pinned.algorithm(),
                pinned.fingerprint(),
                describe(&shown),
            ),
        )
        .hint("something else answers at that address, or the machine was made anew outside `machine`")
        .hint(format!("if it was made anew: `machine rm {machine}`, then `machine create {machine}`"));
        Err(ConnectError { failure: ConnectFailure::HostKey, error })
    }

    fn log_in(&self, user: &str, key: &Zeroizing<String>, deadline: Instant) -> Result<(), ConnectError> {
        let logged_in = self.retry(|_| deadline, || self.ssh.userauth_pubkey_memory(user, None, key, None));
        let fault = match logged_in {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        // LIBSSH2_ERROR_AUTHENTICATION_FAILED, _PUBLICKEY_UNVERIFIED (libssh2.h): the server has decided.
        if let Fault::Ssh(error) = &fault
            && matches!(error.code(), ErrorCode::Session(-18 | -19))
        {
            let error = Error::other(format!("{} refuses user {user:?} with the machine's key", self.peer))
                .hint("the account or its authorized_keys was changed inside the machine");
            return Err(ConnectError { failure: ConnectFailure::Login, error });
        }
        Err(self.refusal(fault, "logging in"))
    }

    /// What a fault before the login means.
    fn refusal(&self, fault: Fault, doing: &str) -> ConnectError {
        let peer = &self.peer;
        match fault {
            Fault::TimedOut => ConnectError {
                failure: ConnectFailure::TimedOut,
                error: Error::new(Code::TimedOut, format!("{peer} did not answer in time while {doing}")),
            },
            Fault::Ssh(error) if !self.is_gone(&error) => ConnectError {
                failure: ConnectFailure::Protocol,
                error: Error::other(format!("SSH with {peer} failed while {doing}")).because(error),
            },
            Fault::Ssh(_) | Fault::Socket(_) => {
                let said = self.ssh.userauth_banner().ok().flatten().map(str::trim).filter(|text| !text.is_empty());
                let said = said.map(|text| format!(" (it said: {text})")).unwrap_or_default();
                ConnectError {
                    failure: ConnectFailure::Closed,
                    error: Error::other(format!("{peer} closed the connection while {doing}{said}"))
                        .hint("the machine may still be booting"),
                }
            }
        }
    }

    /// Whether the other side has closed the connection, whichever of its errors libssh2 made of that.
    pub(crate) fn is_gone(&self, error: &ssh2::Error) -> bool {
        // LIBSSH2_ERROR_SOCKET_SEND, _SOCKET_DISCONNECT, _SOCKET_RECV (libssh2.h).
        if matches!(error.code(), ErrorCode::Session(-7 | -13 | -43)) {
            return true;
        }
        match self.socket.peek(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Repeats `operation` until it no longer would block.
    pub(crate) fn retry<T>(
        &self,
        limit: impl Fn(&ssh2::Session) -> Instant,
        mut operation: impl FnMut() -> Result<T, ssh2::Error>,
    ) -> Result<T, Fault> {
        loop {
            match operation() {
                Err(error) if would_block(&error) => {}
                result => return result.map_err(Fault::Ssh),
            }
            let left = limit(&self.ssh).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::TimedOut);
            }
            let write = matches!(self.ssh.block_directions(), BlockDirections::Outbound | BlockDirections::Both);
            wait(&self.socket, Interest { read: true, write }, None, left)?;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.spoilt {
            // One attempt, as far as the socket takes it: politeness must not block.
            let _ = self.ssh.disconnect(None, "done", None);
        }
        // libssh2 frees what hangs on the session only when it cannot say goodbye to it any more.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session with {}", self.peer)
    }
}

fn read_key(path: &Path, machine: &str) -> Result<Zeroizing<String>, ConnectError> {
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| ConnectError {
        failure: ConnectFailure::Local,
        error: Error::other(format!("cannot read the private key of machine {machine:?}, {}", path.display()))
            .because(error),
    })
}

fn open(address: SocketAddr, peer: &str, deadline: Instant) -> Result<TcpStream, ConnectError> {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut, WouldBlock};
    // `connect_timeout` refuses a limit of zero.
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let opened = TcpStream::connect_timeout(&address, left).and_then(|socket| {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    opened.map_err(|error| {
        let (failure, code) = match error.kind() {
            ConnectionRefused => (ConnectFailure::Refused, Code::Other),
            TimedOut | WouldBlock => (ConnectFailure::TimedOut, Code::TimedOut),
            ConnectionReset => (ConnectFailure::Closed, Code::Other),
            _ => (ConnectFailure::Unreachable, Code::Other),
        };
        ConnectError { failure, error: Error::new(code, format!("cannot connect to {peer}")).because(error) }
    })
}
