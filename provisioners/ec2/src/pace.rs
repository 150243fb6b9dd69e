//! How calls that may succeed later are repeated.

use std::time::Duration;

/// Repeats with pauses that double, each drawn at random from nothing to all of it ("full jitter": many clients that were
/// turned away together do not come back together).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often a call is made at most.
    pub attempts: u32,
    /// The longest the first pause may be.
    pub first: Duration,
    /// The longest any pause may be.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { attempts: 6, first: Duration::from_millis(400), longest: Duration::from_secs(20) }
    }
}

impl Pace {
    /// The most that the pause after an attempt (0 is the first) may be.
    fn bound(&self, attempt: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(attempt.min(20)).unwrap_or(u32::MAX)).min(self.longest)
    }

    /// The pause after an attempt.
    pub fn pause(&self, attempt: u32) -> Duration {
        let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
        #[expect(clippy::cast_precision_loss, reason = "a random share needs no more")]
        let share = (high >> 16) as f64 / (1_u64 << 48) as f64;
        self.bound(attempt).mul_f64(share.clamp(0.0, 1.0))
    }
}

/// Whether a call that failed so may succeed when it is repeated a little later (EC2's list of throttling and server errors).
///
/// Capacity comes back in minutes or hours, if at all: EC2 tells of it with a server error's status, and it is none.
pub(crate) fn passes(status: u16, code: &str) -> bool {
    if code.starts_with("Insufficient") {
        return false;
    }
    status >= 500
        || status == 429
        || matches!(
            code,
            "RequestLimitExceeded"
                | "Throttling"
                | "ThrottlingException"
                | "ThrottledException"
                | "RequestThrottled"
                | "RequestThrottledException"
                | "EC2ThrottledException"
                | "TooManyRequestsException"
                | "SlowDown"
                | "PriorRequestNotComplete"
                | "ServiceUnavailable"
                | "Unavailable"
                | "InternalError"
                | "InternalFailure"
                | "InternalServerError"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_busy_passes_and_what_is_missing_does_not() {
        for (status, code) in
            [(503, "RequestLimitExceeded"), (400, "Throttling"), (500, "InternalError"), (502, ""), (429, "")]
        {
            assert!(passes(status, code), "{status} {code}");
        }
        for (status, code) in
            [(500, "InsufficientInstanceCapacity"), (400, "InvalidAMIID.NotFound"), (403, "AuthFailure"), (400, "")]
        {
            assert!(!passes(status, code), "{status} {code}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_are_never_longer() {
        let pace = Pace::default();
        let bounds: Vec<_> = [0, 1, 2, 5, 6, 40].map(|attempt| pace.bound(attempt).as_millis()).into();
        assert_eq!(bounds, [400, 800, 1600, 12_800, 20_000, 20_000]);
        for attempt in 0..50 {
            assert!(pace.pause(attempt) <= pace.bound(attempt));
        }
        let drawn: std::collections::BTreeSet<_> = (0..20).map(|_| pace.pause(5)).collect();
        assert!(drawn.len() > 10, "they are drawn at random: {drawn:?}");
    }
}
