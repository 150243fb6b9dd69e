//! What is true of a host, as one script finds out.

use machine_core::{Error, Result};

use crate::distribution::Distribution;

/// The script that finds it out: lines `KEY=VALUE`, `end=1` last.
pub(crate) const SCRIPT: &str = include_str!("facts.sh");

/// What starts services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// systemd.
    Systemd,
    /// OpenRC.
    OpenRc,
    /// Neither of the two.
    Other,
}

/// How the login user becomes root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sudo {
    /// It is root.
    Root,
    /// By sudo, without a password.
    Free,
    /// There is no sudo.
    Missing,
    /// sudo wants a password.
    Password,
    /// sudo refuses this user, in these words.
    Refused(String),
}

/// What filters packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// firewalld runs.
    Firewalld,
    /// ufw is enabled.
    Ufw,
}

/// How far cloud-init is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudInit {
    /// There is none, or it is done.
    Done,
    /// It is at work.
    Running,
    /// It ended with a failure.
    Failed,
}

/// What is true of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The text of its os-release.
    pub os_release: String,
    /// `uname -m`.
    pub arch: String,
    /// What starts services.
    pub init: Init,
    /// The login user.
    pub user: String,
    /// The groups that the login user's session is in.
    pub groups: Vec<String>,
    /// How that user becomes root.
    pub sudo: Sudo,
    /// Package managers present.
    pub managers: Vec<String>,
    /// Mount points that are read-only, of those that matter.
    pub read_only: Vec<String>,
    /// The least free space where packages go, KiB.
    pub free_kib: Option<u64>,
    /// The version of control groups: 1 or 2.
    pub cgroup: u32,
    /// Whether SELinux enforces.
    pub selinux: bool,
    /// What filters packets.
    pub firewall: Option<Firewall>,
    /// The MTU of the interface that leads out, bytes.
    pub mtu: Option<u32>,
    /// Proxy variables of a login, `NAME=value`.
    pub proxies: Vec<String>,
    /// How far cloud-init is.
    pub cloud_init: CloudInit,
    /// The path of `dockerd`, where there is an engine.
    pub dockerd: Option<String>,
    /// Its version.
    pub engine_version: Option<String>,
    /// The package that it came with, where one did.
    pub engine_package: Option<String>,
    /// Whether it runs.
    pub engine_runs: bool,
    /// Whether `docker` is podman's.
    pub podman: bool,
    /// The command of docker.service as systemd has it, variables unexpanded.
    pub exec_start: Option<String>,
    /// Whether docker.socket exists.
    pub docker_socket: bool,
    /// Whether the engine is part of a swarm.
    pub swarm: bool,
    /// `/etc/docker/daemon.json`.
    pub daemon_json: Option<String>,
    /// What we wrote into it the last time (`/etc/docker/machine.json`).
    pub ours: Option<String>,
    /// How many seconds the host's clock is ahead of this computer's; negative when it is behind.
    pub clock_ahead: i64,
}

impl Facts {
    /// Reads what the script printed. `now` is this computer's clock at that time, seconds since 1970.
    ///
    /// # Errors
    /// When the output is not whole.
    pub fn parse(output: &str, now: i64) -> Result<Self> {
        let lines: Vec<(&str, &str)> = output.lines().filter_map(|line| line.split_once('=')).collect();
        if lines.last() != Some(&("end", "1")) || !lines.contains(&("facts", "1")) {
            return Err(Error::other("what the host told of itself is cut short")
                .hint("the connection may have been cut: the same command again carries on")
                .hint("a login that prints text or starts another program (in .bashrc, say) disturbs it, too"));
        }
        let all =
            |key: &str| lines.iter().filter(|(name, _)| *name == key).map(|(_, value)| *value).collect::<Vec<_>>();
        let text = |key: &str| Some(all(key).join("\n")).filter(|text| !text.is_empty());
        let one = |key: &str| all(key).first().map(|value| (*value).to_owned()).filter(|value| !value.is_empty());
        let is = |key: &str| one(key).is_some_and(|value| value == "1");
        let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let says = text("sudo_says").unwrap_or_default();
        let sudo = match one("sudo").as_deref() {
            Some("root") => Sudo::Root,
            Some("yes") => Sudo::Free,
            Some("missing") => Sudo::Missing,
            // sudo's own words, in English by LC_ALL=C.
            _ if says.contains("password is required") => Sudo::Password,
            _ => Sudo::Refused(says.lines().next().unwrap_or_default().to_owned()),
        };
        let free = all("free_kib").iter().filter_map(|value| value.rsplit(' ').next()?.parse().ok()).min();
        let epoch = one("epoch").and_then(|epoch| epoch.parse::<i64>().ok());
        Ok(Self {
            os_release: text("os_release").unwrap_or_default(),
            arch: one("arch").unwrap_or_default(),
            init: match one("init").as_deref() {
                Some("systemd") => Init::Systemd,
                Some("openrc") => Init::OpenRc,
                _ => Init::Other,
            },
            user: one("user").unwrap_or_default(),
            groups: one("groups").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            sudo,
            managers: owned(all("manager")),
            read_only: owned(all("read_only")),
            free_kib: free,
            cgroup: one("cgroup").and_then(|version| version.parse().ok()).unwrap_or(1),
            selinux: is("selinux"),
            firewall: match one("firewall").as_deref() {
                Some("firewalld") => Some(Firewall::Firewalld),
                Some("ufw") => Some(Firewall::Ufw),
                _ => None,
            },
            mtu: one("mtu").and_then(|mtu| mtu.parse().ok()),
            proxies: owned(all("proxy")),
            cloud_init: match one("cloud_init").as_deref() {
                Some("running" | "not started" | "not run") => CloudInit::Running,
                Some("error") => CloudInit::Failed,
                _ => CloudInit::Done,
            },
            dockerd: one("dockerd"),
            engine_version: one("engine_version"),
            engine_package: one("engine_package"),
            engine_runs: is("engine_runs"),
            podman: is("podman"),
            exec_start: one("exec_start").and_then(|shown| arguments_shown(&shown)),
            docker_socket: is("docker_socket"),
            swarm: is("swarm"),
            daemon_json: text("daemon_json"),
            ours: text("ours"),
            clock_ahead: epoch.map_or(0, |epoch| epoch.saturating_sub(now)),
        })
    }

    /// The distribution.
    ///
    /// # Errors
    /// One that nothing is known of.
    pub fn distribution(&self) -> Result<Distribution> {
        Distribution::of(&self.os_release).ok_or_else(|| {
            let name = self.os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
            let name = name.map_or_else(|| "no os-release".to_owned(), |name| name.trim_matches('"').to_owned());
            Error::other(format!("OS type not recognized: {name}"))
                .hint("known: Debian, Ubuntu, Fedora, RHEL, CentOS Stream, Rocky, Alma, Amazon Linux, openSUSE, Alpine, Arch")
                .hint("install Docker Engine there by its own means first: then only its settings are made")
        })
    }
}

/// The arguments in what `systemctl show -p ExecStart` prints: `{ path=P ; argv[]=P a b ; ignore_errors=no ; ... }`.
fn arguments_shown(shown: &str) -> Option<String> {
    let (_, rest) = shown.split_once("argv[]=")?;
    let end = rest.find(" ; ignore_errors=")?;
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_script_itself_tells_the_facts_of_the_computer_that_runs_the_tests() {
        let output = std::process::Command::new("sh").arg("-c").arg(SCRIPT).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let facts = Facts::parse(&text, now).unwrap();
        assert!(!facts.user.is_empty() && !facts.arch.is_empty() && facts.clock_ahead.abs() < 60, "{facts:?}");
        assert!(facts.free_kib.is_some_and(|free| free > 0), "{text}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "it complains of nothing");
    }

    #[test]
    fn what_sudo_says_is_told_apart() {
        let sudo = |lines: &str| Facts::parse(&format!("facts=1\n{lines}\nend=1\n"), 0).unwrap().sudo;
        assert_eq!(sudo("sudo=no\nsudo_says=sudo: a password is required"), Sudo::Password);
        assert_eq!(
            sudo("sudo=no\nsudo_says=ann is not in the sudoers file."),
            Sudo::Refused("ann is not in the sudoers file.".into())
        );
        assert_eq!(
            (sudo("sudo=missing"), sudo("sudo=yes"), sudo("sudo=root")),
            (Sudo::Missing, Sudo::Free, Sudo::Root)
        );
    }

    #[test]
    fn facts_without_their_end_are_refused_whatever_is_missing() {
        let whole = "facts=1\nuser=ann\nepoch=100\nos_release=ID=debian\nos_release=VERSION_ID=\"13\"\nend=1\n";
        let facts = Facts::parse(whole, 40).unwrap();
        assert_eq!((facts.os_release.as_str(), facts.clock_ahead), ("ID=debian\nVERSION_ID=\"13\"", 60));
        for end in 0..whole.len() - 1 {
            assert!(Facts::parse(&whole[..end], 0).is_err(), "{}", &whole[..end]);
        }
    }

    #[test]
    fn the_arguments_of_a_unit_are_read_from_systemds_form() {
        let shown = "{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS ; ignore_errors=no ; \
                     start_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }";
        assert_eq!(arguments_shown(shown).unwrap(), "/usr/sbin/dockerd -H fd:// $DOCKER_OPTS");
        assert_eq!(arguments_shown(""), None);
    }

    proptest! {
        #[test]
        fn any_output_is_facts_or_an_error_and_never_a_panic(text in "\\PC{0,120}", more in "[a-z_=0-9 \n]{0,300}") {
            let _ = Facts::parse(&text, 0);
            let _ = Facts::parse(&format!("facts=1\n{more}\n{text}\nend=1"), i64::MIN);
        }
    }
}
