//! Distributions with one source of an engine: their own.

use machine_core::{Code, Error, Result};

use super::packaging::{Case, Scripts};
use super::rpm;

/// openSUSE and SLES.
pub(super) fn zypper(case: &Case<'_>) -> Scripts {
    let version = case.version.map(|version| format!("={version}")).unwrap_or_default();
    // SLES has the engine in a module, which SUSEConnect (of registered hosts) makes known.
    let module = match case.distribution.id.as_str() {
        "sles" => format!(
            "command -v SUSEConnect >/dev/null && SUSEConnect -p sle-module-containers/{}/$(uname -m) || true\n",
            case.distribution.version
        ),
        _ => String::new(),
    };
    let zypper = "export ZYPP_LOCK_TIMEOUT=600\nzypper() { command zypper --non-interactive \"$@\"; }\n";
    Scripts {
        repository: None,
        engine: format!(
            "{zypper}{module}zypper install --no-recommends 'docker{version}' docker-compose docker-buildx\n"
        ),
        plugins: format!("set -e\n{zypper}zypper install --no-recommends docker-compose docker-buildx\n"),
        upgrade: rpm::upgrade("zypper"),
        has_buildx: true,
    }
}

/// Alpine.
pub(super) fn apk(case: &Case<'_>) -> Scripts {
    let version = case.version.map(|version| format!("~{version}")).unwrap_or_default();
    Scripts {
        repository: None,
        engine: format!(
            "apk --wait 600 update\napk --wait 600 add 'docker{version}' docker-openrc docker-cli-compose docker-cli-buildx\n"
        ),
        plugins: "set -e\napk --wait 600 update\napk --wait 600 add docker-cli-compose docker-cli-buildx\n".into(),
        upgrade: "set -e\napk --wait 600 update\napk --wait 600 upgrade docker docker-cli-compose docker-cli-buildx containerd".into(),
        has_buildx: true,
    }
}

/// Arch.
pub(super) fn pacman(case: &Case<'_>) -> Result<Scripts> {
    if let Some(version) = case.version {
        return Err(Error::new(Code::Usage, format!("Arch has only the newest engine, not {version}"))
            .hint("leave --engine-version out"));
    }
    // pacman does not wait for its lock. What is known of packages may be too old to find them.
    let get = "get() {\n    for waited in $(seq 0 5 600); do [ -e /var/lib/pacman/db.lck ] || break; sleep 5; done\n    \
               pacman --noconfirm --needed -S \"$@\" || pacman --noconfirm --needed -Sy \"$@\"\n}\n";
    Ok(Scripts {
        repository: None,
        engine: format!("{get}get docker docker-compose docker-buildx\n"),
        plugins: format!("set -e\n{get}get docker-compose docker-buildx\n"),
        upgrade: "set -e\npacman --noconfirm -Sy docker docker-compose docker-buildx containerd runc".into(),
        has_buildx: true,
    })
}
