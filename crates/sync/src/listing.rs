//! What the machine says is in its folder. Nothing of it is believed that could lead out of the folder here.

use machine_core::{Error, Result};

use crate::entry::{Entry, PERMISSIONS, Time, Tree};
use crate::place::{OWN, Place};
use crate::report::Problem;

/// For GNU find: kind, permissions, size, time and place, then what a link says; each of the two ends with a zero byte.
pub(crate) const FORMAT: &str = r"%y %m %s %T@ %P\0%l\0";

/// What was listed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) tree: Tree,
    /// Sockets, pipes and devices, which are not copied.
    pub(crate) special: Vec<Problem>,
}

/// Reads what GNU find printed in [`FORMAT`].
///
/// # Errors
/// What find does not print.
pub(crate) fn read(bytes: &[u8]) -> Result<Listing> {
    let mut listing = Listing::default();
    let mut parts = bytes.split(|byte| *byte == 0);
    while let (Some(record), Some(target)) = (parts.next(), parts.next()) {
        let not_understood = |why: &str| {
            let shown = String::from_utf8_lossy(&record[..record.len().min(200)]);
            Error::other(format!("the machine's list of files is not understood: {why}: {shown:?}")).hint(
                "nothing was copied; `find` in the machine is not GNU's, or somebody has put another in its place",
            )
        };
        let (place, entry) = read_record(record, target).map_err(not_understood)?;
        let in_a_folder = place.parent().is_none_or(|parent| listing.tree.get(&parent).is_some_and(Entry::is_folder));
        if !in_a_folder {
            return Err(not_understood("it is in no folder"));
        }
        if place.as_bytes().split(|byte| *byte == b'/').any(|name| name.starts_with(OWN.as_bytes())) {
            continue;
        }
        match entry {
            Some(entry) => {
                listing.tree.insert(place, entry);
            }
            None => listing.special.push(Problem::new(&place, "in the machine: neither a file, a folder nor a link")),
        }
    }
    Ok(listing)
}

fn read_record(record: &[u8], target: &[u8]) -> Result<(Place, Option<Entry>), &'static str> {
    let mut fields = record.splitn(5, |byte| *byte == b' ');
    let mut text = || fields.next().and_then(|field| str::from_utf8(field).ok()).ok_or("too few fields");
    let kind = text()?;
    let mode = u32::from_str_radix(text()?, 8).map_err(|_| "permissions that are no number")?;
    let size = text()?.parse().map_err(|_| "a size that is no number")?;
    let modified = read_time(text()?).ok_or("a time that is no number")?;
    let place = Place::new(fields.next().ok_or("too few fields")?)?;
    let mode = Some(mode & PERMISSIONS);
    let entry = match kind {
        "d" => Some(Entry::Folder { mode }),
        "f" => Some(Entry::File { mode, size, modified }),
        "l" => Some(Entry::Link { target: target.to_vec() }),
        _ => None,
    };
    Ok((place, entry))
}

/// Seconds since 1970 with a fraction, as find and tar write them: `-1.5` is half a second before `-1`.
pub(crate) fn read_time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some(Time { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds });
    }
    Some(Time { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trials::place;

    #[test]
    fn a_list_of_gnu_find_is_read() {
        let text = b"d 755 4096 1700000000.0000000000 a\0\0f 4755 12 1700000001.2345678900 a/x y\n\0\0l 777 3 1.0 l\0a/x\0s 600 0 1.0 sock\0\0";
        let listing = read(text).unwrap();
        let file = Entry::File {
            mode: Some(0o755),
            size: 12,
            modified: Time { seconds: 1_700_000_001, nanoseconds: 234_567_890 },
        };
        assert_eq!(listing.tree[&place("a")], Entry::Folder { mode: Some(0o755) });
        assert_eq!(listing.tree[&place("a/x y\n")], file);
        assert_eq!(listing.tree[&place("l")], Entry::Link { target: b"a/x".to_vec() });
        assert_eq!((listing.tree.len(), listing.special.len()), (3, 1));
        assert!(read(b"").unwrap().tree.is_empty());
    }

    #[test]
    fn a_list_that_leads_out_of_the_folder_is_refused() {
        for bad in [
            &b"f 644 1 1.0 ../x\0\0"[..],
            b"f 644 1 1.0 /etc/passwd\0\0",
            b"d 755 1 1.0 a\0\0f 644 1 1.0 a/../../x\0\0",
            b"f 644 1 1.0 \0\0",
            b"f 644 1 1.0 .\0\0",
            // In a link, in a file, in nothing.
            b"l 777 1 1.0 a\0/etc\0f 644 1 1.0 a/passwd\0\0",
            b"f 644 1 1.0 a\0\0f 644 1 1.0 a/b\0\0",
            b"f 644 1 1.0 a/b\0\0",
            b"f 644 x 1.0 a\0\0",
            b"f 9 1 1.0 a\0\0",
            b"f\0\0",
        ] {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn times_are_read_with_their_fractions_before_1970_too() {
        let time = |seconds, nanoseconds| Some(Time { seconds, nanoseconds });
        assert_eq!(read_time("12.5000000000"), time(12, 500_000_000));
        assert_eq!(read_time("12"), time(12, 0));
        assert_eq!(read_time("-1.25"), time(-2, 750_000_000));
        assert_eq!(read_time("-0.25"), time(-1, 750_000_000));
        for bad in ["", "x", "1.x", "1.2.3"] {
            assert_eq!(read_time(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_machine_says_every_place_is_below_the_folder(bytes in proptest::collection::vec(
            proptest::sample::select(b"dfl 0157.a/\0\n".to_vec()), 0..80,
        )) {
            if let Ok(listing) = read(&bytes) {
                for place in listing.tree.keys() {
                    let text = place.to_string();
                    proptest::prop_assert!(!text.starts_with('/') && text.split('/').all(|name| !matches!(name, "" | "." | "..")));
                }
            }
        }
    }
}
