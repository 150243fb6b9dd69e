//! Events: the only way in which work reports its progress.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// A part of a longer piece of work that a user would recognise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// A stable word for programs, such as `boot`.
    pub id: &'static str,
    /// What a person reads, such as `Booting the machine`.
    pub title: String,
}

/// How important a line of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Output of a tool, lines of a boot: behind `--verbose` or a fold.
    Detail,
    /// Worth a line.
    Info,
    /// The user should know and perhaps act.
    Warning,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EventKind {
    /// A stage has begun; it ends when the next one begins or the work ends.
    Stage(Stage),
    /// How far the present stage is. `total` is unknown at times.
    Progress {
        /// Done so far, in `unit`.
        done: u64,
        /// All there is to do.
        total: Option<u64>,
        /// What is counted: `bytes` or a plural noun.
        unit: &'static str,
    },
    /// A line of text.
    Message {
        /// How important it is.
        level: Level,
        /// The line.
        text: String,
    },
    /// A durable point was reached: from here on, a crash leaves a record that knows of everything made so far.
    Checkpoint {
        /// Its name, stable.
        name: &'static str,
    },
}

/// An event with where and when it happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// The machine it is about; none for work on images.
    pub machine: Option<String>,
    /// Time since the work began, milliseconds.
    #[serde(rename = "elapsed_ms", serialize_with = "as_millis")]
    pub elapsed: Duration,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

fn as_millis<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// Where events go. Cheap to clone; may be called from any thread.
#[derive(Clone)]
pub struct Reporter(Arc<dyn Fn(EventKind) + Send + Sync>);

impl Reporter {
    /// A reporter that hands every event to `sink`.
    pub fn new(sink: impl Fn(EventKind) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// A reporter that nobody listens to.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Reports `kind`.
    pub fn report(&self, kind: EventKind) {
        (self.0)(kind);
    }

    /// Begins a stage.
    pub fn stage(&self, id: &'static str, title: impl Into<String>) {
        self.report(EventKind::Stage(Stage { id, title: title.into() }));
    }

    /// Reports how far the present stage is.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: &'static str) {
        self.report(EventKind::Progress { done, total, unit });
    }

    /// A line for `--verbose`.
    pub fn detail(&self, text: impl Into<String>) {
        self.report(EventKind::Message { level: Level::Detail, text: text.into() });
    }

    /// A line.
    pub fn info(&self, text: impl Into<String>) {
        self.report(EventKind::Message { level: Level::Info, text: text.into() });
    }

    /// A line that the user should act on.
    pub fn warn(&self, text: impl Into<String>) {
        self.report(EventKind::Message { level: Level::Warning, text: text.into() });
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}
