//! The desktop app: its front end in a browser over played machines, then its real window, with a QEMU that is played and with a
//! real machine.

use super::runner::docker_environment;
use super::stages::{Context, Outcome, WINDOW, WITH_MACHINES};
use crate::command::{Output, Program};
use crate::{Result, image, places};

/// The oldest Node.js that Vite 8 runs on (its `engines`).
const OLDEST_NODE: (u32, u32) = (20, 19);

/// What the app is made from, the program that supervises its machines, and the tests: one selection, so that shared
/// dependencies are compiled once.
const PACKAGES: &str = "-p machine-desktop -p machine-cli -p machine-tests";

/// Six hundred crates that nobody runs for their speed: unoptimised they take half the time (6 CPU minutes from nothing).
const LIGHT: [&str; 2] = ["--config", "profile.dev.package.\"*\".opt-level=0"];

/// Checks all of it.
pub fn check(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    check_node()?;
    // Colours would hide the count of tests from whoever reads the log.
    let npm = |words: &str| Program::new("npm").args(words.split_whitespace()).env("NO_COLOR", "1");
    npm("ci --no-audit --no-fund --prefer-offline").limit_minutes(10).run(output)?;
    npm("run check").limit_minutes(10).run(output)?;
    npm("run build").limit_minutes(10).run(output)?;
    npm("test").limit_minutes(10).run(output)?;
    let cargo = |context: &Context, words: &str| context.cargo(words).args(LIGHT).limit_minutes(30);
    let clippy = cargo(context, "clippy --locked -p machine-desktop --all-targets");
    clippy.args(["--", "-D", "warnings"]).run(output)?;
    cargo(context, &format!("build --locked {PACKAGES} --bins")).run(output)?;
    let words = format!("test --locked {PACKAGES} --no-fail-fast --bin machine-desktop --test {WINDOW}");
    cargo(context, &words).args(["--", "--skip", WITH_MACHINES]).run(output)?;
    docker_environment(context)?;
    let image = image::build(&image::Options::default(), output)?;
    let test = cargo(context, &format!("test --locked {PACKAGES} --test {WINDOW}")).arg(WITH_MACHINES);
    test.env("MACHINE_TEST_IMAGE", image).run(output).map(|()| Outcome::Done)
}

fn check_node() -> Result<()> {
    let (major, minor) = OLDEST_NODE;
    let hint = format!("Node.js {major}.{minor} or newer is needed (https://nodejs.org, or a newer distribution)");
    if places::find_program("node").is_none() {
        return Err(hint);
    }
    let version = Program::line("node --version").read()?;
    if version_of(&version).is_some_and(|found| found >= OLDEST_NODE) {
        Ok(())
    } else {
        Err(format!("{hint}; here it is {}", version.trim()))
    }
}

/// `v20.19.1` as two numbers.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().trim_start_matches('v').split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_node_is_told_from_a_newer_one() {
        assert!(version_of("v20.20.2\n").unwrap() >= OLDEST_NODE);
        assert!(version_of("v18.20.4").unwrap() < OLDEST_NODE);
        assert_eq!(version_of("node"), None);
    }
}
