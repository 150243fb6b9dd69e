//! Progress on standard error: live on a terminal, plain lines elsewhere, JSON lines for programs.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use machine_app::Environment;
use machine_core::{Event, EventKind, Level, Reporter};

use crate::arguments::{Global, Progress};
use crate::outcome::bytes;

/// How this run shows progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    how: How,
    verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Live,
    Plain,
    Json,
    Quiet,
}

impl Manner {
    /// What the arguments and the terminal ask for.
    pub fn of(arguments: &Global) -> Self {
        let how = match arguments.progress {
            Progress::Json => How::Json,
            _ if arguments.quiet => How::Quiet,
            Progress::Plain => How::Plain,
            Progress::Auto if std::io::stderr().is_terminal() => How::Live,
            Progress::Auto => How::Plain,
        };
        Self { how, verbose: arguments.verbose }
    }

    /// Whether everything shall be shown.
    pub fn is_verbose(self) -> bool {
        self.verbose
    }

    /// The same with several machines at once: one line that redraws itself cannot speak for more than one.
    pub fn for_several(self) -> Self {
        if self.how == How::Live { Self { how: How::Plain, ..self } } else { self }
    }

    /// Shows the progress of work on `machine` until it is finished.
    pub fn begin(self, machine: Option<&str>) -> Shown {
        let screen = Arc::new(Mutex::new(Screen {
            how: self.how,
            verbose: self.verbose,
            machine: machine.map(str::to_owned),
            begun: Instant::now(),
            stage: None,
            warned: Vec::new(),
        }));
        let sink = Arc::clone(&screen);
        let reporter = Reporter::new(move |kind| sink.lock().unwrap_or_else(PoisonError::into_inner).show(kind));
        Shown { screen, reporter }
    }
}

/// Progress that is being shown.
pub struct Shown {
    screen: Arc<Mutex<Screen>>,
    /// Where the work reports to.
    pub reporter: Reporter,
}

impl Shown {
    /// Ends the present stage: with a check mark, or as what failed.
    pub fn finish<T, E>(&self, result: &Result<T, E>) {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).end_stage(result.is_ok());
    }

    /// Prints a closing line, unless silence was asked for.
    pub fn say(&self, text: &str) {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(screen.how, How::Live | How::Plain) {
            eprintln!("{text}");
        }
    }

    /// Time since the work began.
    pub fn elapsed(&self) -> Duration {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).begun.elapsed()
    }
}

struct Screen {
    how: How,
    verbose: bool,
    machine: Option<String>,
    begun: Instant,
    stage: Option<Running>,
    /// Warnings already shown: the same one from two places (a check, then the start itself) is said once.
    warned: Vec<String>,
}

struct Running {
    id: &'static str,
    title: String,
    begun: Instant,
    bar: Option<ProgressBar>,
}

/// Text as a terminal may have it: what a machine says must not move the cursor, or worse.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

impl Screen {
    fn show(&mut self, mut kind: EventKind) {
        match &mut kind {
            EventKind::Stage(stage) => stage.title = plain(&stage.title),
            EventKind::Message { text, .. } => *text = plain(text),
            _ => {}
        }
        if let EventKind::Message { level: Level::Warning, text } = &kind {
            if self.warned.contains(text) {
                return;
            }
            self.warned.push(text.clone());
        }
        match self.how {
            How::Json => {
                let event = Event { machine: self.machine.clone(), elapsed: self.begun.elapsed(), kind };
                if let Ok(line) = serde_json::to_string(&event) {
                    eprintln!("{line}");
                }
            }
            How::Quiet => {
                if let EventKind::Message { level: Level::Warning, text } = kind {
                    eprintln!("{}", self.prefixed(&format!("warning: {text}")));
                }
            }
            How::Live | How::Plain => self.show_to_people(kind),
        }
    }

    fn show_to_people(&mut self, kind: EventKind) {
        match kind {
            EventKind::Stage(stage) => {
                if self.stage.as_ref().is_some_and(|running| running.id == stage.id && running.title == stage.title) {
                    return;
                }
                self.end_stage(true);
                let bar = (self.how == How::Live).then(|| spinner(&stage.title));
                if bar.is_none() {
                    eprintln!("{}", self.prefixed(&format!("{}...", stage.title)));
                }
                self.stage = Some(Running { id: stage.id, title: stage.title, begun: Instant::now(), bar });
            }
            EventKind::Progress { done, total, unit } => {
                if let Some(Running { title, bar: Some(bar), .. }) = &self.stage {
                    let count = |n: u64| if unit == "bytes" { bytes(n) } else { format!("{n} {unit}") };
                    let of = total.map(|total| format!(" of {}", count(total))).unwrap_or_default();
                    bar.set_message(format!("{title}: {}{of}", count(done)));
                }
            }
            EventKind::Message { level, text } => match level {
                Level::Detail if !self.verbose => {}
                Level::Detail | Level::Info => self.line(&text),
                Level::Warning => {
                    let (yellow, plain) = crate::colours("\x1b[33m");
                    self.line(&format!("{yellow}warning:{plain} {text}"));
                }
            },
            EventKind::Checkpoint { .. } => {}
        }
    }

    fn line(&self, text: &str) {
        let text = self.prefixed(text);
        match &self.stage {
            Some(Running { bar: Some(bar), .. }) => bar.suspend(|| eprintln!("{text}")),
            _ => eprintln!("{text}"),
        }
    }

    fn prefixed(&self, text: &str) -> String {
        match &self.machine {
            Some(machine) => format!("({machine}) {text}"),
            None => text.to_owned(),
        }
    }

    fn end_stage(&mut self, well: bool) {
        let Some(Running { title, begun, bar: Some(bar), .. }) = self.stage.take() else { return };
        bar.finish_and_clear();
        let (mark, colour) = if well { ("✓", "\x1b[32m") } else { ("✗", "\x1b[31m") };
        let (on, off) = crate::colours(colour);
        let (dim, undim) = crate::colours("\x1b[2m");
        eprintln!("{on}{mark}{off} {title} {dim}{}{undim}", took(begun.elapsed()));
    }
}

fn spinner(title: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let template =
        if Environment::no_color() { "{spinner} {msg} {elapsed}" } else { "{spinner:.cyan} {msg} {elapsed:.dim}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
    }
    bar.set_message(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// A duration as people read it.
pub fn took(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        _ => format!("{} min {:02} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}
