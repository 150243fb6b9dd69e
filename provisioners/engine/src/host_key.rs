//! A new host key for a host whose first one was handed to it where others may read it (user data): made on the host, so that
//! its private half has never been anywhere else, and told over a connection that the first key vouches for.

use std::time::Duration;

use machine_core::{Error, Result, SshTarget};
use machine_ssh::{ConnectFailure, HostKey, Session};

use crate::facts::{self, Facts};
use crate::privilege::Privilege;
use crate::remote;
use crate::runner::log_in;

/// How long each half may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Makes the new key beside the old one, once, and prints its public half. A run that broke off while it was put in place
/// left the public half behind.
const MAKE: &str = "\
set -e
key=/etc/ssh/ssh_host_ed25519_key
new=$key.machine
if [ -e $new.pub ] && ! [ -e $new ]; then
    mv -f $new.pub $key.pub
fi
if ! [ -s $new.pub ]; then
    rm -f $new $new.pub
    ssh-keygen -q -t ed25519 -N '' -C '' -f $new
fi
cat $new.pub
";

/// Puts it in place and has sshd read it. Nobody is cut off: connections that are there keep their keys.
const INSTALL: &str = "\
set -e
key=/etc/ssh/ssh_host_ed25519_key
new=$key.machine
if [ -e $new ]; then
    mv -f $new $key
fi
if [ -e $new.pub ]; then
    mv -f $new.pub $key.pub
fi
if command -v restorecon >/dev/null; then
    restorecon $key $key.pub
fi
for unit in ssh sshd; do
    if systemctl is-active --quiet $unit.service; then
        systemctl reload $unit.service || systemctl restart $unit.service
    fi
done
";

/// The change of a host's key.
pub struct HostKeyChange {
    /// How to log in, with the first key.
    pub target: SshTarget,
    /// The key that an earlier run made, where it came that far: the host may have it in place.
    pub next: Option<String>,
    /// How long the host may still be booting.
    pub boot_limit: Duration,
    /// Says, often, whether to go on.
    pub go_on: Box<dyn Fn() -> Result<()> + Send>,
}

/// A key that was made and is not in place yet.
pub struct NewHostKey {
    session: Session,
    privilege: Privilege,
    key: String,
}

impl HostKeyChange {
    /// Logs in and has the key made. Blocks.
    ///
    /// # Errors
    /// A host that does not let us in, or what its tools say; nothing has changed for anybody then.
    pub fn make(&self) -> Result<NewHostKey> {
        let mut in_place = None;
        let mut session = match (log_in(&self.target, self.boot_limit, &*self.go_on), &self.next) {
            (Ok(session), _) => session,
            (Err(error), Some(next)) if error.failure == ConnectFailure::HostKey => {
                let target = SshTarget { host_key: next.clone(), ..self.target.clone() };
                in_place = Some(next.clone());
                log_in(&target, self.boot_limit, &*self.go_on)?
            }
            (Err(error), _) => return Err(error.into()),
        };
        let look = remote::collect(&mut session, Privilege::Login, facts::SCRIPT, LIMIT)?
            .text("the host cannot be looked at")?;
        let privilege = Privilege::of(&Facts::parse(&look, 0)?)?;
        let key = match in_place {
            Some(key) => key,
            None => {
                let said =
                    remote::collect(&mut session, privilege, MAKE, LIMIT)?.text("the host cannot make a host key")?;
                let key: HostKey =
                    said.trim().parse().map_err(|error: Error| error.within("what the host made is no key"))?;
                key.to_string()
            }
        };
        Ok(NewHostKey { session, privilege, key })
    }
}

impl NewHostKey {
    /// Its public half.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Puts it in place. Blocks.
    ///
    /// # Errors
    /// What the host's tools say; it may or may not be in place then.
    pub fn install(mut self) -> Result<()> {
        remote::collect(&mut self.session, self.privilege, INSTALL, LIMIT)?
            .text("the host cannot take its new host key")
            .map(drop)
    }
}
