//! Finding what is missing, asking, installing.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use super::groups::{self, Group, OLDEST_QEMU, Proof};
use super::{apt, docker};
use crate::command::Output;
use crate::{Result, places};

/// What a group lacks.
struct Missing {
    group: Group,
    packages: Vec<&'static str>,
}

/// Sees to it that the packages of the groups are there; asks before it installs, unless `yes` or in CI. Silent when
/// nothing is missing.
pub fn run(groups: &[Group], yes: bool) -> Result<()> {
    if !cfg!(target_os = "linux") || places::find_program("apt-get").is_none() {
        return without_apt(groups);
    }
    let missing = find_missing(groups)?;
    if missing.is_empty() {
        return Ok(());
    }
    println!("\nSystem packages that are missing here:");
    for Missing { group, packages } in &missing {
        println!("  {} ({}):\n    {}", name(*group), group.why(), packages.join(" "));
    }
    if !yes && !places::in_ci() {
        ask()?;
    }
    places::make_folder(&places::cache()?)?;
    let mut output = Output::Terminal;
    apt::update(&mut output)?;
    let (mut plain, mut desktop) = (Vec::new(), Vec::new());
    for Missing { group, packages } in &missing {
        match group {
            Group::Vm => install_qemu(packages, &mut output)?,
            Group::Docker => docker::install(&mut output)?,
            // After QEMU, which may have brought newer libraries than those of the main suite.
            Group::Desktop => desktop.extend(packages),
            Group::Cross if apt::candidate("rustc-web").is_none() => {
                println!("note: this distribution has no package rustc-web: `cargo xtask cross` cannot run here");
            }
            _ => plain.extend(packages),
        }
    }
    if !plain.is_empty() {
        apt::install(&plain, &mut output)?;
    }
    if !desktop.is_empty() {
        apt::install_beside_backports(&desktop, "libwayland-client0", "src:wayland src:libwebp", &mut output)?;
    }
    let can_be_had = |missing: &Missing| missing.group != Group::Cross || apt::candidate("rustc-web").is_some();
    let still = find_missing(groups)?.into_iter().filter(can_be_had);
    let still: Vec<_> =
        still.map(|missing| format!("{} ({})", name(missing.group), missing.packages.join(" "))).collect();
    if still.is_empty() { Ok(()) } else { Err(format!("installed, and still missing: {}", still.join(", "))) }
}

/// What of the groups is not there.
fn find_missing(groups: &[Group]) -> Result<Vec<Missing>> {
    let packages = || groups.iter().flat_map(|group| group.packages());
    let by_name: Vec<_> = packages().filter(|package| package.proof == Proof::Package).map(|it| it.name).collect();
    let installed = apt::installed(&by_name)?;
    let is_there = |package: &&groups::Package| match package.proof {
        Proof::Package => installed.contains(package.name),
        proof => proof.holds(),
    };
    Ok(groups
        .iter()
        .filter(|group| **group != Group::Cross || apt::os_release("ID").is_some_and(|id| id == "debian"))
        .map(|&group| Missing {
            group,
            packages: group.packages().iter().filter(|package| !is_there(package)).map(|it| it.name).collect(),
        })
        .filter(|missing| !missing.packages.is_empty())
        .collect())
}

/// QEMU comes from the distribution's backports where its own is too old.
fn install_qemu(packages: &[&str], output: &mut Output) -> Result<()> {
    let first = packages.first().copied().unwrap_or_default();
    let offered = apt::candidate(first).and_then(|version| groups::major_version(&version));
    if offered.is_some_and(|version| version >= OLDEST_QEMU) {
        return apt::install(packages, output);
    }
    output.line(&format!("QEMU {OLDEST_QEMU} or newer is needed; this distribution's own is older"));
    apt::install_from_backports(packages, "qemu-* seabios ipxe-qemu", output)
}

fn ask() -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err("packages are missing and nobody is here to be asked: run `cargo xtask setup --yes`".to_owned());
    }
    print!("Install them with apt-get? [Y/n] ");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| format!("no answer could be read: {error}"))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        // An end of input is no consent, an empty line is.
        "" if !answer.is_empty() => Ok(()),
        "y" | "yes" => Ok(()),
        _ => Err("nothing was installed".to_owned()),
    }
}

/// On other systems the person installs; we say what.
fn without_apt(groups: &[Group]) -> Result<()> {
    let missing = |package: &&groups::Package| !matches!(package.proof, Proof::Package) && !package.proof.holds();
    let names: Vec<_> =
        groups.iter().flat_map(|group| group.packages()).filter(missing).map(|package| package.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    println!(
        "note: `setup` installs on Debian and Ubuntu only. These are not found here, under Debian's package names:\n  {}",
        names.join(" ")
    );
    Ok(())
}

fn name(group: Group) -> String {
    format!("{group:?}").to_lowercase()
}
