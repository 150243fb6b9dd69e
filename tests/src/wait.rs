//! Waiting for what no event tells of.

use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; panics with `what` when there is none within `limit`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < limit, "waited {} s in vain: {what}", limit.as_secs_f32());
        std::thread::sleep(Duration::from_millis(20));
    }
}
