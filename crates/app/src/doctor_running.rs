//! `doctor` on machines of this computer that run: their clocks, and what programs need that look for Docker.

use std::time::Duration;

use jiff::Timestamp;
use machine_bridge::ClockReport;
use machine_core::{MachineName, Result};

use crate::app::App;
use crate::doctor::{Check, Outcome};

/// How long a supervisor may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// A clock that is further off than this is wrong, milliseconds: what the bridge promises.
const RIGHT_MS: u64 = 2000;

impl App {
    /// Checks of every machine of this computer that runs.
    pub(crate) async fn running_checks(&self) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for name in self.store.names()? {
            let Ok(name) = name.parse::<MachineName>() else { continue };
            let Ok(connection) = self.connection(&name) else { continue };
            // Others are not on this computer.
            let Some(socket) = connection.socket.map(|socket| socket.url()) else { continue };
            let clock = match tokio::time::timeout(LIMIT, self.clock(&name)).await {
                Ok(Ok(report)) => clock_check(&report, Timestamp::now()),
                Ok(Err(error)) => Check::new(CLOCK.0, CLOCK.1, Outcome::Warning, error.to_string()),
                Err(_) => Check::new(CLOCK.0, CLOCK.1, Outcome::Warning, "its supervisor does not answer"),
            };
            checks.push(clock.of(&name));
            checks.push(tools_check(&name, &socket).of(&name));
        }
        Ok(checks)
    }
}

const CLOCK: (&str, &str) = ("machine.clock", "Clock");

fn clock_check(report: &ClockReport, now: Timestamp) -> Check {
    let mut detail = match (report.ahead_ms, report.seen) {
        (Some(ahead), Some(seen)) => format!("{} ({} ago)", off(ahead), ago(seen, now)),
        _ => "it was not seen yet".to_owned(),
    };
    if let (Some(set), Some(from)) = (report.set, report.set_from_ms) {
        detail.push_str(&format!("; set {} ago, when it was {}", ago(set, now), off(from)));
    }
    let wrong = report.ahead_ms.is_none_or(|ahead| ahead.unsigned_abs() > RIGHT_MS);
    let outcome = if wrong || report.trouble.is_some() { Outcome::Warning } else { Outcome::Ok };
    let check = Check::new(CLOCK.0, CLOCK.1, outcome, detail);
    report.trouble.iter().fold(check, |check, trouble| check.hint(trouble.clone()))
}

fn off(ahead_ms: i64) -> String {
    let tenths = ahead_ms.unsigned_abs() / 100;
    let side = if ahead_ms < 0 { "behind" } else { "ahead" };
    match tenths {
        // A date of HTTP says no more.
        0..10 => "right to the second".to_owned(),
        _ => format!("{}.{} s {side}", tenths / 10, tenths % 10),
    }
}

fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.duration_since(then).as_secs().max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// What programs need that do not read Docker's contexts.
fn tools_check(name: &MachineName, socket: &str) -> Check {
    Check::new("machine.tools", "For tools", Outcome::Ok, format!("`eval \"$(machine env --socket {name})\"`, or:"))
        .hint(format!("DOCKER_HOST={socket}"))
        // Testcontainers mounts the socket into its reaper, by the path that it has inside the machine.
        .hint("TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE=/var/run/docker.sock")
        .hint("TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1")
        // In a container (a job of CI) its Python library would try the engine's own network.
        .hint("TESTCONTAINERS_CONNECTION_MODE=docker_host")
        .hint(format!("IDEs: the Docker context {:?}, or that socket", machine_docker::context_name(name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_is_told_with_how_far_it_is_off_and_when_it_was_set() {
        let now = at("2026-11-22T10:00:30Z");
        let right =
            ClockReport { ahead_ms: Some(-400), seen: Some(at("2026-11-22T10:00:25Z")), ..ClockReport::default() };
        let check = clock_check(&right, now);
        assert_eq!((check.outcome, check.detail.as_str()), (Outcome::Ok, "right to the second (5 s ago)"));
        let set = ClockReport { set: Some(at("2026-11-22T09:00:30Z")), set_from_ms: Some(-312_900), ..right.clone() };
        assert_eq!(
            clock_check(&set, now).detail,
            "right to the second (5 s ago); set 60 min ago, when it was 312.9 s behind"
        );
        let wrong = ClockReport { ahead_ms: Some(61_000), trouble: Some("it could not be set".into()), ..right };
        let check = clock_check(&wrong, now);
        assert_eq!(
            (check.outcome, check.hints.as_slice()),
            (Outcome::Warning, ["it could not be set".to_owned()].as_slice())
        );
        assert_eq!(check.detail, "61.0 s ahead (5 s ago)");
        assert_eq!(clock_check(&ClockReport::default(), now).outcome, Outcome::Warning);
    }
}
