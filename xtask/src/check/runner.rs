//! Runs the stages one after the other and says how each of them went.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use clap::Args;

use super::stages::{Context, Outcome, STAGES, Stage};
use crate::command::Output;
use crate::{Consent, Result, places, setup};

/// How many lines of a failing stage's log are shown.
const SHOWN_LINES: usize = 200;

/// Builds of CI's clones share a target folder in the cache; beyond this many bytes it begins anew.
const SHARED_TARGET_LIMIT: u64 = 20 << 30;

#[derive(Args)]
pub struct Options {
    /// Leave out what boots a machine, opens a window or builds for other systems
    #[arg(long)]
    fast: bool,
    /// Go on after a stage that failed
    #[arg(long)]
    keep_going: bool,
    /// Run this stage only; may be given several times
    #[arg(long, value_name = "STAGE")]
    only: Vec<String>,
    /// List the stages and end
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    consent: Consent,
}

/// How a stage went.
enum Verdict {
    Passed(Option<String>),
    Skipped(String),
    Failed(String),
    NotRun,
}

/// Runs the stages that the options select.
pub fn run(options: &Options) -> Result<()> {
    let selected = select(STAGES, options.fast, &options.only)?;
    if options.list {
        for stage in selected {
            println!("{:<8} {}", stage.name, stage.what);
        }
        return Ok(());
    }
    let root = places::root()?;
    let logs = root.join("target").join("test-logs");
    places::make_folder(&logs)?;
    let cache = places::cache()?;
    places::make_folder(&cache)?;
    let mut context =
        Context { root, cache, fast: options.fast, yes: options.consent.yes, environment: Vec::new(), image: None };
    share_target_folder(&mut context)?;

    let begin = Instant::now();
    let mut rows = Vec::new();
    let mut tests = Tests::default();
    let mut go_on = true;
    for stage in &selected {
        if !go_on {
            rows.push((stage, Duration::ZERO, Verdict::NotRun));
            continue;
        }
        let log = logs.join(format!("{}.log", stage.name));
        let (time, verdict) = run_stage(stage, &mut context, &log)?;
        tests.add(&fs::read_to_string(&log).unwrap_or_default());
        go_on = options.keep_going || !matches!(verdict, Verdict::Failed(_));
        rows.push((stage, time, verdict));
    }

    println!("\nSummary, {}:", seconds(begin.elapsed()));
    for (stage, time, verdict) in &rows {
        let (word, note) = match verdict {
            Verdict::Passed(note) => ("passed", note.clone().unwrap_or_default()),
            Verdict::Skipped(why) => ("skipped", why.clone()),
            Verdict::Failed(why) => ("FAILED", why.clone()),
            Verdict::NotRun => ("not run", String::new()),
        };
        println!("{}", format!("  {:<8} {word:<8} {:>9}  {note}", stage.name, seconds(*time)).trim_end());
    }
    let failed: Vec<_> = rows.iter().filter(|row| matches!(row.2, Verdict::Failed(_))).map(|row| row.0.name).collect();
    if tests != Tests::default() {
        println!("\n{tests}");
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn run_stage(stage: &Stage, context: &mut Context, log: &Path) -> Result<(Duration, Verdict)> {
    print!("{:<8} {} ... ", stage.name, stage.what);
    let _ = std::io::stdout().flush();
    let mut output = Output::log(log)?;
    let begin = Instant::now();
    let outcome = (stage.run)(context, &mut output);
    let time = begin.elapsed();
    let verdict = match outcome {
        Ok(Outcome::Done) => Verdict::Passed(None),
        Ok(Outcome::Note(note)) => Verdict::Passed(Some(note)),
        Ok(Outcome::Skipped(why)) => Verdict::Skipped(why),
        Err(message) => Verdict::Failed(message),
    };
    match &verdict {
        Verdict::Passed(_) => println!("{}", seconds(time)),
        Verdict::Skipped(why) => println!("skipped: {why}"),
        Verdict::Failed(message) => {
            println!("FAILED after {}", seconds(time));
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            for line in shown {
                println!("    {line}");
            }
            println!("    {message}\n    whole log ({} lines): {}", lines.len(), log.display());
        }
        Verdict::NotRun => {}
    }
    Ok((time, verdict))
}

/// The stages to run, in their order.
fn select<'a>(stages: &'a [Stage], fast: bool, only: &[String]) -> Result<Vec<&'a Stage>> {
    if let Some(unknown) = only.iter().find(|name| !stages.iter().any(|stage| stage.name == **name)) {
        let names: Vec<_> = stages.iter().map(|stage| stage.name).collect();
        return Err(format!("there is no stage {unknown:?}; the stages are {}", names.join(", ")));
    }
    let wanted = |stage: &&Stage| {
        if only.is_empty() { !(fast && stage.slow) } else { only.iter().any(|name| name == stage.name) }
    };
    Ok(stages.iter().filter(wanted).collect())
}

/// In CI every run has a fresh clone: its builds share a target folder in the cache, so that dependencies are built once.
fn share_target_folder(context: &mut Context) -> Result<()> {
    if !places::in_ci() || env::var_os("CARGO_TARGET_DIR").is_some() {
        return Ok(());
    }
    let folder = context.cache.join("target");
    if size_of(&folder) > SHARED_TARGET_LIMIT {
        places::remove_folder(&folder)?;
    }
    context.environment.push(("CARGO_TARGET_DIR".into(), folder.into()));
    // What it would keep for the next build of the same clone is larger than all else there, and that build never comes.
    context.environment.push(("CARGO_INCREMENTAL".into(), "0".into()));
    Ok(())
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor())
    }
}

/// How many tests ran, as cargo's test runner counted them.
#[derive(Default, Debug, PartialEq, Eq)]
struct Tests {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tests {
    /// Adds the closing lines in a log: cargo's `test result: ok. 3 passed; 0 failed; 1 ignored; ...` and Vitest's
    /// `Tests  1 failed | 3 passed (4)`.
    fn add(&mut self, log: &str) {
        let closing = |line: &&str| line.starts_with("test result: ") || line.trim_start().starts_with("Tests  ");
        for line in log.lines().filter(closing) {
            let count = |word: &str| {
                let words: Vec<_> = line.split([' ', ';']).filter(|word| !word.is_empty()).collect();
                words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
            };
            self.passed += count("passed");
            self.failed += count("failed");
            self.ignored += count("ignored");
        }
    }
}

impl std::fmt::Display for Tests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 { write!(f, ", {} skipped", self.ignored) } else { Ok(()) }
    }
}

/// What the stages that talk to Docker need in their environment; known only after the set-up.
pub fn docker_environment(context: &mut Context) -> Result<()> {
    if !context.environment.iter().any(|(name, _)| name == "PATH") {
        context.environment.extend(setup::docker_environment()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(fast: bool, only: &[&str]) -> Result<Vec<&'static str>> {
        let only: Vec<_> = only.iter().map(|&name| name.to_owned()).collect();
        Ok(select(STAGES, fast, &only)?.into_iter().map(|stage| stage.name).collect())
    }

    #[test]
    fn everything_runs_in_the_order_of_the_table_when_nothing_is_said() {
        let all: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        assert_eq!(names(false, &[]).unwrap(), all);
        assert_eq!(all.first(), Some(&"setup"));
    }

    #[test]
    fn fast_leaves_out_what_boots_a_machine_and_keeps_the_rest() {
        let fast = names(true, &[]).unwrap();
        assert!(["vm", "image", "cross", "desktop"].iter().all(|slow| !fast.contains(slow)), "{fast:?}");
        assert!(fast.contains(&"unit") && fast.contains(&"e2e") && fast.contains(&"clippy"), "{fast:?}");
    }

    #[test]
    fn a_named_stage_runs_alone_even_when_it_is_slow() {
        assert_eq!(names(true, &["vm", "fmt"]).unwrap(), ["fmt", "vm"]);
    }

    #[test]
    fn an_unknown_stage_is_refused_with_the_names_of_those_there_are() {
        let error = names(false, &["clipy"]).unwrap_err();
        assert!(error.contains("clipy") && error.contains("clippy"), "{error}");
    }

    #[test]
    fn tests_are_counted_over_all_closing_lines() {
        let mut tests = Tests::default();
        tests.add(
            "noise\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        tests.add("test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1s\n");
        tests.add(" Test Files  3 passed (3)\n      Tests  1 failed | 20 passed (21)\n");
        assert_eq!(tests, Tests { passed: 33, failed: 3, ignored: 1 });
        assert_eq!(tests.to_string(), "33 passed, 3 failed, 1 skipped");
    }
}
