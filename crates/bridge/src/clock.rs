//! The guest's clock: right within 2 s, whatever slept, stood still or was frozen meanwhile.
//!
//! The engine is asked for the time every 10 s, over one connection that is kept, which costs the guest no process and no
//! handshake. Only when it is wrong is it set, over SSH. A look costs nothing more at once when this computer's own clock
//! has jumped (it slept, or somebody set it), when the machine was resumed, and when the engine answers again.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};
use machine_core::{Error, Result, SshTarget};
use machine_docker::{EngineClock, EngineError, EngineFailure};
use machine_ssh::Session;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::engine_way::EngineWay;
use crate::guest_shell::GuestShell;

/// How often the engine is asked.
const EVERY: Duration = Duration::from_secs(10);
/// How often, while it does not answer...
const EVERY_SILENT: Duration = Duration::from_secs(1);
/// ...as many times; then as seldom as before.
const SILENT: u32 = 30;
/// How often this computer's clocks are compared.
const GLANCE: Duration = Duration::from_secs(2);
/// By how much they may differ between two glances.
const JUMP: Duration = Duration::from_secs(1);
/// From how far off on the guest's clock is set. A date of HTTP is exact to half a second either way: together 2 s.
const TOLERANCE: SignedDuration = SignedDuration::from_millis(1500);
/// How near it is after it was set.
const SET_WITHIN: SignedDuration = SignedDuration::from_secs(1);
/// How long the engine may take to say the time. One that answers late, because it stood still, answers all the same.
const ANSWER: Duration = Duration::from_secs(30);
/// An answer that took longer says little about when it was given.
const PROMPT: Duration = Duration::from_millis(500);
/// How long logging in, and setting the clock, may take.
const LOGIN: Duration = Duration::from_secs(30);
const SETTING: Duration = Duration::from_secs(20);
/// How often setting it is tried in a row.
const TRIES: usize = 3;
/// How long it is left alone after it could not be set.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// What is known of a guest's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReport {
    /// How far it is ahead of this computer's, milliseconds, give or take 500.
    pub ahead_ms: Option<i64>,
    /// When that was seen.
    pub seen: Option<Timestamp>,
    /// When it was last set.
    pub set: Option<Timestamp>,
    /// How far it was ahead then, milliseconds.
    pub set_from_ms: Option<i64>,
    /// Why it could not be set, or asked, the last time.
    pub trouble: Option<String>,
}

/// Keeps one guest's clock.
pub(crate) struct Clock {
    engine: Arc<EngineWay>,
    shell: GuestShell,
    paused: watch::Receiver<bool>,
    report: Mutex<ClockReport>,
    nudge: Notify,
    came_back: watch::Sender<u64>,
}

impl Clock {
    /// The clock of the machine behind both ways.
    pub(crate) fn new(engine: Arc<EngineWay>, shell: GuestShell, paused: watch::Receiver<bool>) -> Self {
        let came_back = watch::Sender::new(0);
        Self { engine, shell, paused, report: Mutex::default(), nudge: Notify::new(), came_back }
    }

    /// What is known now.
    pub(crate) fn report(&self) -> ClockReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at once: the machine stood still.
    pub(crate) fn look_now(&self) {
        self.nudge.notify_one();
    }

    /// Changes each time the engine answers after it did not.
    pub(crate) fn came_back(&self) -> watch::Receiver<u64> {
        self.came_back.subscribe()
    }

    /// Keeps the clock right, for ever.
    pub(crate) async fn keep(&self) {
        let mut connection = None;
        let mut silent = 0_u32;
        let mut set_unseen: Option<Instant> = None;
        let mut paused = self.paused.clone();
        loop {
            // A guest that stands still says nothing, and its clock is wrong when it goes on.
            if paused.wait_for(|paused| !paused).await.is_err() {
                return;
            }
            let ahead = tokio::select! {
                ahead = self.measure(&mut connection) => ahead,
                () = async { let _ = paused.wait_for(|paused| *paused).await; } => {
                    connection = None;
                    continue;
                }
                () = self.nudge.notified() => {
                    // The answer to what was asked before may be long in coming: a guest that stood still is asked anew.
                    connection = None;
                    continue;
                }
            };
            match ahead {
                Ok(ahead) => {
                    if std::mem::take(&mut silent) > 0 {
                        self.came_back.send_modify(|times| *times += 1);
                    }
                    if is_wrong(ahead) && !self.set(&mut connection, ahead).await {
                        self.rest(LEFT_ALONE).await;
                    }
                    self.rest(EVERY).await;
                }
                // A clock that is far off makes certificates seem not to be valid yet, or any more.
                Err(Unread { by_certificate: true, error })
                    if set_unseen.is_none_or(|before| before.elapsed() > LEFT_ALONE) =>
                {
                    tracing::info!(%error, "the engine takes no certificate: the machine's clock is set in case it is wrong");
                    connection = None;
                    set_unseen = Some(Instant::now());
                    let target = self.shell.target();
                    if let Err(error) = machine_ssh::blocking(move || set_clock(&target, SignedDuration::ZERO)).await {
                        tracing::warn!(%error, "the machine's clock was not set");
                        self.note(|report| report.trouble = Some(format!("it could not be set: {error}")));
                    }
                }
                Err(Unread { error, .. }) => {
                    tracing::debug!(%error, "the engine does not say the time");
                    connection = None;
                    silent = silent.saturating_add(1);
                    self.note(|report| report.trouble = Some(error.to_string()));
                    self.rest(if silent < SILENT { EVERY_SILENT } else { EVERY }).await;
                }
            }
        }
    }

    /// How far the guest is ahead.
    async fn measure(&self, connection: &mut Option<EngineClock>) -> Result<Ahead, Unread> {
        let mut ahead = None;
        for _ in 0..TRIES {
            let clock = match connection {
                Some(clock) => clock,
                None => connection.insert(EngineClock::open(&self.engine.dialer()?).await?),
            };
            let asked = Timestamp::now();
            let began = Instant::now();
            let date = match clock.read(ANSWER).await {
                Ok(date) => date,
                // What the engine or QEMU closed meanwhile is opened once more. The guest may have booted between two looks.
                Err(error)
                    if error.failure != EngineFailure::ClientRefused && ahead.is_none() && began.elapsed() < PROMPT =>
                {
                    *connection = None;
                    self.came_back.send_modify(|times| *times += 1);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let seen = ahead_of(asked, date, Timestamp::now());
            ahead = Some(seen);
            if began.elapsed() < PROMPT {
                break;
            }
        }
        let ahead = ahead.ok_or_else(|| Error::other("the engine closes every connection"))?;
        self.note(|report| {
            report.ahead_ms = Some(millis(ahead.by));
            report.seen = Some(Timestamp::now());
            report.trouble = None;
        });
        Ok(ahead)
    }

    /// Sets the guest's clock and sees that it is right. Returns whether it is.
    async fn set(&self, connection: &mut Option<EngineClock>, mut ahead: Ahead) -> bool {
        let was = ahead.by;
        let mut lead = SignedDuration::ZERO;
        for _ in 0..TRIES {
            let target = self.shell.target();
            let set = machine_ssh::blocking(move || set_clock(&target, lead)).await;
            let seen = match set {
                Ok(()) => self.measure(connection).await.map_err(|unread| unread.error),
                Err(error) => Err(error),
            };
            match seen {
                Ok(seen) => ahead = seen,
                Err(error) => {
                    tracing::warn!(%error, "the machine's clock was not set");
                    self.note(|report| report.trouble = Some(format!("it could not be set: {error}")));
                    return false;
                }
            }
            // What is set shall be nearer than what is left alone.
            if ahead.by.abs() <= SET_WITHIN + ahead.give_or_take {
                tracing::info!(was = %millis(was), now = %millis(ahead.by), "the machine's clock was set (ms ahead)");
                self.note(|report| {
                    report.set = Some(Timestamp::now());
                    report.set_from_ms = Some(millis(was));
                });
                return true;
            }
            // The guest was slow to do it.
            lead -= ahead.by;
        }
        let wrong = is_wrong(ahead);
        self.note(|report| {
            (report.set, report.set_from_ms) = (Some(Timestamp::now()), Some(millis(was)));
            report.trouble = wrong.then(|| "it was set and is wrong all the same".to_owned());
        });
        !wrong
    }

    /// Returns after `time`, sooner when this computer's clock jumps or somebody wants a look.
    async fn rest(&self, time: Duration) {
        let begun = Instant::now();
        let mut clocks = Clocks::now();
        while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            tokio::select! {
                () = sleep(left.min(GLANCE)) => {}
                () = self.nudge.notified() => return,
            }
            let now = Clocks::now();
            if clocks.jumped_until(&now) {
                tracing::info!("this computer's clock jumped");
                return;
            }
            clocks = now;
        }
    }

    fn note(&self, change: impl FnOnce(&mut ClockReport)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Why the time was not read.
struct Unread {
    error: Error,
    /// The engine refused our certificate.
    by_certificate: bool,
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self { error, by_certificate: false }
    }
}

impl From<EngineError> for Unread {
    fn from(error: EngineError) -> Self {
        let by_certificate = error.failure == EngineFailure::ClientRefused;
        Self { error: error.error, by_certificate }
    }
}

/// How far a clock is ahead, as well as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ahead {
    by: SignedDuration,
    /// What the way there and back leaves open, either way.
    give_or_take: SignedDuration,
}

/// `date` was said between `asked` and `heard`, cut to whole seconds.
fn ahead_of(asked: Timestamp, date: Timestamp, heard: Timestamp) -> Ahead {
    let half_the_way = heard.duration_since(asked) / 2;
    // A guest may say the last date that there is.
    let middle = date.checked_add(SignedDuration::from_millis(500)).unwrap_or(date);
    let by = middle.duration_since(asked + half_the_way);
    Ahead { by, give_or_take: half_the_way.abs() }
}

fn is_wrong(ahead: Ahead) -> bool {
    ahead.by.abs() > TOLERANCE + ahead.give_or_take
}

fn millis(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// This computer's two clocks at one moment.
#[derive(Clone, Copy)]
struct Clocks {
    wall: SystemTime,
    steady: Instant,
}

impl Clocks {
    fn now() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }

    /// Whether the wall clock went another way than the steady one: that one stands still while the computer sleeps (not on
    /// Windows, where the next look comes soon enough).
    fn jumped_until(&self, later: &Self) -> bool {
        let steady = later.steady.duration_since(self.steady);
        match later.wall.duration_since(self.wall) {
            Ok(wall) => wall.abs_diff(steady) > JUMP,
            Err(_) => true,
        }
    }
}

/// Sets the clock of a machine to this computer's, `lead` more.
fn set_clock(target: &SshTarget, lead: SignedDuration) -> Result<()> {
    let mut session = Session::connect(target, LOGIN)?;
    // BusyBox takes no fraction.
    let command = "sudo -n sh -c 'read -r now && { date -u -s \"@$now\" || date -u -s \"@${now%.*}\"; } >/dev/null'";
    session
        .exec_with_input(command, &mut TheTime { lead, said: false }, SETTING)?
        .text("cannot set the clock")
        .map(drop)
}

/// The time at the moment at which it is read, in seconds since 1970.
struct TheTime {
    lead: SignedDuration,
    said: bool,
}

impl Read for TheTime {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.said, true) {
            return Ok(0);
        }
        // The lead comes from what the guest said.
        let now = Timestamp::now().checked_add(self.lead).map_err(io::Error::other)?;
        let text = format!("{}.{:03}\n", now.as_second(), now.subsec_millisecond());
        buffer.get_mut(..text.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(text.as_bytes());
        Ok(text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_is_wrong_from_where_its_date_leaves_no_doubt() {
        let asked = at("2026-11-22T10:00:00.500Z");
        let prompt = at("2026-11-22T10:00:00.502Z");
        for (date, wrong) in [
            ("2026-11-22T09:59:58Z", true),
            ("2026-11-22T09:59:59Z", false),
            ("2026-11-22T10:00:00Z", false),
            ("2026-11-22T10:00:01Z", false),
            ("2026-11-22T10:00:02Z", true),
        ] {
            assert_eq!(is_wrong(ahead_of(asked, at(date), prompt)), wrong, "{date}");
        }
        // It may have been said at any moment of half a minute.
        let late = at("2026-11-22T10:00:30.500Z");
        assert!(!is_wrong(ahead_of(asked, at("2026-11-22T10:00:00Z"), late)));
        assert!(is_wrong(ahead_of(asked, at("2026-11-22T09:59:00Z"), late)));
    }

    #[test]
    fn sleep_and_a_clock_that_is_set_are_jumps_and_a_busy_computer_is_none() {
        let then = Clocks::now();
        let later = |wall: i64, steady: u64| Clocks {
            wall: if wall < 0 {
                then.wall - Duration::from_secs(wall.unsigned_abs())
            } else {
                then.wall + Duration::from_secs(wall.unsigned_abs())
            },
            steady: then.steady + Duration::from_secs(steady),
        };
        for (wall, steady, jumped) in [(2, 2, false), (90, 90, false), (300, 2, true), (-5, 2, true), (2, 300, true)] {
            assert_eq!(then.jumped_until(&later(wall, steady)), jumped, "{wall} s, {steady} s");
        }
    }

    #[test]
    fn the_time_is_that_of_the_reading_and_said_once() {
        let mut text = String::new();
        let before = Timestamp::now();
        let mut time = TheTime { lead: SignedDuration::from_secs(100), said: false };
        std::thread::sleep(Duration::from_millis(20));
        time.read_to_string(&mut text).unwrap();
        let said: f64 = text.trim_end().parse().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
        let expected = before.as_millisecond() as f64 / 1000.0 + 100.0;
        assert!((said - expected - 0.02) > -0.002 && said - expected < 60.0, "{said} {expected}");
    }
}
