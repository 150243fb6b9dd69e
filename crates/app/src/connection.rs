//! What a Docker client needs to reach a machine: variables, flags, a context. All but the context come from local facts in
//! well under a millisecond: no handshake, no process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use machine_core::{Code, Endpoints, Error, MachineName, MachineRecord, MachineRef, Reporter, Result, ResultExt as _};
use machine_docker::{ContextTls, Contexts, Engine, EngineContext, EngineError, EngineTarget, context_name};

use crate::app::App;
use crate::engine_socket::EngineSocket;
use crate::files;
use crate::shell::{Shell, Statement};

/// How long a supervisor may take from saying that its machine runs until its socket is there.
const SOCKET: Duration = Duration::from_secs(2);

/// How a Docker client reaches a running machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The machine.
    pub name: MachineName,
    /// The engine's TLS port, seen from this computer.
    pub engine: SocketAddr,
    /// What clients are told: with a name for the address, where the engine's owner gave one.
    pub url: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`.
    pub certificates: PathBuf,
    /// The socket that speaks plain Docker API, for a machine of this computer.
    pub socket: Option<EngineSocket>,
}

/// What `env` was asked for.
#[derive(Clone, Debug)]
pub struct EnvOptions {
    /// The shell to speak to.
    pub shell: Shell,
    /// Also except the machine's address from the proxy.
    pub no_proxy: bool,
    /// Point at the machine's socket in place of its TLS port.
    pub socket: bool,
    /// The command as typed, for the usage hint.
    pub command: String,
}

/// The text that `env` prints.
pub type EnvLines = String;

impl Connection {
    /// `DOCKER_HOST`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Whether `host`, a value of `DOCKER_HOST`, leads to this machine.
    pub fn is_at(&self, host: &str) -> bool {
        host == self.url() || self.socket.as_ref().is_some_and(|socket| host == socket.url())
    }

    /// The flags that `config` prints, one a line, docker-machine's to the letter.
    pub fn flags(&self) -> String {
        let file = |name: &str| self.certificates.join(name).display().to_string();
        format!(
            "--tlsverify\n--tlscacert=\"{}\"\n--tlscert=\"{}\"\n--tlskey=\"{}\"\n-H={}",
            file("ca.pem"),
            file("cert.pem"),
            file("key.pem"),
            self.url()
        )
    }

    /// The statements that point a shell's Docker client here. The usage hint comes last.
    ///
    /// # Errors
    /// A path that cannot be written in a shell's text.
    pub fn env(&self, options: &EnvOptions, no_proxy: Option<&(&'static str, String)>) -> Result<EnvLines> {
        let mut statements = self.statements(options.socket)?;
        if options.no_proxy {
            let (variable, present) = no_proxy.map_or(("NO_PROXY", ""), |(name, value)| (*name, value.as_str()));
            statements.push(Statement::Set(variable, excepted(present, &self.engine.ip().to_string())));
        }
        let shell = options.shell;
        Ok(format!("{}\n{}", shell.setting(&statements), shell.usage_hint(&options.command, false)))
    }

    /// What is done to the variables of a Docker client: those of the TLS port, or of the socket.
    ///
    /// # Errors
    /// A path that is no text; no socket.
    pub(crate) fn statements(&self, socket: bool) -> Result<Vec<Statement<'static>>> {
        let name = self.name.as_str();
        let mut statements = if socket {
            let socket = self.socket.as_ref().ok_or_else(|| {
                Error::new(Code::Usage, format!("machine {name:?} has no socket on this computer"))
                    .hint(format!("`machine env {name}` points at its TLS port"))
            })?;
            // The client would speak TLS to a socket, too.
            vec![
                Statement::Unset("DOCKER_TLS_VERIFY"),
                Statement::Set("DOCKER_HOST", socket.url()),
                Statement::Unset("DOCKER_CERT_PATH"),
            ]
        } else {
            let certificates = self.certificates.to_str().ok_or_else(|| {
                Error::other(format!("the path {} is not valid Unicode", self.certificates.display()))
                    .hint("keep machines elsewhere with --storage-path or MACHINE_STORAGE_PATH")
            })?;
            vec![
                Statement::Set("DOCKER_TLS_VERIFY", "1".to_owned()),
                Statement::Set("DOCKER_HOST", self.url()),
                Statement::Set("DOCKER_CERT_PATH", certificates.to_owned()),
            ]
        };
        statements.push(Statement::Set("DOCKER_MACHINE_NAME", name.to_owned()));
        if cfg!(windows) {
            statements.push(Statement::Set("COMPOSE_CONVERT_WINDOWS_PATHS", "true".to_owned()));
        }
        Ok(statements)
    }
}

/// The proxy exceptions with `address` among them.
fn excepted(present: &str, address: &str) -> String {
    if present.split(',').any(|entry| entry.trim() == address) {
        present.to_owned()
    } else if present.is_empty() {
        address.to_owned()
    } else {
        format!("{present},{address}")
    }
}

impl App {
    /// How to reach a machine's engine, from local facts alone.
    ///
    /// # Errors
    /// No such machine, or "Host is not running".
    pub fn connection(&self, name: &MachineName) -> Result<Connection> {
        let record = self.store.load(name)?;
        let endpoints = self.endpoints(&record)?;
        let socket = self.engine_socket(&record)?;
        let url = self.url_of(&record, endpoints)?;
        Ok(Connection {
            name: name.clone(),
            engine: endpoints.engine,
            url,
            certificates: self.store.folder(name),
            socket,
        })
    }

    pub(crate) fn endpoints(&self, record: &MachineRecord) -> Result<Endpoints> {
        let dir = self.store.folder(&record.name);
        let endpoints = self.driver(&record.driver)?.endpoints(MachineRef { record, dir: &dir });
        let endpoints = endpoints.ok_or_else(|| Self::not_running(&record.name))?;
        self.adopt_orphan(record);
        Ok(endpoints)
    }

    /// What clients are told of where a machine's engine is.
    pub(crate) fn url_of(&self, record: &MachineRecord, endpoints: Endpoints) -> Result<String> {
        let dir = self.store.folder(&record.name);
        let said = self.driver(&record.driver)?.url(MachineRef { record, dir: &dir });
        Ok(said.unwrap_or_else(|| format!("tcp://{}", endpoints.engine)))
    }

    /// The statements that undo `env`.
    pub fn env_unset(&self, options: &EnvOptions) -> EnvLines {
        let mut names = vec!["DOCKER_TLS_VERIFY", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_MACHINE_NAME"];
        if cfg!(windows) {
            names.push("COMPOSE_CONVERT_WINDOWS_PATHS");
        }
        if options.no_proxy {
            names.push(self.environment.no_proxy.as_ref().map_or("NO_PROXY", |(name, _)| *name));
        }
        format!("{}\n{}", options.shell.unsetting(&names), options.shell.usage_hint(&options.command, true))
    }

    /// The engine's version at `address`, by one bounded request over mutual TLS.
    pub(crate) async fn engine_version(
        &self,
        record: &MachineRecord,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<String> {
        Ok(Self::ask_version(&self.engine_target(record, address, limit)?).await?)
    }

    /// The version of the engine at `target`.
    pub(crate) async fn ask_version(target: &EngineTarget) -> Result<String, EngineError> {
        let version = Engine::connect(target)?.version().await?;
        Ok(version.version.unwrap_or_else(|| "unknown".to_owned()))
    }

    pub(crate) fn engine_target(
        &self,
        record: &MachineRecord,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<EngineTarget> {
        let dir = self.store.folder(&record.name);
        let read = |file: &str| {
            let path = dir.join(file);
            std::fs::read_to_string(&path).map_err(|error| files::explain(error, "cannot read", &path))
        };
        Ok(EngineTarget {
            machine: record.name.to_string(),
            address,
            server_name: self
                .driver(&record.driver)?
                .server_name(MachineRef { record, dir: &dir })
                .unwrap_or_else(|| "localhost".to_owned()),
            ca_pem: read("ca.pem")?,
            client_cert_pem: read("cert.pem")?,
            client_key_pem: read("key.pem")?,
            timeout,
        })
    }

    pub(crate) fn contexts(&self) -> Result<Contexts> {
        Ok(Contexts::new(self.environment.docker_config.clone(), self.store.id()?.to_string()))
    }

    /// Makes or updates the machine's Docker context. A failure is a warning: the machine itself works.
    pub(crate) fn refresh_context(&self, record: &MachineRecord, endpoints: Endpoints, reporter: &Reporter) {
        if let Err(error) = self.write_context(record, endpoints) {
            reporter.warn(format!("no Docker context for {:?}: {error}", record.name.as_str()));
        }
        self.refresh_ssh_config(reporter);
    }

    fn write_context(&self, record: &MachineRecord, endpoints: Endpoints) -> Result<()> {
        let dir = self.store.folder(&record.name);
        let read = |file: &str| std::fs::read_to_string(dir.join(file)).context(|| format!("cannot read {file}"));
        // Its supervisor may be an older program, which has no socket.
        let socket = self.engine_socket(record)?.filter(|socket| socket.answers_within(SOCKET));
        let (host, tls) = match socket {
            Some(socket) => (socket.url(), None),
            None => {
                let tls = ContextTls { ca: read("ca.pem")?, cert: read("cert.pem")?, key: read("key.pem")? };
                (self.url_of(record, endpoints)?, Some(tls))
            }
        };
        self.contexts()?.write(&EngineContext {
            name: context_name(record.name.as_str()),
            description: format!("machine {} ({})", record.name, record.driver),
            host,
            tls,
        })
    }

    /// The socket of a machine of this computer, where it is while the machine runs.
    pub(crate) fn engine_socket(&self, record: &MachineRecord) -> Result<Option<EngineSocket>> {
        let dir = self.store.folder(&record.name);
        Ok(self.driver(&record.driver)?.engine_socket(MachineRef { record, dir: &dir }).map(EngineSocket::at))
    }

    /// Removes the machine's Docker context, if it is this store's.
    pub(crate) fn remove_context(&self, name: &MachineName, reporter: &Reporter) {
        if let Err(error) =
            self.contexts().and_then(|contexts| contexts.remove(&context_name(name.as_str())).map(|_| ()))
        {
            reporter.warn(format!("the Docker context {:?} was not removed: {error}", name.as_str()));
        }
    }

    /// The folder of a machine, for messages and for tools.
    pub fn folder(&self, name: &MachineName) -> PathBuf {
        self.store.folder(name)
    }

    /// The name of the running machine that `DOCKER_HOST` points to.
    ///
    /// # Errors
    /// docker-machine's text when there is none.
    pub fn active(&self) -> Result<MachineName> {
        let none = || {
            Error::other("No active host found")
                .hint("`eval \"$(machine env NAME)\"` makes a machine active in this terminal")
        };
        let host = self.environment.docker_host.as_deref().ok_or_else(none)?;
        for name in self.store.names()? {
            if let Ok(name) = name.parse::<MachineName>()
                && self.connection(&name).is_ok_and(|connection| connection.is_at(host))
            {
                return Ok(name);
            }
        }
        Err(none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn connection() -> Connection {
        Connection {
            name: "dev".parse().unwrap(),
            engine: "127.0.0.1:2376".parse().unwrap(),
            url: "tcp://127.0.0.1:2376".into(),
            certificates: "/s/machines/dev".into(),
            socket: Some(EngineSocket::at("/run/dev.sock".into())),
        }
    }

    #[cfg(unix)]
    fn options(shell: Shell, no_proxy: bool) -> EnvOptions {
        EnvOptions { shell, no_proxy, socket: false, command: "machine env dev".into() }
    }

    // On Windows paths have backslashes, and `env` prints one variable more.
    #[cfg(unix)]
    #[test]
    fn env_prints_docker_machines_lines_with_the_hint_last() {
        for shell in
            [Shell::Posix, Shell::Fish, Shell::PowerShell, Shell::Cmd, Shell::Tcsh, Shell::Emacs, Shell::Nushell]
        {
            insta::assert_snapshot!(format!("env_{shell}"), connection().env(&options(shell, true), None).unwrap());
        }
    }

    #[cfg(unix)]
    #[test]
    fn env_of_a_socket_undoes_what_belongs_to_tls() {
        let options = EnvOptions { socket: true, ..options(Shell::Posix, true) };
        insta::assert_snapshot!(connection().env(&options, None).unwrap(), @r#"
        unset DOCKER_TLS_VERIFY
        export DOCKER_HOST="unix:///run/dev.sock"
        unset DOCKER_CERT_PATH
        export DOCKER_MACHINE_NAME="dev"
        export NO_PROXY="127.0.0.1"
        # Run this command to configure your shell: 
        # eval $(machine env dev)
        "#);
        let remote = Connection { socket: None, ..connection() };
        assert_eq!(remote.env(&options, None).unwrap_err().code(), Code::Usage);
        assert!(connection().is_at("unix:///run/dev.sock") && connection().is_at("tcp://127.0.0.1:2376"));
    }

    #[test]
    fn proxy_exceptions_keep_what_is_there_and_name_the_address_once() {
        assert_eq!(excepted("", "127.0.0.1"), "127.0.0.1");
        assert_eq!(excepted("a,b", "127.0.0.1"), "a,b,127.0.0.1");
        assert_eq!(excepted("127.0.0.1,b", "127.0.0.1"), "127.0.0.1,b");
        assert_eq!(excepted("127.0.0.11", "127.0.0.1"), "127.0.0.11,127.0.0.1");
    }

    #[cfg(unix)]
    #[test]
    fn config_prints_five_lines_with_literal_quotes() {
        insta::assert_snapshot!(connection().flags());
    }
}
