//! Fedora, and RHEL with its relatives.

use machine_core::Result;

use super::packaging::{Case, Scripts};
use crate::distribution::Family;
use crate::request::Source;

/// Fingerprint of the key that Docker signs its RPM packages with (docs.docker.com/engine/install/rhel).
const KEY_FINGERPRINT: &str = "060A61C51B558A7F742B77AAC52FEB6B621E9F35";
const KEY_FILE: &str = "/etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce";

pub(super) fn scripts(case: &Case<'_>) -> Result<Scripts> {
    let version = case.version.map(|version| format!("-{version}*")).unwrap_or_default();
    let upgrade = upgrade("dnf");
    if case.source == Source::Distro {
        // Only Fedora comes here.
        return Ok(Scripts {
            repository: None,
            engine: format!("dnf -y install 'moby-engine{version}' docker-cli docker-compose docker-buildx\n"),
            plugins: "set -e\ndnf -y install docker-compose docker-buildx\n".into(),
            upgrade,
            has_buildx: true,
        });
    }
    let vendor = match (case.distribution.family, case.distribution.id.as_str()) {
        (Family::Fedora, _) => "fedora",
        (_, "rhel") => "rhel",
        _ => "centos",
    };
    let release = case.distribution.major();
    let repository = format!(
        "set -e\numask 022\n\
         key=$(mktemp)\ntrap 'rm -f \"$key\"' EXIT\n\
         curl -fsSL --retry 3 -o \"$key\" https://download.docker.com/linux/{vendor}/gpg\n\
         command -v gpg >/dev/null || dnf -y install gnupg2\n\
         gpg --show-keys --with-colons \"$key\" 2>/dev/null | grep -q '^fpr:.*:{KEY_FINGERPRINT}:' ||\n    \
             {{ echo 'machine: the key of https://download.docker.com is not the known one' >&2; exit 1; }}\n\
         install -m 644 \"$key\" {KEY_FILE}\n\
         cat >/etc/yum.repos.d/docker-ce.repo <<'REPO'\n\
         [docker-ce-stable]\n\
         name=Docker CE Stable - $basearch\n\
         baseurl=https://download.docker.com/linux/{vendor}/{release}/$basearch/stable\n\
         enabled=1\n\
         gpgcheck=1\n\
         gpgkey=file://{KEY_FILE}\n\
         REPO\n"
    );
    Ok(Scripts {
        repository: Some(("grep -rqs download.docker.com /etc/yum.repos.d".into(), repository)),
        engine: format!(
            "dnf -y install 'docker-ce{version}' 'docker-ce-cli{version}' containerd.io docker-buildx-plugin docker-compose-plugin\n"
        ),
        plugins: "set -e\ndnf -y install docker-buildx-plugin docker-compose-plugin\n".into(),
        upgrade,
        has_buildx: true,
    })
}

/// Upgrades what of the engine is installed, from whichever source it came.
pub(super) fn upgrade(manager: &str) -> String {
    let verb = if manager == "zypper" { "--non-interactive update" } else { "-y upgrade" };
    format!(
        "set -e\n\
         names=$(rpm -q --qf '%{{NAME}}\\n' docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin \\\n    \
             moby-engine docker docker-cli docker-compose docker-buildx containerd runc | grep -v ' ')\n\
         [ -z \"$names\" ] || {manager} {verb} $names"
    )
}
