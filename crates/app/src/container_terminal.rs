//! A terminal into a container, for a window.

use std::time::{Duration, Instant};

use machine_core::{MachineName, Result};
use machine_docker::ContainerId;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::app::App;
use crate::follow::Told;

/// What a shell is started with: the better one where there is one. `exec` leaves no second process behind.
const SHELL: [&str; 3] = ["/bin/sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; fi; exec sh"];

/// How much goes to a page in a second, bytes: it has no way to say that it is behind, and keeps what it has not shown.
const PER_SECOND: u64 = 2 << 20;

/// How far ahead of that pace it may be: what a person types, and a screen, come at once.
const AHEAD: Duration = Duration::from_millis(20);

/// Which terminal, and how large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalRequest {
    /// The machine.
    pub machine: MachineName,
    /// The container.
    pub id: ContainerId,
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// What a user does in a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case", deny_unknown_fields)]
pub enum Typed {
    /// Typed, or pasted.
    Text {
        /// What.
        text: String,
    },
    /// Changed its size.
    Size {
        /// Characters in a line.
        columns: u16,
        /// Lines.
        rows: u16,
    },
}

impl App {
    /// Opens a terminal and tells what it shows; until its shell ends, or this is dropped, which hangs up.
    ///
    /// # Errors
    /// A container that does not run or has no shell, a connection that broke.
    pub async fn terminal(
        &self,
        request: TerminalRequest,
        mut typed: mpsc::UnboundedReceiver<Typed>,
        tell: impl Fn(Told),
    ) -> Result<()> {
        let engine = self.engine_of(&request.machine)?;
        let size = (request.columns, request.rows);
        let (mut input, mut output) = engine.terminal(&request.id, &SHELL, size).await?;
        // Each by itself: a process that reads nothing must not keep what it shows from being seen.
        let show = async {
            let (mut decoder, mut pace) = (Decoder::default(), Pace::default());
            while let Some(bytes) = output.next().await? {
                tell(Told::Output { text: decoder.text(&bytes) });
                // What is not read here fills the connection, and whoever writes there waits, as at any terminal.
                tokio::time::sleep(pace.after(bytes.len(), Instant::now())).await;
            }
            tell(Told::End);
            Ok(())
        };
        let hear = async {
            while let Some(did) = typed.recv().await {
                match did {
                    Typed::Text { text } => input.type_in(text.as_bytes()).await?,
                    // A size that comes too late is no reason to hang up.
                    Typed::Size { columns, rows } => drop(input.resize(columns, rows).await),
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            shown = show => shown,
            heard = hear => heard,
        }
    }
}

/// The pace at which a page is told.
#[derive(Default)]
struct Pace {
    /// When all that was told is due.
    due: Option<Instant>,
}

impl Pace {
    /// How long to wait after `bytes` that were told `now`.
    fn after(&mut self, bytes: usize, now: Instant) -> Duration {
        let takes = Duration::from_micros(bytes as u64 * 1_000_000 / PER_SECOND);
        let due = self.due.map_or(now, |due| due.max(now)) + takes;
        self.due = Some(due);
        (due - now).saturating_sub(AHEAD)
    }
}

/// Text from pieces that may be cut anywhere.
#[derive(Default)]
struct Decoder {
    begun: Vec<u8>,
}

impl Decoder {
    /// What is complete; the beginning of a character waits for its end.
    fn text(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.begun.len(),
        };
        let rest = self.begun.split_off(whole);
        let text = String::from_utf8_lossy(&self.begun).into_owned();
        self.begun = rest;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_comes_back_at_once_and_a_flood_at_two_mebibytes_a_second() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        let mut now = begun;
        for _ in 0..20 {
            assert_eq!(pace.after(16 << 10, now), Duration::ZERO);
            now += Duration::from_millis(100);
        }
        let begun = now;
        for _ in 0..1024 {
            now += pace.after(8 << 10, now);
        }
        let took = now - begun;
        assert!((3900..=4000).contains(&took.as_millis()), "8 MiB took {took:?}");
    }

    #[test]
    fn a_character_that_is_cut_comes_whole_and_what_is_none_does_not_stop_the_rest() {
        let mut decoder = Decoder::default();
        let bytes = "aé€".as_bytes();
        let pieces: String = bytes.chunks(1).map(|piece| decoder.text(piece)).collect();
        assert_eq!(pieces, "aé€");
        assert_eq!(decoder.text(b"x\xffy"), "x\u{fffd}y");
    }
}
