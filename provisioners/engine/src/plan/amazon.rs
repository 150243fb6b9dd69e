//! Amazon Linux 2 and 2023: Docker has no packages for them, Amazon has.

use machine_core::{Error, Result};

use super::packaging::{Case, Scripts};
use super::rpm;

/// Compose, where no package has it: Docker's own release, by its digest (the `.sha256` files of the release).
pub(super) const COMPOSE: &str = "\
case $(uname -m) in
    x86_64) digest=dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372 ;;
    aarch64) digest=d26373b19e89160546d15407516cc59f453030d9bc5b43ba7faf16f7b4980137 ;;
    *) echo \"machine: there is no Compose for $(uname -m) here\" >&2; exit 1 ;;
esac
umask 022
mkdir -p /usr/local/lib/docker/cli-plugins
new=/usr/local/lib/docker/cli-plugins/.docker-compose.new
curl -fsSL --retry 3 --proto =https -o \"$new\" \\
    \"https://github.com/docker/compose/releases/download/v2.40.3/docker-compose-linux-$(uname -m)\"
echo \"$digest  $new\" | sha256sum -c - >/dev/null || { rm -f \"$new\"; echo 'machine: Compose came with another digest than the known one' >&2; exit 1; }
chmod 755 \"$new\"
mv -f \"$new\" /usr/local/lib/docker/cli-plugins/docker-compose
";

pub(super) fn scripts(case: &Case<'_>) -> Result<Scripts> {
    let version = case.version.map(|version| format!("-{version}*")).unwrap_or_default();
    let engine = match case.distribution.version.as_str() {
        // There it is a topic of "extras".
        "2" => format!(
            "if command -v amazon-linux-extras >/dev/null; then amazon-linux-extras enable docker >/dev/null; fi\n\
             yum -y install 'docker{version}'\n"
        ),
        "2018.03" | "2017.09" => {
            return Err(Error::other(format!("{} is too old for Docker Engine", case.distribution))
                .hint("use Amazon Linux 2023 or 2"));
        }
        _ => format!("dnf -y install 'docker{version}'\n"),
    };
    Ok(Scripts {
        repository: None,
        engine,
        // buildx comes with Amazon's package of the engine, where it does.
        plugins: format!("set -e\n{COMPOSE}"),
        upgrade: rpm::upgrade(if case.distribution.version == "2" { "yum" } else { "dnf" }),
        has_buildx: false,
    })
}
