//! Files to and from a machine, by nothing more than its shell.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use machine_core::{Error, Result, ResultExt};

use crate::connect::Session;
use crate::exec::{Output, Stream};

/// In whose name a file is read or written inside the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The login user's.
    User,
    /// The administrator's, by `sudo` without a password.
    Root,
}

/// One word for a POSIX shell, whatever characters it has.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Session {
    /// Writes a file inside the machine. It appears whole, with `mode`, or not at all.
    ///
    /// # Errors
    /// What the machine's shell says, or as [`Self::exec`].
    pub fn upload(&mut self, bytes: &[u8], path: &str, mode: u32, account: Account, limit: Duration) -> Result<()> {
        self.upload_from(&mut &*bytes, bytes.len() as u64, path, mode, account, limit)
    }

    /// As [`Self::upload`], from a local file.
    ///
    /// # Errors
    /// As [`Self::upload`], and a local file that cannot be read or changes meanwhile.
    pub fn upload_file(
        &mut self,
        local: &Path,
        path: &str,
        mode: u32,
        account: Account,
        limit: Duration,
    ) -> Result<()> {
        let reading = || format!("cannot read {}", local.display());
        let mut file = File::open(local).context(reading)?;
        let length = file.metadata().context(reading)?.len();
        self.upload_from(&mut file, length, path, mode, account, limit)
    }

    /// As [`Self::upload`], of `length` bytes from `input`.
    ///
    /// # Errors
    /// As [`Self::upload`], and an input that fails or ends early.
    pub fn upload_from(
        &mut self,
        input: &mut dyn Read,
        length: u64,
        path: &str,
        mode: u32,
        account: Account,
        limit: Duration,
    ) -> Result<()> {
        let output = self.exec_with_input(&as_account(&upload_script(path, length, mode), account), input, limit)?;
        let doing = format!("cannot write {path} on {}", self.peer);
        output.text(&doing).map(drop)
    }

    /// Reads a file inside the machine into `local`.
    ///
    /// # Errors
    /// What the machine's shell says, or as [`Self::exec`].
    pub fn download(&mut self, path: &str, local: &mut dyn Write, account: Account, limit: Duration) -> Result<()> {
        let mut stderr = Vec::new();
        let command = as_account(&format!("exec cat -- {}", quote(path)), account);
        let status = self.exec_streaming(&command, &mut io::empty(), limit, &mut |stream, bytes| match stream {
            Stream::Stdout => local.write_all(bytes),
            Stream::Stderr => {
                complain(&mut stderr, bytes);
                Ok(())
            }
        })?;
        let output = Output { status, stdout: Vec::new(), stderr };
        let doing = format!("cannot read {path} on {}", self.peer);
        output.text(&doing).map(drop)?;
        local.flush().map_err(|e| Error::other(format!("cannot keep what was read from {path}")).because(e))
    }
}

/// Adds to what a machine complains of, up to a limit: it must not fill this computer's memory.
pub fn complain(said: &mut Vec<u8>, more: &[u8]) {
    const LONGEST: usize = 1 << 20;
    said.extend_from_slice(&more[..more.len().min(LONGEST.saturating_sub(said.len()))]);
}

/// Counts what has arrived before it takes the place of the old file: the end of a broken connection looks like the end
/// of the input.
fn upload_script(path: &str, length: u64, mode: u32) -> String {
    let path = quote(path);
    format!(
        "set -e; umask 077; new={path}.$$.new; trap 'rm -f -- \"$new\"' EXIT; cat >\"$new\"; \
         [ \"$(wc -c <\"$new\")\" -eq {length} ] || {{ echo 'the input was cut short' >&2; exit 1; }}; \
         chmod {mode:o} -- \"$new\"; mv -f -- \"$new\" {path}"
    )
}

fn as_account(script: &str, account: Account) -> String {
    let shell = format!("sh -c {}", quote(script));
    match account {
        Account::User => shell,
        Account::Root => format!("sudo -n {shell}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_survives_any_characters() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $HOME `x`"), r"'it'\''s $HOME `x`'");
    }

    #[cfg(unix)]
    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
        #[test]
        fn a_real_shell_gives_back_the_quoted_word(word in "[^\\x00]{0,40}") {
            let script = format!("printf %s {}", quote(&word));
            let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            proptest::prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }
}
