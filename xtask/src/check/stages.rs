//! The stages: a table, and what each of them runs.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use super::runner::docker_environment;
use super::{deny, desktop, leaks};
use crate::command::{Output, Program};
use crate::setup::{self, Group};
use crate::{Result, cross, image};

/// What the stages know of this run.
pub struct Context {
    /// The root of the clone.
    pub root: PathBuf,
    /// The cache outside the clone.
    pub cache: PathBuf,
    /// Slow stages are left out.
    pub fast: bool,
    /// Packages may be installed without asking.
    pub yes: bool,
    /// Set for every program that a stage runs.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder of our own image, once it is built.
    pub image: Option<PathBuf>,
}

/// How a stage ended that did not fail.
pub enum Outcome {
    /// It passed.
    Done,
    /// It passed, with a word to add.
    Note(String),
    /// It has nothing to do or cannot be done on this computer: why.
    Skipped(String),
}

/// One named part of the whole.
pub struct Stage {
    pub name: &'static str,
    pub what: &'static str,
    /// It boots machines, or takes minutes: `--fast` leaves it out.
    pub slow: bool,
    pub run: fn(&mut Context, &mut Output) -> Result<Outcome>,
}

const fn quick(name: &'static str, what: &'static str, run: fn(&mut Context, &mut Output) -> Result<Outcome>) -> Stage {
    Stage { name, what, slow: false, run }
}

const fn slow(name: &'static str, what: &'static str, run: fn(&mut Context, &mut Output) -> Result<Outcome>) -> Stage {
    Stage { name, what, slow: true, run }
}

/// All of them, in the order in which they run: what fails soonest and cheapest first.
pub const STAGES: &[Stage] = &[
    quick("setup", "system packages", packages),
    quick("fmt", "the code is formatted", fmt),
    quick("house", "the rules of the house, and this tool's own tests", house),
    quick("leaks", "no file names a package mirror or a folder of this computer", leaks::check),
    quick("clippy", "no warnings", clippy),
    quick("deny", "licences and sources of the dependencies", deny::check),
    quick("docs", "the documentation builds without warnings", docs),
    quick("unit", "tests of every crate", unit),
    quick("e2e", "tests of the program, without machines", fast_end_to_end),
    slow("image", "the machine image builds", machine_image),
    slow("vm", "tests of the program, with real machines", with_machines),
    slow("desktop", "lints and tests of the desktop app, in a browser and in the real window", desktop::check),
    slow("cross", "lints and tests for Windows and macOS", for_other_systems),
];

impl Context {
    /// cargo, with this run's environment.
    pub fn cargo(&self, words: &str) -> Program {
        Program::new("cargo").args(words.split_whitespace()).envs(&self.environment)
    }
}

fn packages(context: &mut Context, _: &mut Output) -> Result<Outcome> {
    let mut groups = Group::of_this_clone(&context.root);
    if context.fast {
        groups.retain(|group| !matches!(group, Group::Image | Group::Cross | Group::Desktop));
    }
    setup::run(&groups, context.yes).map(|()| Outcome::Done)
}

fn fmt(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    context.cargo("fmt --all -- --check --color never").run(output).map(|()| Outcome::Done)
}

fn house(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    context.cargo("test --locked -p xtask").run(output).map(|()| Outcome::Done)
}

fn clippy(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    context
        .cargo("clippy --locked --workspace --exclude machine-desktop --all-targets -- -D warnings")
        .run(output)
        .map(|()| Outcome::Done)
}

fn docs(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    let doc = context.cargo("doc --locked --workspace --exclude machine-desktop --no-deps");
    doc.env("RUSTDOCFLAGS", "-D warnings").run(output).map(|()| Outcome::Done)
}

// The workspace is always selected as a whole and narrowed by target, not by package: the features of shared
// dependencies follow from the selection, and another selection would compile them anew. The desktop app is not in it: it
// needs libraries that only its own stage asks for.

fn unit(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    build_tests(context, output)?;
    let others = integration_tests(&|package| package != END_TO_END && package != "xtask")?;
    let test = context
        .cargo("test --locked --workspace --exclude xtask --exclude machine-desktop --no-fail-fast --lib --bins");
    let named = others.iter().flat_map(|name| ["--test", name]);
    test.args(named).limit_minutes(20).run(output)?;
    let doc = context.cargo("test --locked --workspace --exclude xtask --exclude machine-desktop --doc");
    doc.limit_minutes(20).run(output).map(|()| Outcome::Done)
}

/// The crate of the tests that drive the real program.
const END_TO_END: &str = "machine-tests";

/// Its tests that open the window of the desktop app: a stage of their own.
pub(super) const WINDOW: &str = "window";

/// Tests with this in their names start real machines.
pub(super) const WITH_MACHINES: &str = "vm_";

fn end_to_end(context: &mut Context) -> Result<Option<Program>> {
    let mut tests = integration_tests(&|package| package == END_TO_END)?;
    tests.retain(|test| test != WINDOW);
    if tests.is_empty() {
        return Ok(None);
    }
    docker_environment(context)?;
    let test = context.cargo("test --locked --workspace --exclude xtask --exclude machine-desktop --no-fail-fast");
    Ok(Some(test.args(tests.iter().flat_map(|name| ["--test", name]))))
}

/// Builds every test, and the program for those that run it. Both in one go: what only tests ask of a dependency would
/// otherwise make it compile twice. That the program builds without it is seen by `docs` and `cross`.
fn build_tests(context: &Context, output: &mut Output) -> Result<()> {
    context.cargo("build --locked --workspace --exclude xtask --exclude machine-desktop --bins --tests").run(output)
}

fn fast_end_to_end(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    let Some(test) = end_to_end(context)? else {
        return Ok(Outcome::Skipped(format!("{END_TO_END} has no tests yet")));
    };
    build_tests(context, output)?;
    let test = test.env("MACHINE_TEST_MOTO", setup::moto(output)?);
    let test = test.env("MACHINE_TEST_NU", setup::nushell(output)?);
    // More than there are cores: they wait for played hosts most of the time.
    test.args(["--", "--test-threads=4", "--skip", WITH_MACHINES]).limit_minutes(15).run(output).map(|()| Outcome::Done)
}

fn machine_image(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    let folder = image::build(&image::Options::default(), output)?;
    context.image = Some(folder);
    Ok(Outcome::Done)
}

fn with_machines(context: &mut Context, output: &mut Output) -> Result<Outcome> {
    let Some(test) = end_to_end(context)? else {
        return Ok(Outcome::Skipped(format!("{END_TO_END} has no tests yet")));
    };
    let folder = match context.image.take() {
        Some(folder) => folder,
        None => image::build(&image::Options::default(), output)?,
    };
    let bare = image::bare(output)?;
    // Debian 12 has none; what it needs of the program in `PATH` is the same as where a distribution brings it.
    let virtiofsd = setup::crate_program("virtiofsd", "1.14.0", &[], output)?;
    let mut path: Vec<_> = virtiofsd.parent().map(PathBuf::from).into_iter().collect();
    let before = context.environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
    path.extend(before.or_else(|| std::env::var_os("PATH")).iter().flat_map(std::env::split_paths));
    let path = std::env::join_paths(path).map_err(|error| format!("PATH: {error}"))?;
    build_tests(context, output)?;
    // Two at once: a machine under software emulation boots on little more than one core, and tests wait in between.
    let test = test
        .args([WITH_MACHINES, "--", "--test-threads=2"])
        .env("MACHINE_TEST_IMAGE", folder)
        .env("MACHINE_TEST_BARE", bare)
        .env("PATH", path);
    test.limit_minutes(60).run(output).map(|()| Outcome::Done)
}

fn for_other_systems(_: &mut Context, output: &mut Output) -> Result<Outcome> {
    cross::run(&cross::Options::default(), output).map(Outcome::Note)
}

/// The integration tests of the packages that `wanted` accepts by name.
fn integration_tests(wanted: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
    let text = Program::line("cargo metadata --format-version 1 --no-deps --locked").read()?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(tests_of(&metadata, wanted))
}

fn tests_of(metadata: &Value, wanted: &dyn Fn(&str) -> bool) -> Vec<String> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    list(metadata, "packages")
        .iter()
        .filter(|package| package["name"].as_str().is_some_and(wanted))
        .flat_map(|package| list(package, "targets"))
        .filter(|target| list(target, "kind").iter().any(|kind| kind == "test"))
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_integration_tests_of_the_wanted_package_are_named() {
        let metadata = serde_json::json!({"packages": [
            {"name": "machine-tests", "targets": [
                {"name": "machine_tests", "kind": ["lib"]}, {"name": "machine", "kind": ["test"]}]},
            {"name": "machine-cli", "targets": [{"name": "cli", "kind": ["test"]}]},
        ]});
        assert_eq!(tests_of(&metadata, &|name| name == "machine-tests"), ["machine"]);
        assert_eq!(tests_of(&metadata, &|name| name != "machine-tests"), ["cli"]);
    }

    #[test]
    fn no_two_stages_have_one_name() {
        let mut names: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
