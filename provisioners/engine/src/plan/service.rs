//! The engine runs, with what was written, and answers.

use std::time::Duration;

use crate::facts::{Facts, Init};
use crate::step::{Action, CHANGED, Step};

/// Two Go daemons start, under emulation within half a minute; an engine with many containers takes its time to stop.
const LIMIT: Duration = Duration::from_secs(600);

/// Starts the engine, or starts it anew when files have changed that it reads at its start.
pub(super) fn service(facts: &Facts) -> Step {
    let systemd = facts.init == Init::Systemd;
    let up = if systemd {
        "systemctl is-enabled --quiet docker.service && systemctl is-active --quiet docker.service"
    } else {
        "rc-update show default | grep -q docker && rc-service -q docker status >/dev/null 2>&1"
    };
    Step {
        id: "service",
        title: "Starting Docker Engine".into(),
        satisfied_by: Some(format!("[ ! -e {CHANGED} ] && {up} && docker version >/dev/null 2>&1")),
        action: Action::Run(if systemd { with_systemd() } else { with_openrc() }),
        hint: Some("`machine ssh`, then `sudo journalctl -u docker` shows all that the engine said".into()),
        limit: LIMIT,
    }
}

/// A file that the engine refuses is found out before the running one is stopped. Only engines of 23.0 and newer can tell.
const VALIDATE: &str = "\
if dockerd --help 2>/dev/null | grep -q -e --validate; then
    dockerd --validate --config-file /etc/docker/daemon.json >/dev/null
fi
";

/// Containers of a running engine outlive its restart when it knows beforehand that they shall.
const KEEP_CONTAINERS: &str = "\
    if [ \"$(docker info --format '{{.LiveRestoreEnabled}}' 2>/dev/null)\" = false ]; then
        kill -HUP \"$(cat /var/run/docker.pid)\" 2>/dev/null || true
        for second in 1 2 3 4 5 6 7 8 9 10; do
            [ \"$(docker info --format '{{.LiveRestoreEnabled}}' 2>/dev/null)\" = false ] || break
            sleep 1
        done
    fi
";

/// `active` says so before the engine has answered, on systems without its readiness message.
const ANSWERS: &str = "\
for second in $(seq 1 120); do
    said=$(docker version 2>&1) && break
    sleep 1
done
docker version >/dev/null || { printf '%s\\n' \"$said\" >&2; why; }
";

fn with_systemd() -> String {
    format!(
        "set -e\n\
         why() {{\n    \
             echo 'machine: Docker Engine is installed and does not start' >&2\n    \
             journalctl -u docker.service -n 25 --no-pager -o cat >&2 2>/dev/null || true\n    exit 1\n}}\n\
         systemctl unmask --runtime docker.service docker.socket >/dev/null 2>&1 || true\n\
         systemctl daemon-reload\n\
         systemctl enable --quiet docker.service\n\
         if systemctl cat containerd.service >/dev/null 2>&1; then systemctl enable --quiet containerd.service; fi\n\
         {VALIDATE}\
         if systemctl is-active --quiet docker.service; then\n{KEEP_CONTAINERS}    \
             systemctl restart docker.service || why\n\
         else\n    \
             systemctl reset-failed docker.service docker.socket 2>/dev/null || true\n    \
             systemctl start docker.service || why\n\
         fi\n\
         {ANSWERS}\
         rm -f {CHANGED}\n"
    )
}

fn with_openrc() -> String {
    format!(
        "set -e\n\
         why() {{\n    \
             echo 'machine: Docker Engine is installed and does not start' >&2\n    \
             tail -n 25 /var/log/docker.log >&2 2>/dev/null || true\n    exit 1\n}}\n\
         rc-update -q add docker default\n\
         {VALIDATE}\
         if rc-service -q docker status >/dev/null 2>&1; then\n{KEEP_CONTAINERS}    \
             rc-service docker restart || why\n\
         else\n    \
             rc-service docker start || why\n\
         fi\n\
         {ANSWERS}\
         rm -f {CHANGED}\n"
    )
}

/// The login user uses the engine without sudo. Groups are given at a login, so it takes a new one.
pub(super) fn proof() -> Step {
    Step {
        id: "proof",
        title: "Checking connection to Docker".into(),
        satisfied_by: None,
        action: Action::FreshLogin("docker version --format '{{.Server.Version}}'".into()),
        hint: Some("the login user has to be in the group docker: `machine ssh`, then `id` tells".into()),
        limit: Duration::from_secs(120),
    }
}
