//! `cargo xtask bench`: ratios, all measured in one run. Nothing here passes or fails.

mod boot;
mod commands;
mod containers;
mod folders;
mod ports;
mod stock;
mod warm;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::command::{Output, Program};
use crate::setup::{self, Group, docker_environment};
use crate::{Result, demo, image, places};

#[derive(Args)]
pub struct Options {
    /// How many machines are created (and bare QEMUs booted, turn about)
    #[arg(long, default_value_t = 3, value_name = "N")]
    boots: usize,
    /// How often each quick command is run
    #[arg(long, default_value_t = 200, value_name = "N")]
    runs: usize,
    /// Only this part (repeat)
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Warm starts and suspension.
    Warm,
    /// A boot, and quick commands.
    Boot,
    /// Published ports.
    Ports,
    /// Shared folders.
    Folders,
}

/// A store of its own, with the release build of the program.
struct Bench {
    program: PathBuf,
    store: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Bench {
    fn machine(&self, words: &[&str]) -> Program {
        Program::new(&self.program).args(words).envs(&self.environment)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.store.join("machines").join(name)
    }

    /// Resident memory of a machine's supervisor, MB.
    fn resident(&self, name: &str) -> Result<f64> {
        let path = self.folder(name).join("run.json");
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let run: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let pid = run["supervisor"]["pid"].as_u64().ok_or("run.json names no supervisor")?;
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| format!("process {pid}: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(|error| format!("{line}: {error}"))?;
        Ok(kib * 1024.0 / 1e6)
    }
}

/// Measures and prints.
pub fn run(options: &Options, yes: bool) -> Result<()> {
    let output = &mut Output::Terminal;
    setup::run(&[Group::Build, Group::Vm, Group::Image], yes)?;
    Program::line("cargo build --locked --release -p machine-cli").run(output)?;
    let folder = image::build(&image::Options::default(), output)?;
    let store = places::cache()?.join(format!("bench-{}", std::process::id()));
    places::make_folder(&store)?;
    let mut environment = docker_environment()?;
    environment.push(("MACHINE_STORAGE_PATH".into(), store.clone().into()));
    environment.push(("DOCKER_CONFIG".into(), store.join("docker").into()));
    let bench = Bench { program: demo::built_program()?, store, environment };
    let result = image::stock(output).and_then(|stock| measure(&bench, options, &folder, &stock, output));
    // Whatever happened, nothing of it stays.
    for name in ["dev", "bare", "warm", "ports", "folders"] {
        let _ = bench.machine(&["--quiet", "rm", "-f", name]).read();
    }
    places::remove_folder(&bench.store)?;
    result
}

fn measure(bench: &Bench, options: &Options, image: &Path, stock: &Path, output: &mut Output) -> Result<()> {
    bench.machine(&["image", "import"]).arg(image).run(output)?;
    println!("load at the beginning: {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    if wanted(Part::Warm) {
        warm::measure(bench, options.boots, stock)?;
    }
    if wanted(Part::Ports) {
        ports::measure(bench, options.boots)?;
    }
    if wanted(Part::Folders) {
        folders::measure(bench, options.boots)?;
    }
    if wanted(Part::Boot) {
        boot::measure(bench, options.boots)?;
        commands::measure(bench, options.runs)?;
    }
    Ok(())
}

/// Runs `work` and says how long it took.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let begun = Instant::now();
    Ok((work()?, begun.elapsed()))
}

/// The middle of some measurements.
fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ratio(time: Duration, base: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() / base.as_secs_f64().max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_and_a_ratio_has_two_digits() {
        let mut times = [5, 1, 3].map(Duration::from_secs);
        assert_eq!(median(&mut times), Duration::from_secs(3));
        assert_eq!(ratio(Duration::from_secs(3), Duration::from_secs(2)), "1.50");
    }
}
