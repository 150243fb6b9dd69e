//! sync

use machine_app::{App, SyncAction, SyncReport, SyncWords};
use machine_core::{Reporter, Result};

use crate::arguments::Sync;
use crate::outcome::{Format, bytes, print_json};
use crate::progress::{Manner, took};

/// How many of a kind of trouble are shown one by one.
const SHOWN: usize = 20;

pub fn run(app: &App, arguments: Sync, manner: Manner) -> Result<i32> {
    let Sync { from, to, two_way, delete, exclude, gitignore, dry_run, watch, format } = arguments;
    let words = SyncWords { from, to, two_way, delete, exclude, gitignore, dry_run, watch };
    let machine = app.sync_machine(&words)?;
    let shown = manner.begin(Some(machine.as_str()));
    let teller = Teller { format, dry_run, watch, reporter: shown.reporter.clone() };
    let result = crate::block_on(app.sync(words, &shown.reporter, move |report| teller.tell(report)));
    shown.finish(&result);
    let report = result?;
    shown.say(&format!("({machine}) {}", summary(&report, dry_run)));
    Ok(i32::from(!report.is_clean()))
}

/// Shows what each run did.
struct Teller {
    format: Format,
    dry_run: bool,
    watch: bool,
    reporter: Reporter,
}

impl Teller {
    fn tell(&self, report: &SyncReport) {
        if self.format == Format::Json && self.watch {
            // One line each, for whoever reads along.
            if let Ok(line) = serde_json::to_string(report) {
                println!("{line}");
            }
        } else if self.format == Format::Json {
            print_json(report);
        } else if self.dry_run {
            for change in &report.changes {
                println!("{} {}", verb(change.action), change.place);
            }
            for conflict in &report.conflicts {
                println!("conflict {}", conflict.place);
            }
        }
        self.warn(report);
        if self.watch {
            self.reporter.info(summary(report, self.dry_run));
        }
    }

    fn warn(&self, report: &SyncReport) {
        for conflict in report.conflicts.iter().take(SHOWN) {
            self.reporter.warn(format!(
                "{} changed on both sides: the machine's is kept as {}",
                conflict.place, conflict.machine
            ));
        }
        for problem in report.problems.iter().take(SHOWN) {
            self.reporter.warn(format!("{} was not copied: {}", problem.place, problem.why));
        }
        let more = report.conflicts.len().saturating_sub(SHOWN) + report.problems.len().saturating_sub(SHOWN);
        if more > 0 {
            self.reporter.warn(format!("and {more} more; --format json has them all"));
        }
        if !report.skipped.is_empty() {
            self.reporter.detail(format!("{} sockets, pipes and devices were left out", report.skipped.len()));
        }
    }
}

fn verb(action: SyncAction) -> &'static str {
    match action {
        SyncAction::Send => "send",
        SyncAction::Receive => "receive",
        SyncAction::RemoveThere => "remove there",
        SyncAction::RemoveHere => "remove here",
    }
}

fn summary(report: &SyncReport, dry_run: bool) -> String {
    let removed = |wanted| report.changes.iter().filter(|change| change.action == wanted).count();
    let copied = |what: &str, copied: machine_app::SyncCopied| {
        (copied.entries > 0).then(|| format!("{} {what} ({})", copied.entries, bytes(copied.bytes)))
    };
    let gone = |what: &str, count: usize| (count > 0).then(|| format!("{count} removed {what}"));
    let parts: Vec<String> = [
        copied("sent", report.sent),
        copied("received", report.received),
        gone("there", removed(SyncAction::RemoveThere)),
        gone("here", removed(SyncAction::RemoveHere)),
        (!report.conflicts.is_empty()).then(|| format!("{} kept twice", report.conflicts.len())),
    ]
    .into_iter()
    .flatten()
    .collect();
    let what = if parts.is_empty() { "nothing to copy".to_owned() } else { parts.join(", ") };
    let seconds = took(std::time::Duration::from_secs_f64(report.seconds));
    if dry_run { format!("would be: {what}") } else { format!("{what} in {seconds}") }
}
