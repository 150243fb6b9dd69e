//! Durations as Go prints them, which docker-machine's templates did.

use std::time::Duration;

/// `1.5s`, `312.4ms`, `1m2s`: as Go's `time.Duration.String`.
pub fn go_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    for (unit, size) in [("ns", 1), ("µs", 1_000), ("ms", 1_000_000)] {
        if nanoseconds < size * 1000 {
            return decimal(nanoseconds, size) + unit;
        }
    }
    const SECOND: u128 = 1_000_000_000;
    let (minutes, rest) = (nanoseconds / (60 * SECOND), nanoseconds % (60 * SECOND));
    let seconds = decimal(rest, SECOND);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `count` in units of `size`, with no more digits than it has.
fn decimal(count: u128, size: u128) -> String {
    let (whole, rest) = (count / size, count % size);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = size.to_string().len() - 1;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (312_400_000, "312.4ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (5_025_000_000_001, "1h23m45.000000001s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanoseconds)), text);
        }
    }
}
