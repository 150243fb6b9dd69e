//! The current context, one field of Docker's `config.json`. The other fields are the user's.

use std::path::{Path, PathBuf};

use machine_core::{Error, Result, ResultExt};
use serde_json::{Map, Value};

use machine_files::write_whole;

use crate::context_files::read_if_there;

const FIELD: &str = "currentContext";

/// The current context by `folder/config.json`.
pub(crate) fn read(folder: &Path) -> Result<Option<String>> {
    Ok(name(&parse(&folder.join("config.json"))?))
}

/// Changes the current context to what `decide` makes of the present one; `None` leaves the file alone. The caller holds
/// the folder's lock.
pub(crate) fn change(folder: &Path, decide: impl FnOnce(Option<&str>) -> Option<Option<String>>) -> Result<()> {
    let path = target(&folder.join("config.json"))?;
    let mut config = parse(&path)?;
    let Some(next) = decide(name(&config).as_deref()) else { return Ok(()) };
    match next {
        Some(name) => config.insert(FIELD.into(), name.into()),
        None => config.remove(FIELD),
    };
    let mut text = serde_json::to_string_pretty(&config).context(|| "cannot write JSON".into())?;
    text.push('\n');
    write_whole(&path, text.as_bytes(), mode(&path))
}

fn name(config: &Map<String, Value>) -> Option<String> {
    config.get(FIELD).and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn parse(path: &Path) -> Result<Map<String, Value>> {
    match read_if_there(path)? {
        // Docker takes an empty file for none.
        None => Ok(Map::new()),
        Some(bytes) if bytes.trim_ascii().is_empty() => Ok(Map::new()),
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            Error::other(format!("cannot read Docker's {}", path.display()))
                .because(error)
                .hint("mend or remove it; `machine` has not changed it")
        }),
    }
}

/// Where a rename must go: a link stays one, as people keep this file in a folder of dot files.
fn target(path: &Path) -> Result<PathBuf> {
    if path.is_symlink() {
        return std::fs::canonicalize(path).context(|| format!("cannot follow {}", path.display()));
    }
    Ok(path.to_owned())
}

/// The file's own mode, and Docker's 0600 for a new one: it may hold credentials.
#[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix has a mode"))]
fn mode(path: &Path) -> u32 {
    #[cfg(unix)]
    if let Ok(metadata) = std::fs::metadata(path) {
        return std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    }
    0o600
}
