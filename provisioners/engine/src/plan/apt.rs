//! Debian and Ubuntu.

use super::packaging::{Case, Scripts};
use super::{amazon, packaging};
use crate::distribution::Family;
use crate::request::Source;

/// SHA-256 of the key that Docker signs its Debian and Ubuntu packages with, as https://download.docker.com/linux/debian/gpg
/// and .../ubuntu/gpg have it: fingerprint 9DC8 5822 9FC7 DD38 854A E2D8 8D81 803C 0EBF CD88.
const KEY_SHA256: &str = "1500c1f56fa9e26b9b8f42452a553675796ade0807cdce11975eb98170b3a570";

/// apt for programs: asks nothing, keeps files that were changed, waits for others who hold its locks, and mends what an
/// interrupted run left.
const APT: &str = r#"export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none
apt() {
    apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}
update() {
    for waited in $(seq 0 5 600); do
        said=$(apt "$@" update 2>&1) && { printf '%s\n' "$said"; return 0; }
        # apt does not wait by itself for the lock of its lists.
        case $said in *"Could not get lock"* | *"Unable to lock"*) [ "$waited" -gt 0 ] || printf '%s\n' "$said" ;; *) break ;; esac
        sleep 5
    done
    printf '%s\n' "$said"
    return 1
}
install() { apt install --no-install-recommends "$@" || { dpkg --configure -a && apt -f install && apt install --no-install-recommends "$@"; }; }
# version PACKAGE WANTED: prints the package's full version, or says which there are.
version() {
    apt-cache madison "$1" | awk -v want="$2" '{ v = $3; sub(/^[0-9]+:/, "", v) }
        v == want || index(v, want "-") == 1 || index(v, want "~") == 1 || index(v, want "+") == 1 { print $3; found = 1; exit }
        END { exit !found }' && return
    echo "machine: there is no version $2 of $1; there are: $(apt-cache madison "$1" | awk '{ print $3 }' | sort -u | tr '\n' ' ')" >&2
    return 1
}
"#;

pub(super) fn scripts(case: &Case<'_>) -> Scripts {
    match case.source {
        Source::Docker => from_docker(case),
        Source::Distro => from_distribution(case),
    }
}

fn from_docker(case: &Case<'_>) -> Scripts {
    let vendor = match (case.distribution.family, case.distribution.id.as_str()) {
        (Family::Ubuntu, _) => "ubuntu",
        (_, "raspbian") if case.facts.arch == "armv7l" => "raspbian",
        _ => "debian",
    };
    let codename = &case.distribution.codename;
    let repository = format!(
        "set -e\n{APT}\
         [ -s /etc/ssl/certs/ca-certificates.crt ] || {{ update; install ca-certificates; }}\n\
         mkdir -p /etc/apt/keyrings\n\
         rm -f /etc/apt/keyrings/docker.asc.new\n\
         /usr/lib/apt/apt-helper download-file https://download.docker.com/linux/{vendor}/gpg /etc/apt/keyrings/docker.asc.new \\\n    \
             SHA256:{KEY_SHA256}\n\
         chmod 644 /etc/apt/keyrings/docker.asc.new\n\
         mv -f /etc/apt/keyrings/docker.asc.new /etc/apt/keyrings/docker.asc\n\
         umask 022\n\
         cat >/etc/apt/sources.list.d/docker.sources <<'SOURCES'\n\
         Types: deb\n\
         URIs: https://download.docker.com/linux/{vendor}\n\
         Suites: {codename}\n\
         Components: stable\n\
         Signed-By: /etc/apt/keyrings/docker.asc\n\
         SOURCES\n"
    );
    let names = "docker-ce docker-ce-cli";
    let more = "containerd.io docker-buildx-plugin docker-compose-plugin apparmor ca-certificates iptables";
    Scripts {
        // A source of Docker's that somebody else made is as good, and two would contradict each other.
        repository: Some((
            format!("grep -rqs download.docker.com/linux/{vendor} /etc/apt/sources.list /etc/apt/sources.list.d"),
            repository,
        )),
        engine: engine(case.version, names, more),
        plugins: format!("set -e\n{APT}update\ninstall docker-buildx-plugin docker-compose-plugin\n"),
        upgrade: upgrade(),
        has_buildx: true,
    }
}

fn from_distribution(case: &Case<'_>) -> Scripts {
    // Debian 12 has neither plugin.
    let old = matches!(case.distribution.codename.as_str(), "bullseye" | "bookworm" | "focal");
    let plugins = match case.distribution.family {
        _ if old => "",
        Family::Ubuntu => "docker-compose-v2 docker-buildx",
        // The client is a package of its own from Debian 13 on.
        _ => "docker-cli docker-compose docker-buildx",
    };
    let more = format!("apparmor ca-certificates iptables {plugins}");
    Scripts {
        repository: None,
        engine: engine(case.version, "docker.io", more.trim_end()),
        plugins: match old {
            true => format!(
                "set -e\n{APT}command -v curl >/dev/null || {{ update; install curl ca-certificates; }}\n{}",
                amazon::COMPOSE
            ),
            false => format!("set -e\n{APT}update\ninstall {plugins}\n"),
        },
        upgrade: upgrade(),
        has_buildx: !old,
    }
}

fn engine(version: Option<&str>, names: &str, more: &str) -> String {
    let packages = match version {
        None => names.to_owned(),
        Some(want) => {
            names.split(' ').map(|name| format!("{name}=\"$(version {name} {want})\"")).collect::<Vec<_>>().join(" ")
        }
    };
    // A version that there is not must not pass for any: a failed substitution in an argument would.
    let known = match version {
        None => String::new(),
        Some(want) => names.split(' ').map(|name| format!("version {name} {want} >/dev/null\n")).collect(),
    };
    let downgrade = if version.is_some() { "--allow-downgrades " } else { "" };
    format!("{APT}update\n{known}install {downgrade}{packages} {more}\n")
}

fn upgrade() -> String {
    // Without today's lists nothing is newer: a source that is down must not pass for that.
    format!(
        "set -e\n{APT}update -o APT::Update::Error-Mode=any\n\
         names=$(dpkg-query -W -f '${{Package}} ${{db:Status-Status}}\\n' docker-ce docker-ce-cli containerd.io docker-buildx-plugin \\\n    \
             docker-compose-plugin docker.io docker-cli containerd runc docker-compose docker-compose-v2 docker-buildx 2>/dev/null |\n    \
             awk '$2 == \"installed\" {{ print $1 }}')\n\
         [ -z \"$names\" ] || install --only-upgrade $names"
    )
}

// Kept beside each other: `INSTALL_LIMIT` is longer than apt's patience with locks.
const _: () = assert!(packaging::INSTALL_LIMIT.as_secs() > 2 * 600);
