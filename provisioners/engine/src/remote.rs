//! Scripts on a host.

use std::time::Duration;

use machine_core::Result;
use machine_ssh::{ExitStatus, Output, Session};

use crate::privilege::{CUT_SHORT, END, Privilege};

/// Runs a script and collects what it says.
pub(crate) fn collect(session: &mut Session, privilege: Privilege, script: &str, limit: Duration) -> Result<Output> {
    let sent = whole(script);
    session.exec_with_input(privilege.command(), &mut sent.as_bytes(), limit)
}

/// Runs a script and hands on what it says as it comes, both outputs in one.
pub(crate) fn stream(
    session: &mut Session,
    privilege: Privilege,
    script: &str,
    limit: Duration,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<ExitStatus> {
    let sent = whole(script);
    let mut given_up = None;
    let status = session.exec_streaming(privilege.command(), &mut sent.as_bytes(), limit, &mut |_, bytes| {
        sink(bytes).map_err(|error| {
            given_up = Some(error);
            std::io::Error::other("given up")
        })
    });
    match given_up {
        Some(error) => Err(error),
        None => status,
    }
}

/// Whether a script succeeds: a question, which changes nothing.
pub(crate) fn holds(session: &mut Session, privilege: Privilege, script: &str) -> Result<bool> {
    let output = collect(session, privilege, script, QUESTION)?;
    match output.status {
        ExitStatus::Code(CUT_SHORT) => output.text("cannot ask the host").map(|_| false),
        status => Ok(status.success()),
    }
}

/// Writes a file that root owns, whole or not at all; `text` does not appear in any command line.
pub(crate) fn write(
    session: &mut Session,
    privilege: Privilege,
    file: &crate::step::File,
    limit: Duration,
) -> Result<()> {
    collect(session, privilege, &file.preparation(), limit)?.text("cannot make the folder").map(drop)?;
    let account = match privilege {
        Privilege::Login => machine_ssh::Account::User,
        Privilege::Sudo => machine_ssh::Account::Root,
    };
    session.upload(file.text.as_bytes(), &file.path, file.mode, account, limit)
}

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(120);

/// What every script stands on: English words, and the folders that some systems' sudo leaves out.
const SURROUNDINGS: &str =
    "LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nexport LC_ALL PATH\n";

fn whole(script: &str) -> String {
    let end = END.trim_end();
    let script = format!("{SURROUNDINGS}{}", script.trim_end());
    if script.ends_with(end) { format!("{script}\n") } else { format!("{script}\n{END}") }
}
