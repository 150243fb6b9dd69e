//! Sizes as people type them: `2048`, `512m`, `4g`, `1.5GiB`.

/// Parses a size into MiB. A bare number counts in `unit_mib` MiB.
///
/// # Errors
/// Text that is no size, zero, or more than 16 TiB.
fn parse(text: &str, unit_mib: f64) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 =
        number.parse().map_err(|_| "a size is a number, alone or with m, g or t: 2048, 512m, 4g".to_owned())?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" => unit_mib,
        "m" | "mb" | "mib" => 1.0,
        "g" | "gb" | "gib" => 1024.0,
        "t" | "tb" | "tib" => 1024.0 * 1024.0,
        other => return Err(format!("unknown unit {other:?}: use m (MiB), g (GiB) or t (TiB)")),
    };
    let mib = (number * factor).round();
    if !(1.0..=16.0 * 1024.0 * 1024.0).contains(&mib) {
        return Err("a size must be at least 1 MiB and at most 16 TiB".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within 1 and 2^24 just above"
    )]
    Ok(mib as u64)
}

/// Memory: a bare number is MiB, as in docker-machine.
pub fn memory(text: &str) -> Result<u64, String> {
    parse(text, 1.0)
}

/// A disk: a bare number is GiB.
pub fn disk(text: &str) -> Result<u64, String> {
    parse(text, 1024.0)
}

/// A time in whole minutes: `90m`, `8h`, `3d`.
///
/// # Errors
/// Text that is none, or more than a year.
pub fn minutes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "m" | "min" => 1,
        "h" => 60,
        "d" => 60 * 24,
        _ => return Err("a time is a number with m, h or d: 90m, 8h, 3d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a time is a number with m, h or d: 90m, 8h, 3d".to_owned())?;
    number
        .checked_mul(factor)
        .filter(|minutes| *minutes <= 60 * 24 * 365)
        .ok_or_else(|| "a year is the most".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_a_unit_or_the_flags_own() {
        assert_eq!(memory("2048"), Ok(2048));
        assert_eq!(memory("1.5g"), Ok(1536));
        assert_eq!(disk("20"), Ok(20480));
        assert_eq!(disk("500m"), Ok(500));
        for bad in ["", "x", "0", "-1", "1e9", "4q", "99999t", "1.2.3"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_whole_minutes_with_a_unit() {
        assert_eq!((minutes("90m"), minutes("8h"), minutes("3d")), (Ok(90), Ok(480), Ok(4320)));
        for wrong in ["", "8", "h", "-1h", "1.5h", "8x", "999d", "99999999999999999999h"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }
}
