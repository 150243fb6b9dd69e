//! How many files a supervisor may have open.

/// Enough for thousands of connections and for what containers have open in shared folders.
#[cfg(unix)]
const WANTED: u64 = if cfg!(target_os = "macos") {
    // setrlimit(2) there: no more than OPEN_MAX (sys/syslimits.h), or it fails.
    10_240
} else {
    65_536
};

/// Raises what this process may have open, up to what the system allows it without asking anybody: terminals and desktops give 1024 on
/// Linux and 256 on macOS. Where it cannot be raised it stays.
#[cfg(unix)]
pub(crate) fn allow_many() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = raised(limit.current, limit.maximum) else { return };
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }) {
        tracing::warn!(%error, current, "no more files may be open");
    }
}

/// Windows has no such limit: handles are bounded by memory.
#[cfg(not(unix))]
pub(crate) fn allow_many() {}

/// The limit to set, if it is another; `None` is no limit.
#[cfg(unix)]
fn raised(current: Option<u64>, maximum: Option<u64>) -> Option<u64> {
    let possible = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
    current.is_some_and(|current| current < possible).then_some(possible)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_the_system_lets_it_and_never_lowered() {
        assert_eq!(raised(Some(256), Some(4096)), Some(4096));
        assert_eq!(raised(Some(1024), None), Some(WANTED));
        assert_eq!(raised(Some(1024), Some(1 << 20)), Some(WANTED));
        for enough in [Some(1 << 20), None] {
            assert_eq!(raised(enough, None), None);
        }
        assert_eq!(raised(Some(4096), Some(4096)), None);
    }
}
