//! How commands become root's.

use machine_core::{Error, Result};

use crate::facts::{Facts, Sudo};

/// In whose name a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// The login user's.
    Login,
    /// Root's, by sudo.
    Sudo,
}

/// The last line of every script that is sent: one that was cut short on its way is not run.
pub(crate) const END: &str = "# end of script\n";

/// The exit code of a script that was cut short on its way.
pub(crate) const CUT_SHORT: i32 = 97;

impl Privilege {
    /// How root's work is done on this host.
    ///
    /// # Errors
    /// When the login user cannot become root without being asked.
    pub(crate) fn of(facts: &Facts) -> Result<Self> {
        let user = &facts.user;
        let rule = format!("as root, once: `echo '{user} ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/90-{user}`");
        match &facts.sudo {
            Sudo::Root => Ok(Self::Login),
            Sudo::Free => Ok(Self::Sudo),
            Sudo::Missing => Err(Error::other(format!("there is no sudo on the host, and {user:?} is not root"))
                .hint("install the package sudo there, or log in as root (--generic-ssh-user root)")),
            Sudo::Password => {
                Err(Error::other(format!("sudo wants a password of {user:?}, and nobody can type it here")).hint(rule))
            }
            Sudo::Refused(words) => Err(Error::other(format!("sudo refuses {user:?}: {words}"))
                .hint(rule)
                .hint("or log in as another user")),
        }
    }

    /// The command to which a script is sent on standard input. It reads all of it first, so that no program that it starts
    /// reads on from there, and works with whatever login shell the user has.
    pub(crate) fn command(self) -> &'static str {
        const SHELL: &str = concat!(
            "sh -c 'script=$(cat); case $script in *\"# end of script\") ;; ",
            "*) echo \"the script was cut short on its way\" >&2; exit 97 ;; esac; exec </dev/null; eval \"$script\"'"
        );
        match self {
            Self::Login => SHELL,
            Self::Sudo => {
                const COMMAND: &str = concat!(
                    "sudo -n sh -c 'script=$(cat); case $script in *\"# end of script\") ;; ",
                    "*) echo \"the script was cut short on its way\" >&2; exit 97 ;; esac; exec </dev/null; eval \"$script\"'"
                );
                COMMAND
            }
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn sent(script: &str) -> std::process::Output {
        let mut child = Command::new("sh")
            .args(["-c", Privilege::Login.command()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    #[test]
    fn a_script_runs_whole_or_not_at_all_and_its_programs_read_nothing_of_it() {
        let whole = format!("cat\necho 'a  \"b\" $HOME'\nexit 3\n{END}");
        let output = sent(&whole);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), b"a  \"b\" $HOME\n".as_slice()));
        let cut = sent(&whole[..whole.len() - 3]);
        assert_eq!((cut.status.code(), cut.stdout.as_slice()), (Some(97), b"".as_slice()));
    }
}
