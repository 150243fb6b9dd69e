//! apt and dpkg.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::backports::{self, Backports};
use crate::Result;
use crate::command::{Output, Program};
use crate::places;

/// The file of the source that we add.
const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/machine-backports.sources";

/// Which of the packages are installed.
pub fn installed(names: &[&str]) -> Result<BTreeSet<String>> {
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    // dpkg-query fails when it knows nothing of one of them; what it knows of the others it prints all the same.
    let script = "dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n' \"$@\" 2>/dev/null; true";
    let text = Program::new("sh").args(["-c", script, "sh"]).args(names).read()?;
    Ok(installed_names(&text))
}

fn installed_names(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.strip_suffix(" installed")).map(str::to_owned).collect()
}

/// Fetches the lists of packages.
pub fn update(output: &mut Output) -> Result<()> {
    as_root("apt-get", &["-o", "DPkg::Lock::Timeout=300", "update", "-q"], output)
}

/// Installs packages.
pub fn install(names: &[&str], output: &mut Output) -> Result<()> {
    install_preferring(names, None, output)
}

/// Installs packages; those that match `preferred` (apt's patterns) come from the suite of backports.
///
/// Not with `-t`: that takes everything they depend on from there too, down to libraries of which packages of the main
/// suite then find a newer version than the one they are tied to (seen: libelf1, needed by QEMU and by Wine).
pub fn install_from_backports(names: &[&str], preferred: &str, output: &mut Output) -> Result<()> {
    let suite = enable_backports(output)?;
    let preferences = places::cache()?.join("apt-preferences");
    let text = format!("Package: {preferred}\nPin: release n={suite}\nPin-Priority: 990\n");
    fs::write(&preferences, text).map_err(|error| format!("cannot write {}: {error}", preferences.display()))?;
    install_preferring(names, Some(&preferences), output)
}

/// Installs packages; where `sign` is installed from the backports, what matches `preferred` (apt's patterns) comes from there
/// too: a library's `-dev` package wants the very version of the library (seen: QEMU's backport brings libwayland and libwebp).
pub fn install_beside_backports(names: &[&str], sign: &str, preferred: &str, output: &mut Output) -> Result<()> {
    let version = Program::line("dpkg-query --show --showformat ${Version}").arg(sign).read().unwrap_or_default();
    if version.contains("~bpo") { install_from_backports(names, preferred, output) } else { install(names, output) }
}

fn install_preferring(names: &[&str], preferences: Option<&Path>, output: &mut Output) -> Result<()> {
    let preferences = preferences.map(|path| format!("Dir::Etc::Preferences={}", path.display()));
    let mut arguments = vec!["-o", "DPkg::Lock::Timeout=300"];
    arguments.extend(preferences.iter().flat_map(|option| ["-o", option]));
    arguments.extend(["install", "-q", "-y", "--no-install-recommends"]);
    arguments.extend(names);
    as_root("apt-get", &arguments, output)
}

/// The version that would be installed, if apt knows the package.
pub fn candidate(name: &str) -> Option<String> {
    candidate_version(&Program::new("apt-cache").args(["policy", name]).env("LC_ALL", "C").read().ok()?)
}

fn candidate_version(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// Makes apt know the backports of this computer's distribution; returns the name of their suite.
fn enable_backports(output: &mut Output) -> Result<String> {
    let codename = os_release("VERSION_CODENAME").ok_or("/etc/os-release names no release of a distribution")?;
    match backports::derive(&configuration(), &codename) {
        Backports::Known => {}
        Backports::Add(text) => {
            output.line(&format!("adding the suite {codename}-backports to apt's sources, as {BACKPORTS_FILE}"));
            let copy = places::cache()?.join("machine-backports.sources");
            fs::write(&copy, text).map_err(|error| format!("cannot write {}: {error}", copy.display()))?;
            as_root("install", &["-m", "644", &copy.to_string_lossy(), BACKPORTS_FILE], output)?;
            update(output)?;
        }
        Backports::Unknown => {
            return Err(format!(
                "apt has no source of the suite {codename} from which its backports could be derived; \
                 add {codename}-backports to apt's sources and run this again"
            ));
        }
    }
    Ok(format!("{codename}-backports"))
}

/// A value of `/etc/os-release`.
pub fn os_release(key: &str) -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.trim_matches('"').to_owned()))
}

/// apt's files of sources.
fn configuration() -> Vec<(String, String)> {
    let listed = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = listed.filter(|path| has_extension(path, &["list", "sources"])).collect();
    paths.push("/etc/apt/sources.list".into());
    paths.sort();
    paths
        .iter()
        .filter_map(|path| Some((path.to_string_lossy().into_owned(), fs::read_to_string(path).ok()?)))
        .collect()
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted))
}

/// Runs a program as root, by sudo where we are not.
fn as_root(program: &str, arguments: &[&str], output: &mut Output) -> Result<()> {
    let is_root = Program::line("id -u").read()?.trim() == "0";
    let command = if is_root {
        Program::new("env")
    } else if places::find_program("sudo").is_some() {
        Program::new("sudo").arg("env").interactive()
    } else {
        return Err(format!("root's rights are needed to run {program}: run this as root, or install sudo"));
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", program]).args(arguments).run(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_that_are_wholly_installed_count() {
        let names = installed_names("zsh installed\nfish not-installed\ntcsh config-files\nlibssl-dev installed\n");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["libssl-dev", "zsh"]);
    }

    #[test]
    fn a_package_without_a_candidate_has_no_version() {
        assert_eq!(candidate_version("a:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_version("a:\n  Candidate: 1:7.2-7\n  Version table:\n"), Some("1:7.2-7".to_owned()));
        assert_eq!(candidate_version(""), None);
    }
}
