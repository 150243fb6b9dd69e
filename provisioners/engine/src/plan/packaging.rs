//! Which packages make the engine, and where they come from.

use std::time::Duration;

use machine_core::{Code, Error, Result};
use machine_ssh::quote;

use super::{amazon, apt, rpm, singles};
use crate::distribution::{Distribution, Family};
use crate::facts::{Facts, Init};
use crate::request::{Request, Source};
use crate::step::{Action, CHANGED, Step};

/// Installing takes about a minute on a common host and connection, half an hour on the slowest.
pub(super) const INSTALL_LIMIT: Duration = Duration::from_secs(45 * 60);

/// The steps to an engine.
#[derive(Debug)]
pub(super) struct Packaging {
    pub(super) steps: Vec<Step>,
    pub(super) warnings: Vec<String>,
}

/// How one package manager does it: scripts.
pub(super) struct Scripts {
    /// Makes the source of the packages known; its check and its script.
    pub(super) repository: Option<(String, String)>,
    /// Installs the engine, and its plugins where they are packages.
    pub(super) engine: String,
    /// Installs the plugins alone.
    pub(super) plugins: String,
    /// Brings what of all that is installed to its newest version.
    pub(super) upgrade: String,
    /// Whether these bring buildx: it is looked for then.
    pub(super) has_buildx: bool,
}

/// What a plan is made from.
pub(super) struct Case<'a> {
    pub(super) facts: &'a Facts,
    pub(super) distribution: &'a Distribution,
    pub(super) source: Source,
    pub(super) version: Option<&'a str>,
}

pub(super) fn packaging(facts: &Facts, distribution: &Distribution, request: &Request) -> Result<Packaging> {
    let mut warnings = Vec::new();
    let engine = &request.engine;
    let source = source(facts, distribution, engine.source, &mut warnings)?;
    let version = engine.version.as_deref();
    if let Some(version) = version
        && (version.is_empty()
            || !version.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'~')))
    {
        return Err(Error::new(Code::Usage, format!("{version:?} is no version of an engine")).hint("such as 28.1.1"));
    }
    let case = Case { facts, distribution, source, version };
    if facts.dockerd.is_none()
        && facts.managers.iter().any(|name| name == "rpm-ostree" || name == "transactional-update")
    {
        return Err(Error::other(format!(
            "{distribution} is an image-based system: packages cannot be added to it running"
        ))
        .hint("install Docker Engine there by its own means, restart it, then provision again"));
    }
    let scripts = match distribution.family {
        Family::Debian | Family::Ubuntu => apt::scripts(&case),
        Family::Fedora | Family::Rhel => rpm::scripts(&case)?,
        Family::Amazon => amazon::scripts(&case)?,
        Family::Suse => singles::zypper(&case),
        Family::Alpine => singles::apk(&case),
        Family::Arch => singles::pacman(&case)?,
    };
    let mut steps = Vec::new();
    let from_script = engine.install_url.as_deref();
    if let (Some((check, script)), None) = (&scripts.repository, from_script) {
        steps.push(Step {
            id: "repository",
            title: "Making Docker's package source known".into(),
            // An engine that is there is not replaced, so that its source is of no concern.
            satisfied_by: Some(format!("{} || {{ {check}; }}", installed(None))),
            action: Action::Run(script.clone()),
            hint: Some(
                "without a way to download.docker.com: `--engine-source distro` takes the distribution's own packages"
                    .into(),
            ),
            limit: INSTALL_LIMIT,
        });
    }
    let (title, script) = match from_script {
        Some(url) => (format!("Installing Docker Engine by {url}"), by_script(url)),
        None => (
            format!(
                "Installing Docker Engine ({})",
                if source == Source::Docker { "Docker's packages" } else { "the distribution's packages" }
            ),
            unstarted(facts, &scripts.engine),
        ),
    };
    steps.push(Step {
        id: "engine",
        title,
        satisfied_by: Some(installed(version)),
        action: Action::Run(script),
        hint: version
            .map(|version| format!("`--engine-version {version}` was asked for: leave it out for the newest one")),
        limit: INSTALL_LIMIT,
    });
    if request.upgrade {
        steps.push(Step {
            id: "upgrade",
            title: "Upgrading Docker Engine".into(),
            satisfied_by: None,
            action: Action::Run(format!("{}\n{RESTART_IF_NEWER}", scripts.upgrade)),
            hint: None,
            limit: INSTALL_LIMIT,
        });
    }
    let buildx = if scripts.has_buildx { " && docker buildx version >/dev/null 2>&1" } else { "" };
    steps.push(Step {
        id: "plugins",
        title: "Installing Docker Compose and buildx".into(),
        satisfied_by: Some(format!("docker compose version >/dev/null 2>&1{buildx}")),
        action: Action::Run(scripts.plugins),
        hint: None,
        limit: INSTALL_LIMIT,
    });
    if !scripts.has_buildx && distribution.family != Family::Amazon {
        warnings.push(format!("{distribution} has no package of buildx: `docker build` uses the engine's own builder"));
    }
    Ok(Packaging { steps, warnings })
}

/// A running engine that is older than the program on the disk has to start anew. Many packages see to that themselves.
const RESTART_IF_NEWER: &str = "\
running=$(docker version --format '{{.Server.Version}}' 2>/dev/null) || running=
case \"$(dockerd --version)\" in
    \"Docker version $running,\"*) ;;
    *) : >/run/machine-engine.changed ;;
esac
";

/// Whether there is an engine, and a client, of that version if one is named.
fn installed(version: Option<&str>) -> String {
    match version {
        None => "command -v dockerd >/dev/null && command -v docker >/dev/null".into(),
        // Distributions add to the version: `26.1.5+dfsg1`.
        Some(version) => format!(
            "case \"$(dockerd --version 2>/dev/null)\" in \"Docker version {version}\"[,+~-]*) command -v docker >/dev/null ;; *) false ;; esac"
        ),
    }
}

/// The source: the one asked for, else that of the engine that is there, else Docker's where it serves the release.
fn source(
    facts: &Facts,
    distribution: &Distribution,
    asked: Option<Source>,
    warnings: &mut Vec<String>,
) -> Result<Source> {
    let served = served_by_docker(distribution);
    match (asked, &facts.engine_package) {
        (Some(Source::Docker), _) if !served => Err(Error::other(format!("Docker has no packages for {distribution}"))
            .hint("leave --engine-source out, or say `--engine-source distro`: the distribution's own packages")),
        (Some(Source::Distro), _) if distribution.family == Family::Rhel => {
            Err(Error::other(format!("{distribution} has no Docker Engine among its own packages"))
                .hint("leave --engine-source out: Docker's own packages"))
        }
        (Some(asked), _) => Ok(asked),
        (None, Some(package)) => Ok(if package.starts_with("docker-ce") { Source::Docker } else { Source::Distro }),
        (None, None) if served => Ok(Source::Docker),
        (None, None) => {
            if matches!(distribution.family, Family::Debian | Family::Ubuntu) {
                warnings.push(format!(
                    "Docker is not known to have packages for {distribution}: the distribution's own are taken"
                ));
            }
            Ok(Source::Distro)
        }
    }
}

/// Releases that Docker's package source serves (docs.docker.com/engine/install, "Supported platforms").
fn served_by_docker(distribution: &Distribution) -> bool {
    match distribution.family {
        Family::Debian => matches!(distribution.codename.as_str(), "bullseye" | "bookworm" | "trixie"),
        Family::Ubuntu => {
            matches!(distribution.codename.as_str(), "focal" | "jammy" | "noble" | "plucky" | "questing" | "resolute")
        }
        Family::Fedora => true,
        Family::Rhel => matches!(distribution.major(), "8" | "9" | "10"),
        Family::Amazon | Family::Suse | Family::Alpine | Family::Arch => false,
    }
}

/// `script` with a unit that cannot start: packages start the engine as they come in, before its settings are there. The mask
/// lies in memory, so that a crash leaves it no longer than to the next start of the host; the next run takes it away, too.
fn unstarted(facts: &Facts, script: &str) -> String {
    if facts.init != Init::Systemd || facts.dockerd.is_some() {
        return format!("set -e\n{script}");
    }
    format!(
        "set -e\n\
         unmask() {{ systemctl unmask --runtime docker.service docker.socket >/dev/null 2>&1 || true; }}\n\
         trap unmask EXIT\n\
         systemctl mask --runtime docker.service docker.socket >/dev/null 2>&1 || true\n\
         {script}"
    )
}

/// The way of docker-machine's `--engine-install-url`. Whole on the disk before any of it runs.
fn by_script(url: &str) -> String {
    let url = quote(url);
    format!(
        "set -e\nfile=$(mktemp)\ntrap 'rm -f \"$file\"' EXIT\n\
         if command -v curl >/dev/null; then curl -fsSL --retry 3 -o \"$file\" {url}\n\
         elif command -v wget >/dev/null; then wget -q -O \"$file\" {url}\n\
         else echo 'machine: neither curl nor wget is installed on the host' >&2; exit 1; fi\n\
         [ -s \"$file\" ] || {{ echo 'machine: the script is empty' >&2; exit 1; }}\n\
         sh \"$file\"\n\
         command -v dockerd >/dev/null || {{ echo 'machine: the script left no dockerd' >&2; exit 1; }}\n\
         : >{CHANGED}\n"
    )
}
