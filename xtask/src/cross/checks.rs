//! What is checked for which system.

use clap::Args;

use super::toolchain::{MACOS, MACOS_ARM, Toolchain, WINDOWS, WINDOWS_MSVC};
use super::wine;
use crate::Result;
use crate::command::{Output, Program};

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
            program.args(["--workspace", "--exclude", "xtask", "--exclude", "machine-tests"])
        } else {
            self.package.iter().fold(program, |program, name| program.args(["--package", name]))
        }
    }
}

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
    lint(WINDOWS, output)?;
    let wine = wine::prepare(&toolchain, output)?;
    let test = options.select(toolchain.cargo(WINDOWS, "test --tests --no-fail-fast")?).envs(&wine);
    test.limit_minutes(20).run(output)?;
    lint(MACOS, output)?;
    if options.all {
        lint(WINDOWS_MSVC, output)?;
        lint(MACOS_ARM, output)?;
    }
    Ok(format!("with {}", toolchain.version()))
}
