//! What people and CI run on a clone: `cargo xtask setup | test | image | man | cross | demo | bench`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool of this repository that talks to its terminal")]

mod bench;
mod check;
mod command;
mod cross;
mod demo;
mod image;
mod man;
mod places;
mod setup;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// What went wrong, what to do about it: text for the person at the terminal.
type Result<T, E = String> = std::result::Result<T, E>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What people and CI run on a clone of this project")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the system packages that building and testing needs (Debian, Ubuntu)
    Setup {
        #[command(flatten)]
        consent: Consent,
        /// The groups to install; all that this clone can use when none is named
        #[arg(value_enum)]
        groups: Vec<setup::Group>,
    },
    /// Run everything that CI runs
    Test(check::Options),
    /// Build the project's own machine image into the cache, and print its folder
    Image(image::Options),
    /// Write the manual pages into target/man
    Man,
    /// Check that the code builds, lints and (under Wine) runs for Windows and macOS
    Cross {
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        options: cross::Options,
    },
    /// Measure: ratios in one run, against /bin/true and bare QEMU
    Bench {
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        options: bench::Options,
    },
    /// From nothing to a running machine with a container in it
    Demo {
        #[command(flatten)]
        consent: Consent,
        /// The name of the machine
        #[arg(default_value = "dev")]
        name: String,
    },
}

#[derive(Args, Clone, Copy)]
struct Consent {
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,
}

fn run(task: Task) -> Result<()> {
    let root: PathBuf = places::root()?;
    std::env::set_current_dir(&root).map_err(|error| format!("cannot enter {}: {error}", root.display()))?;
    match task {
        Task::Setup { consent, groups } => {
            let groups = if groups.is_empty() { setup::Group::of_this_clone(&root) } else { groups };
            setup::run(&groups, consent.yes)?;
            println!("setup: nothing is missing now");
            Ok(())
        }
        Task::Test(options) => check::run(&options),
        Task::Image(options) => {
            let mut terminal = command::Output::Terminal;
            let folder =
                if options.bare { image::bare(&mut terminal)? } else { image::build(&options, &mut terminal)? };
            println!("{}", folder.display());
            Ok(())
        }
        Task::Man => {
            println!("{}", man::write(&mut command::Output::Terminal)?.display());
            Ok(())
        }
        Task::Cross { consent, options } => {
            setup::run(&[setup::Group::Build, setup::Group::Python, setup::Group::Cross], consent.yes)?;
            cross::run(&options, &mut command::Output::Terminal).map(|note| println!("{note}"))
        }
        Task::Bench { consent, options } => bench::run(&options, consent.yes),
        Task::Demo { consent, name } => demo::run(&name, consent.yes),
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
