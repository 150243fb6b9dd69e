//! The files that the engine reads.

use machine_core::{Code, Error, Result};
use serde_json::{Map, Value, json};

use super::host::SHORT;
use crate::daemon_json::{add_defaults, engine_environment, flag_key, wanted};
use crate::distribution::{Distribution, Family};
use crate::facts::{Facts, Init};
use crate::merge::{merged, object};
use crate::request::Request;
use crate::step::{Action, CHANGED, File, Step};

const DAEMON_JSON: &str = "/etc/docker/daemon.json";
/// What of daemon.json is ours, so that the next run takes away what is no longer wanted, and nothing else.
const OURS: &str = "/etc/docker/machine.json";
/// Sorted after the drop-ins of others: the last `ExecStart=` counts.
const DROP_IN: &str = "/etc/systemd/system/docker.service.d/zz-machine.conf";
/// The command of Docker's own unit, for a plan that is made before the engine is there.
const USUAL_COMMAND: &str = "/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock";

/// Authorities that the host and its engine trust besides.
pub(super) fn authorities(distribution: &Distribution, request: &Request) -> Result<Vec<Step>> {
    let engine = &request.engine;
    let (folder, bundle, update) = match distribution.family {
        Family::Debian | Family::Ubuntu | Family::Alpine => {
            ("/usr/local/share/ca-certificates", "/etc/ssl/certs/ca-certificates.crt", "update-ca-certificates")
        }
        Family::Fedora | Family::Rhel | Family::Amazon => (
            "/etc/pki/ca-trust/source/anchors",
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
            "update-ca-trust extract",
        ),
        Family::Suse => ("/etc/pki/trust/anchors", "/var/lib/ca-certificates/ca-bundle.pem", "update-ca-certificates"),
        Family::Arch => (
            "/etc/ca-certificates/trust-source/anchors",
            "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
            "update-ca-trust",
        ),
    };
    let mut files = Vec::new();
    for (host, pem) in &engine.registry_authorities {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_' | '[' | ']');
        if host.is_empty() || host.starts_with('.') || !host.chars().all(allowed) {
            return Err(Error::new(Code::Usage, format!("{host:?} is not the name of a registry"))
                .hint("such as registry.example.org:5000"));
        }
        // Read at each pull.
        files.push(File::new(&format!("/etc/docker/certs.d/{host}/ca.crt"), pem.as_str()).without_restart());
    }
    let names: Vec<String> = (1..=engine.authorities.len()).map(|number| format!("machine-{number}.crt")).collect();
    for (name, pem) in names.iter().zip(&engine.authorities) {
        files.push(File::new(&format!("{folder}/{name}"), pem.as_str()));
    }
    let mut steps = Vec::new();
    if !files.is_empty() {
        steps.push(Step {
            id: "authorities",
            title: "Handing over certificates of authorities".into(),
            satisfied_by: None,
            action: Action::Write(files),
            hint: None,
            limit: SHORT,
        });
    }
    let listed: String = names.iter().map(|name| format!("{name} ")).collect();
    let newer: String = names.iter().map(|name| format!(" && [ {bundle} -nt {folder}/{name} ]")).collect();
    steps.push(Step {
        id: "trust",
        title: "Making the host trust these authorities and no earlier ones".into(),
        satisfied_by: Some(format!(
            "[ \"$(cd {folder} 2>/dev/null && ls | grep '^machine-[0-9]*\\.crt$' | tr '\\n' ' ')\" = \"{listed}\" ]{newer}"
        )),
        action: Action::Run(format!(
            "set -e\nfor file in {folder}/machine-*.crt; do\n    \
             case \" {listed}\" in *\" ${{file##*/}} \"*) ;; *) rm -f \"$file\" ;; esac\ndone\n\
             : >{CHANGED}\n{update}\n"
        )),
        hint: None,
        limit: SHORT,
    });
    Ok(steps)
}

/// Certificates, daemon.json, environment, unit.
pub(super) fn settings(facts: &Facts, request: &Request) -> Result<Vec<Step>> {
    let tcp = format!("tcp://{}:{}", request.listen, request.port);
    let present = object(facts.daemon_json.as_deref(), DAEMON_JSON)?;
    // One that is broken is only forgotten: then what we wrote passes for theirs.
    let before = object(facts.ours.as_deref(), OURS).unwrap_or_default();
    let own_hosts = |map: &Map<String, Value>| map.get("hosts").cloned();
    // Addresses stand in one place: as flags, or in the file where somebody, or OpenRC, has them there.
    let theirs = own_hosts(&present).is_some() && own_hosts(&before).is_none();
    let in_file = facts.init != Init::Systemd || theirs || own_hosts(&before).is_some();

    let mut settings = wanted(&request.engine, &request.driver)?;
    for (key, file) in [("tlscacert", "ca"), ("tlscert", "server"), ("tlskey", "server-key")] {
        settings.insert(key.into(), json!(format!("/etc/docker/{file}.pem")));
    }
    settings.insert("tls".into(), json!(true));
    settings.insert("tlsverify".into(), json!(true));
    if in_file {
        settings.insert("hosts".into(), json!(["unix:///var/run/docker.sock", tcp]));
    }
    let (mut text, mut ours) = merged(&present, &before, &settings);
    let asked = text.clone();
    if let (Some(mtu), false) = (facts.mtu, text.contains_key("mtu"))
        && mtu < 1500
    {
        // Containers that think that more fits through than does wait for ever for what is lost on the way.
        text.insert("mtu".into(), json!(mtu));
    }
    if facts.swarm {
        // dockerd refuses to start as part of a swarm with it.
        text.entry("live-restore").or_insert(json!(false));
    }
    add_defaults(&mut text);
    // What we added unasked is ours, too: the next run may decide otherwise.
    let (_, defaults) = merged(&asked, &before, &text);
    for (key, value) in defaults {
        ours.entry(key).or_insert(value);
    }

    let mut files = vec![
        File::new("/etc/docker/ca.pem", request.tls.ca.as_str()),
        File::new("/etc/docker/server.pem", request.tls.certificate.as_str()),
        File::secret("/etc/docker/server-key.pem", request.tls.key.as_str()),
        File::new(OURS, format!("{:#}\n", Value::Object(ours))).without_restart(),
        File::secret("/etc/docker/engine.env", engine_environment(&request.engine)?.unwrap_or_default()),
    ];
    if facts.init == Init::Systemd {
        files.push(File::new(DROP_IN, drop_in(facts, request, &text, (!in_file).then_some(tcp.as_str()))));
        if request.data_disk.is_some() {
            let mounts = "[Unit]\nRequiresMountsFor=/var/lib/containerd\n";
            files.push(File::new("/etc/systemd/system/containerd.service.d/machine.conf", mounts).without_restart());
        }
    }
    files.push(File::new(DAEMON_JSON, format!("{:#}\n", Value::Object(text))));
    let mut steps = vec![Step {
        id: "settings",
        title: "Copying certs to the remote machine and setting Docker configuration on the remote daemon".into(),
        satisfied_by: None,
        action: Action::Write(files),
        hint: None,
        limit: SHORT,
    }];
    if facts.init == Init::OpenRc {
        steps.push(environment_of_openrc());
    }
    steps.push(links());
    Ok(steps)
}

/// The unit's drop-in: its own command, with our addresses in place of its own.
fn drop_in(facts: &Facts, request: &Request, settings: &Map<String, Value>, tcp: Option<&str>) -> String {
    let command = facts.exec_start.as_deref().unwrap_or(USUAL_COMMAND);
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or("/usr/bin/dockerd");
    let mut line = program.to_owned();
    if let Some(tcp) = tcp {
        // systemd holds the socket where the package has a unit for it.
        let activated = facts.docker_socket || facts.exec_start.is_none();
        let local = if activated { "fd://" } else { "unix:///var/run/docker.sock" };
        line.push_str(&format!(" -H {local} -H {tcp}"));
    }
    for word in kept(words, settings) {
        line.push(' ');
        line.push_str(&word);
    }
    let mounts = match request.data_disk {
        Some(_) => "[Unit]\nRequiresMountsFor=/var/lib/docker /var/lib/containerd\n\n",
        None => "",
    };
    format!(
        "# Written by machine; daemon.json has the engine's settings.\n{mounts}[Service]\n\
         EnvironmentFile=-/etc/docker/engine.env\nExecStart=\nExecStart={}\n",
        line.replace('%', "%%")
    )
}

/// The arguments without addresses and without what daemon.json says: dockerd refuses to be told twice.
fn kept<'a>(words: impl Iterator<Item = &'a str>, settings: &Map<String, Value>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let (name, has_value) = match word.split_once('=') {
            Some((name, _)) => (name, true),
            None => (word, false),
        };
        let flag = name.trim_start_matches('-');
        let told_twice = name.starts_with('-')
            && (matches!(flag, "H" | "host" | "tls" | "tlsverify" | "tlscacert" | "tlscert" | "tlskey")
                || settings.contains_key(flag_key(flag)));
        if told_twice {
            if !has_value && words.peek().is_some_and(|next| !next.starts_with('-') && !next.starts_with('$')) {
                words.next();
            }
            continue;
        }
        kept.push(word.to_owned());
    }
    kept
}

/// OpenRC reads variables of a service from a file that others write to, too.
fn environment_of_openrc() -> Step {
    const LINE: &str = "set -a; [ ! -r /etc/docker/engine.env ] || . /etc/docker/engine.env; set +a";
    Step {
        id: "environment",
        title: "Giving the engine its environment".into(),
        satisfied_by: Some(format!("grep -qxF '{LINE}' /etc/conf.d/docker")),
        action: Action::Run(format!("set -e\numask 022\n: >{CHANGED}\necho '{LINE}' >>/etc/conf.d/docker\n")),
        hint: None,
        limit: SHORT,
    }
}

/// A place where scripts made for boot2docker look for the certificates.
fn links() -> Step {
    Step {
        id: "links",
        title: "Linking the certificates where boot2docker had them".into(),
        satisfied_by: Some(
            "for name in ca server server-key; do\n    \
             [ \"$(readlink /var/lib/boot2docker/$name.pem)\" = /etc/docker/$name.pem ] || exit 1\ndone"
                .into(),
        ),
        action: Action::Run(
            "set -e\numask 022\nmkdir -p /var/lib/boot2docker\nfor name in ca server server-key; do\n    \
             ln -sfn /etc/docker/$name.pem /var/lib/boot2docker/$name.pem\ndone\n"
                .into(),
        ),
        hint: None,
        limit: SHORT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_the_unit_stay_but_for_addresses_and_what_is_said_in_the_file() {
        let settings: Map<String, Value> =
            [("labels".to_owned(), json!(["a=b"])), ("storage-driver".to_owned(), json!("overlay2"))]
                .into_iter()
                .collect();
        let kept = |line: &str| kept(line.split_whitespace(), &settings).join(" ");
        assert_eq!(kept("-H fd:// --containerd=/c.sock $DOCKER_OPTS"), "--containerd=/c.sock $DOCKER_OPTS");
        assert_eq!(
            kept("--host=fd:// --exec-opt native.cgroupdriver=systemd $OPTIONS"),
            "--exec-opt native.cgroupdriver=systemd $OPTIONS"
        );
        // docker-machine's own drop-in.
        let line = "-H tcp://0.0.0.0:2376 -H unix:///var/run/docker.sock --storage-driver overlay2 --tlsverify --tlscacert /a \
                    --tlscert /b --tlskey /c --label provider=generic --debug";
        assert_eq!(kept(line), "--debug");
    }
}
