//! What a host is given for somebody who is to work on it: images, a password, files in the account's home, another end.

use std::time::Duration;

use jiff::Timestamp;
use machine_core::{Code, Error, Result, SshTarget};
use machine_ssh::{ExitStatus, quote};

use crate::accounts::{check_account_name, open};
use crate::remote;

/// How long one image or repository may take to come.
const FETCH: Duration = Duration::from_secs(20 * 60);
const LIMIT: Duration = Duration::from_secs(120);

/// Pulls images on a host. What is there already is not pulled again. Blocks.
///
/// # Errors
/// The image that cannot be had, with the engine's words.
pub fn pull_images(target: &SshTarget, images: &[String]) -> Result<()> {
    let (mut session, privilege, _) = open(target)?;
    for image in images {
        let name = quote(image);
        let script = format!(
            "docker image inspect -- {name} >/dev/null 2>&1 || docker pull -q -- {name} >/dev/null || docker pull -q -- {name}\n"
        );
        remote::collect(&mut session, privilege, &script, FETCH)?.text(&format!("cannot pull the image {image:?}"))?;
    }
    Ok(())
}

/// Sets the password of an account and lets it in by that, the account alone. The password appears in no command line. Blocks.
///
/// # Errors
/// What the host's tools say.
pub fn set_password(target: &SshTarget, account: &str, password: &str) -> Result<()> {
    check_account_name(account)?;
    let line = format!("{account}:{password}");
    if line.contains(|c: char| c.is_control()) {
        return Err(Error::new(Code::Usage, "a password has no control characters"));
    }
    let (mut session, privilege, _) = open(target)?;
    // A `Match` in a file of its own ends with that file (sshd_config(5), Include).
    let script = format!(
        "set -e\numask 077\n\
         printf '%s\\n' {line} | chpasswd\n\
         folder=/etc/ssh/sshd_config.d\n\
         file=$folder/10-machine-{account}.conf\n\
         [ -d $folder ] || {{ echo \"its sshd reads no files of $folder\" >&2; exit 1; }}\n\
         if ! [ -e $file ]; then\n    \
             printf 'Match User {account}\\n    PasswordAuthentication yes\\n' >$file\n    \
             for unit in ssh sshd; do\n        \
                 if systemctl is-active --quiet $unit.service; then systemctl reload $unit.service || systemctl restart $unit.service; fi\n    \
             done\n\
         fi\n",
        line = quote(&line)
    );
    let output = remote::collect(&mut session, privilege, &script, LIMIT)?;
    output.text(&format!("the password of {account:?} was not set")).map(drop)
}

/// Unpacks a tar archive, in which everything is at or under `top`, in the home of an account, whose all of it becomes. Blocks.
///
/// # Errors
/// What the host's tools say.
pub fn unpack_in_home(target: &SshTarget, account: &str, top: &str, archive: &[u8]) -> Result<()> {
    check_account_name(account)?;
    let (mut session, privilege, _) = open(target)?;
    let at = format!("/tmp/machine-put-{account}.tar");
    session.upload(archive, &at, 0o600, machine_ssh::Account::User, FETCH)?;
    let script = format!(
        "set -e\n\
         home=$(getent passwd {account} | cut -d: -f6)\n\
         group=$(id -gn {account})\n\
         tar -xf {at} -C \"$home\" --no-same-owner 2>/dev/null || tar -xof {at} -C \"$home\"\n\
         chown -R \"{account}:$group\" \"$home/\"{top}\n\
         rm -f {at}\n",
        top = quote(top)
    );
    let output = remote::collect(&mut session, privilege, &script, FETCH)?;
    output.text(&format!("the files for {account:?} were not unpacked")).map(drop)
}

/// Clones a git repository into the home of an account, where it is not there yet; installs git where that is missing. Blocks.
///
/// # Errors
/// What git says.
pub fn clone_repository(target: &SshTarget, account: &str, url: &str) -> Result<()> {
    check_account_name(account)?;
    let folder = url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default().trim_end_matches(".git");
    if folder.is_empty() || folder.starts_with(['.', '-']) {
        return Err(Error::new(Code::Usage, format!("{url:?} is no repository")));
    }
    let (mut session, privilege, _) = open(target)?;
    let script = format!(
        "set -e\nexport GIT_TERMINAL_PROMPT=0\n\
         if ! command -v git >/dev/null; then\n    \
             if command -v apt-get >/dev/null; then apt-get install -y -q git >/dev/null\n    \
             elif command -v dnf >/dev/null; then dnf install -y -q git\n    \
             elif command -v apk >/dev/null; then apk add -q git\n    \
             else zypper -q -n install git; fi\n\
         fi\n\
         home=$(getent passwd {account} | cut -d: -f6)\n\
         to=\"$home/\"{folder}\n\
         if ! [ -e \"$to\" ]; then\n    \
             rm -rf \"$to.part\"\n    git clone -q -- {url} \"$to.part\"\n    \
             chown -R \"{account}:$(id -gn {account})\" \"$to.part\"\n    mv \"$to.part\" \"$to\"\n\
         fi\n",
        folder = quote(folder),
        url = quote(url)
    );
    let output = remote::collect(&mut session, privilege, &script, FETCH)?;
    output.text(&format!("the repository {url} was not cloned")).map(drop)
}

/// Puts off the end of a host that ends itself by a timer (`machine-expiry.timer`, from its user data). Blocks.
///
/// # Errors
/// A host without that timer.
pub fn put_off_end(target: &SshTarget, ends: Timestamp) -> Result<()> {
    let (mut session, privilege, _) = open(target)?;
    let at = ends.strftime("%Y-%m-%d %H:%M:%S UTC");
    let script = format!(
        "set -e\n\
         file=/etc/systemd/system/machine-expiry.timer\n\
         [ -e $file ] || {{ echo 'there is no timer that would end it' >&2; exit 1; }}\n\
         sed 's/^OnCalendar=.*/OnCalendar={at}/' $file >$file.new\n\
         mv $file.new $file\n\
         systemctl daemon-reload\n\
         systemctl restart machine-expiry.timer\n"
    );
    remote::collect(&mut session, privilege, &script, LIMIT)?.text("its end was not put off").map(drop)
}

/// What a host has to do: the load average of the last minute. Blocks.
///
/// # Errors
/// A host that cannot be reached.
pub fn load(target: &SshTarget, limit: Duration) -> Result<f64> {
    let mut session = machine_ssh::Session::connect(target, limit)?;
    let output = session.exec("cat /proc/loadavg", limit)?;
    let text = match output.status {
        ExitStatus::Code(0) => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    };
    let first = text.split_whitespace().next().and_then(|word| word.parse().ok());
    first.ok_or_else(|| Error::other("the host does not tell its load"))
}
