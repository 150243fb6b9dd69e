//! What is checked for which system.

use clap::Args;

use super::toolchain::{MACOS, MACOS_ARM, Toolchain, WINDOWS, WINDOWS_MSVC};
use super::wine;
use crate::Result;
use crate::command::{Output, Program};

/// The desktop app: only linted, and without the front end, which would have to be built first.
const DESKTOP: &str = "machine-desktop";

#[derive(Args, Default)]
pub struct Options {
    /// Also the slow and seldom ones: Windows by Microsoft's tools, Apple silicon
    #[arg(long)]
    all: bool,
    /// Only these packages
    #[arg(long, short)]
    package: Vec<String>,
}

impl Options {
    /// The packages, or all that go to users' computers.
    fn select(&self, program: Program) -> Program {
        if self.package.is_empty() {
            program.args(["--workspace", "--exclude", "xtask", "--exclude", "machine-tests", "--exclude", DESKTOP])
        } else {
            self.package.iter().fold(program, |program, name| program.args(["--package", name]))
        }
    }
}

/// Tests that say nothing under Wine 8, and why. Each was looked at; what a real Windows does there is not known.
const NOT_UNDER_WINE: &[(&str, &str)] = &[
    ("a_context_that_is_not_ours_is_never_touched", "there is no docker.exe"),
    ("the_current_context_is_set_and_unset_and_other_settings_stay", "there is no docker.exe"),
    ("the_docker_command_lists_inspects_and_exports_a_context_of_ours", "there is no docker.exe"),
    ("half_downloads_survive_pruning_until_they_are_old", "the test sets a file's time, which Wine does not keep"),
    ("an_image_brought_again_repairs_a_damaged_one", "Wine 8 cannot replace a read-only file"),
    ("removal_is_refused_while_machines_use_the_image_and_names_them", "Wine 8 cannot remove a read-only file"),
    ("what_cannot_be_used_is_a_row_that_says_why_and_can_be_removed", "Wine 8 cannot replace a read-only file"),
];

/// Runs the checks; returns what to say of them.
pub fn run(options: &Options, output: &mut Output) -> Result<String> {
    let Some(toolchain) = Toolchain::find()? else {
        return Ok("not checked: Debian's rustc-web and rust-web-src are not installed".to_owned());
    };
    let lint = |target: &str, output: &mut Output| -> Result<()> {
        toolchain.prepare(target, output)?;
        let clippy = options.select(toolchain.cargo(target, "clippy")?);
        clippy.args(["--", "-D", "warnings"]).limit_minutes(20).run(output)
    };
    let lint_desktop = |target: &str, output: &mut Output| -> Result<()> {
        if !options.package.is_empty() {
            return Ok(());
        }
        // Tauri insists on the folder of the front end, whatever is in it.
        let front_end = crate::places::root()?.join("ui").join("dist").join("app");
        crate::places::make_folder(&front_end)?;
        let clippy = toolchain.cargo(target, "clippy")?.args(["--no-default-features", "--package", DESKTOP]);
        clippy.args(["--", "-D", "warnings"]).limit_minutes(20).run(output)
    };
    lint(WINDOWS, output)?;
    lint_desktop(WINDOWS, output)?;
    let wine = wine::prepare(&toolchain, output)?;
    let test = options.select(toolchain.cargo(WINDOWS, "test --tests --no-fail-fast")?).envs(&wine);
    // Snapshots are found from the workspace, which insta asks a cargo for that Wine cannot start.
    let root = crate::places::root()?;
    let test = test.env("INSTA_WORKSPACE_ROOT", format!("Z:{}", root.display()));
    let skipped = NOT_UNDER_WINE.iter().flat_map(|(test, _)| ["--skip", test]);
    test.arg("--").args(skipped).limit_minutes(20).run(output)?;
    lint(MACOS, output)?;
    lint_desktop(MACOS, output)?;
    if options.all {
        lint(WINDOWS_MSVC, output)?;
        lint(MACOS_ARM, output)?;
    }
    Ok(format!("with {}", toolchain.version()))
}
