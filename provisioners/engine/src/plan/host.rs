//! What surrounds the engine: clock, disk, accounts, firewall.

use std::time::Duration;

use machine_ssh::quote;

use crate::distribution::{Distribution, Family};
use crate::facts::{Facts, Firewall};
use crate::request::Request;
use crate::step::{Action, Step};

/// What takes no time of its own.
pub(super) const SHORT: Duration = Duration::from_secs(120);
/// Certificates begin a day early and packages' signatures are not that exact: less than this is left to the host, seconds.
const CLOCK_TOLERANCE: u64 = 300;

/// Sets a clock that is far off: neither certificates nor package sources can be used with it.
pub(super) fn clock(facts: &Facts) -> Option<Step> {
    let ahead = facts.clock_ahead;
    (ahead.unsigned_abs() > CLOCK_TOLERANCE).then(|| Step {
        id: "clock",
        title: format!("Setting the clock, which is {}", how_far(ahead)),
        satisfied_by: None,
        // The runner says what time it is. One of the services keeps it right afterwards, where there is one.
        action: Action::Run(
            "set -e\ndate -u -s \"@$MACHINE_NOW\" >/dev/null\n\
             if command -v timedatectl >/dev/null; then timedatectl set-ntp true 2>/dev/null || true; fi\n"
                .into(),
        ),
        hint: Some("check the clock of this computer, too: it is the one that was compared with".into()),
        limit: SHORT,
    })
}

fn how_far(ahead: i64) -> String {
    let seconds = ahead.unsigned_abs();
    let span = match seconds {
        0..=7199 => format!("{} minutes", seconds / 60),
        7200..=172_799 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    };
    format!("{span} {}", if ahead < 0 { "behind" } else { "ahead" })
}

/// Puts the engine's data on a disk of its own: made once when it is blank, grown when it has become larger.
pub(super) fn data_disk(request: &Request) -> Option<Step> {
    let disk = quote(request.data_disk.as_deref()?);
    let script = format!(
        r#"set -e
udevadm settle --timeout=60 2>/dev/null || true
disk=$(readlink -f {disk})
[ -b "$disk" ] || {{ echo "machine: the host has no disk "{disk} >&2; exit 1; }}
data=/var/lib/machine/data
formatting=/var/lib/machine/formatting
type=$(blkid -p -s TYPE -s LABEL -s PTTYPE -o value "$disk" | tr '\n' ' ') || true
head=$(head -c 1048576 "$disk" | tr -d '\0' | wc -c)
if [ -e "$formatting" ] || {{ [ -z "$type" ] && [ "$head" = 0 ]; }}; then
    mkdir -p /var/lib/machine
    : >"$formatting"
    sync
    mkfs.ext4 -q -F -L machine-data -m 0 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard "$disk"
    sync
    rm -f "$formatting"
else
    case $type in
        *machine-data*) ;;
        *) echo "machine: $disk is neither blank nor the machine's own ($type): not touching it" >&2; exit 1 ;;
    esac
fi
# line WORDS: a line of fstab, once.
line() {{ grep -qxF "$1" /etc/fstab || echo "$1" >>/etc/fstab; }}
mount_line="LABEL=machine-data $data ext4 noatime,nofail,x-systemd.growfs,x-systemd.device-timeout=60 0 2"
grep -qxF "$mount_line" /etc/fstab || sed -i '/^LABEL=machine-data /d' /etc/fstab
line "$mount_line"
mkdir -p "$data"
mountpoint -q "$data" || mount "$data"
for name in docker containerd; do
    mkdir -p "/var/lib/$name" "$data/$name"
    chmod 711 "$data/$name"
    line "$data/$name /var/lib/$name none bind,nofail,x-systemd.requires-mounts-for=$data 0 0"
    mountpoint -q "/var/lib/$name" || mount "/var/lib/$name"
done
resize2fs "$disk" >/dev/null 2>&1 || true
systemctl daemon-reload
"#
    );
    Some(Step {
        id: "data-disk",
        title: "Preparing the disk for containers, images and volumes".into(),
        satisfied_by: Some("mountpoint -q /var/lib/docker && mountpoint -q /var/lib/containerd".into()),
        action: Action::Run(script),
        hint: None,
        limit: Duration::from_secs(600),
    })
}

/// `docker-compose`, as older tutorials type it.
pub(super) fn compose_name() -> Step {
    Step {
        id: "docker-compose",
        title: "Making docker-compose a name of docker compose".into(),
        satisfied_by: Some("command -v docker-compose >/dev/null".into()),
        action: Action::Run(
            "set -e\numask 022\nmkdir -p /usr/local/bin\n\
             printf '#!/bin/sh\\nexec docker compose \"$@\"\\n' >/usr/local/bin/docker-compose.new\n\
             chmod 755 /usr/local/bin/docker-compose.new\n\
             mv -f /usr/local/bin/docker-compose.new /usr/local/bin/docker-compose\n"
                .into(),
        ),
        hint: None,
        limit: SHORT,
    }
}

/// The group whose members may use the engine.
pub(super) fn group(distribution: &Distribution) -> Step {
    let add = match distribution.family {
        Family::Alpine => "addgroup -S docker",
        _ => "groupadd --system docker",
    };
    Step {
        id: "group",
        title: "Making the group docker".into(),
        satisfied_by: Some("getent group docker >/dev/null".into()),
        action: Action::Run(format!("{add}\n")),
        hint: None,
        limit: SHORT,
    }
}

/// Accounts that may use the engine without sudo. They keep their other groups.
pub(super) fn members(facts: &Facts, distribution: &Distribution, request: &Request) -> Step {
    let users: Vec<String> =
        std::iter::once(&facts.user).chain(&request.engine.users).map(|user| quote(user)).collect();
    let add = match distribution.family {
        Family::Alpine => "addgroup \"$user\" docker",
        _ => "usermod -aG docker \"$user\"",
    };
    let each = format!("for user in {}", users.join(" "));
    let is_member = "[ \"$user\" = root ] || id -nG \"$user\" 2>/dev/null | tr ' ' '\\n' | grep -qx docker";
    Step {
        id: "members",
        title: "Letting users in to the engine".into(),
        satisfied_by: Some(format!("{each}; do\n    {is_member} || exit 1\ndone")),
        action: Action::Run(format!(
            "set -e\n{each}; do\n    \
             id \"$user\" >/dev/null 2>&1 || {{ echo \"machine: there is no account $user on the host\" >&2; exit 1; }}\n    \
             {{ {is_member}; }} || {add}\ndone\n"
        )),
        hint: Some("`machine user add` makes accounts; --docker-user names ones that are there".into()),
        limit: SHORT,
    }
}

/// Lets the engine's port through the host's own firewall.
pub(super) fn firewall(facts: &Facts, request: &Request) -> Option<Step> {
    let port = request.port;
    let (check, script) = match facts.firewall? {
        Firewall::Firewalld => (
            format!("firewall-cmd -q --query-port={port}/tcp && firewall-cmd -q --permanent --query-port={port}/tcp"),
            // Not `--reload`, which would take the engine's own rules away.
            format!(
                "set -e\nfirewall-cmd -q --add-port={port}/tcp\nfirewall-cmd -q --permanent --add-port={port}/tcp\n"
            ),
        ),
        Firewall::Ufw => (format!("ufw status | grep -q '^{port}/tcp .*ALLOW'"), format!("ufw allow {port}/tcp\n")),
    };
    Some(Step {
        id: "firewall",
        title: format!("Letting port {port} through the firewall"),
        satisfied_by: Some(check),
        action: Action::Run(script),
        hint: None,
        limit: SHORT,
    })
}
