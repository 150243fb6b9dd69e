//! Accounts of a host, besides the one that `machine` logs in by.

use std::time::Duration;

use machine_core::{Code, Error, Result, SshTarget};
use machine_ssh::{Session, quote};

use crate::facts::{self, Facts};
use crate::privilege::Privilege;
use crate::remote;

const LIMIT: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(30);

/// An account of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its login name.
    pub name: String,
    /// Whether it may use the engine without sudo, which is to say: is root if it wants to.
    pub docker: bool,
    /// How many keys let somebody in.
    pub keys: usize,
}

/// Checks a login name by useradd(8)'s rule.
///
/// # Errors
/// [`Code::Usage`] with the rule.
pub fn check_account_name(name: &str) -> Result<()> {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let allowed = |c: char| first(c) || c.is_ascii_digit() || c == '-';
    if name.len() <= 32 && name.starts_with(first) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::new(Code::Usage, format!("invalid user name {name:?}"))
        .hint("use 1 to 32 lower-case letters, digits, '-' or '_', a letter or '_' first"))
}

pub(crate) fn open(target: &SshTarget) -> Result<(Session, Privilege, Facts)> {
    let mut session = Session::connect(target, CONNECT)?;
    let output = remote::collect(&mut session, Privilege::Login, facts::SCRIPT, LIMIT)?;
    let facts = Facts::parse(&output.text("the host cannot be looked at")?, 0)?;
    let privilege = Privilege::of(&facts)?;
    Ok((session, privilege, facts))
}

/// Makes an account, or gives one that is there these keys as well. Blocks.
///
/// # Errors
/// What the host's tools say.
pub fn add_account(target: &SshTarget, name: &str, keys: &[String], docker: bool) -> Result<()> {
    check_account_name(name)?;
    let (mut session, privilege, _) = open(target)?;
    let keys: String = keys.iter().map(|key| format!("key {}\n", quote(key.trim()))).collect();
    // Without PAM, sshd takes a `!` for a locked account; `*` is only a password that nobody has.
    let script = format!(
        "set -e\nname={name}\n\
         shell=/bin/sh; [ ! -x /bin/bash ] || shell=/bin/bash\n\
         if ! id \"$name\" >/dev/null 2>&1; then\n    \
             if command -v useradd >/dev/null; then\n        \
                 group=-U; ! getent group \"$name\" >/dev/null || group=\"-g $name\"\n        \
                 useradd -m $group -s \"$shell\" -c 'machine user' -p '*' \"$name\"\n    \
             else\n        \
                 adduser -D -s \"$shell\" -g 'machine user' \"$name\"\n        echo \"$name:*\" | chpasswd -e\n    \
             fi\n\
         fi\n\
         home=$(getent passwd \"$name\" | cut -d: -f6)\n\
         group=$(id -gn \"$name\")\n\
         umask 077\n\
         mkdir -p \"$home/.ssh\"\n\
         file=$home/.ssh/authorized_keys\n\
         touch \"$file\"\n\
         key() {{ grep -qxF \"$1\" \"$file\" || echo \"$1\" >>\"$file\"; }}\n\
         {keys}\
         chown -R \"$name:$group\" \"$home/.ssh\"\n{}",
        if docker {
            "id -nG \"$name\" | tr ' ' '\\n' | grep -qx docker || usermod -aG docker \"$name\" 2>/dev/null || addgroup \"$name\" docker\n"
        } else {
            "! id -nG \"$name\" | tr ' ' '\\n' | grep -qx docker || gpasswd -d \"$name\" docker >/dev/null 2>&1 || delgroup \"$name\" docker\n"
        }
    );
    let output = remote::collect(&mut session, privilege, &script, LIMIT)?;
    output.text(&format!("the account {name:?} was not made")).map(drop)
}

/// The accounts of people: those with a home and a shell. Blocks.
///
/// # Errors
/// A host that cannot be reached.
pub fn list_accounts(target: &SshTarget) -> Result<Vec<Account>> {
    // UIDs of people begin at 1000 (login.defs(5)); nobody has 65534.
    const SCRIPT: &str = "\
getent passwd | while IFS=: read -r name _ uid _ _ home shell; do
    [ \"$uid\" -ge 1000 ] && [ \"$uid\" -lt 60000 ] || continue
    case $shell in */nologin | */false | '') continue ;; esac
    docker=no
    ! id -nG \"$name\" | tr ' ' '\\n' | grep -qx docker || docker=yes
    keys=$(grep -c '^[^#]' \"$home/.ssh/authorized_keys\" 2>/dev/null) || keys=${keys:-0}
    echo \"$name $docker $keys\"
done
";
    let (mut session, privilege, _) = open(target)?;
    let text = remote::collect(&mut session, privilege, SCRIPT, LIMIT)?.text("the accounts cannot be listed")?;
    let account = |line: &str| {
        let mut words = line.split(' ');
        Some(Account {
            name: words.next()?.to_owned(),
            docker: words.next()? == "yes",
            keys: words.next()?.parse().ok()?,
        })
    };
    Ok(text.lines().filter_map(account).collect())
}

/// Removes an account with its home. Blocks.
///
/// # Errors
/// The account that `machine` itself logs in by, one of the system, one that there is not.
pub fn remove_account(target: &SshTarget, name: &str) -> Result<()> {
    check_account_name(name)?;
    if name == target.user || name == "root" {
        return Err(Error::new(
            Code::Usage,
            format!("{name:?} is the account that `machine` itself logs in by, or root"),
        )
        .hint("nobody could log in any more"));
    }
    let (mut session, privilege, _) = open(target)?;
    let script = format!(
        "set -e\nname={name}\n\
         uid=$(id -u \"$name\" 2>/dev/null) || {{ echo \"there is no account $name\" >&2; exit 1; }}\n\
         [ \"$uid\" -ge 1000 ] || {{ echo \"$name is an account of the system\" >&2; exit 1; }}\n\
         if command -v pkill >/dev/null; then pkill -KILL -u \"$uid\" || true; fi\n\
         if command -v userdel >/dev/null; then userdel -r \"$name\" 2>/dev/null || ! id \"$name\" >/dev/null 2>&1\n\
         else deluser --remove-home \"$name\"; fi\n"
    );
    let output = remote::collect(&mut session, privilege, &script, LIMIT)?;
    output.text(&format!("the account {name:?} was not removed")).map(drop)
}
