//! The file of the store that remembers which accelerators work on this computer.

use std::path::Path;

use crate::json_file;
use crate::verdict::{Verdict, Verdicts};

/// What is remembered; nothing when there is no file or none that can be read, which costs one slow start.
pub fn load_verdicts(path: &Path) -> Verdicts {
    json_file::read(path).unwrap_or_default()
}

/// Remembers `verdict`, on top of what other supervisors may have written since. One that cannot be written costs the next
/// start some seconds, so it stops nothing.
pub(crate) fn remember(path: &Path, verdict: Verdict) -> Verdicts {
    let mut verdicts = load_verdicts(path);
    if verdicts.remember(verdict)
        && let Err(error) = json_file::write(path, &verdicts)
    {
        tracing::warn!(%error, "cannot remember which accelerator works");
    }
    verdicts
}
