//! What both sides had when they were last made alike, kept in the machine's folder of the store.

use std::io;
use std::path::Path;

use machine_core::{Error, Result, ResultExt as _};
use serde::{Deserialize, Serialize};

use crate::merge::Base;

const SCHEMA: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Past {
    schema: u32,
    pairs: Base,
}

/// What is remembered; nothing where nothing is.
///
/// # Errors
/// A file that cannot be read or understood.
pub(crate) fn read(path: &Path) -> Result<Base> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Base::new()),
        Err(error) => return Err(error).context(|| format!("cannot read {}", path.display())),
    };
    let broken = |error: Error| {
        error.hint(format!("without {} the next run compares both folders anew and removes nothing", path.display()))
    };
    let past: Past = serde_json::from_slice(&text)
        .map_err(|error| broken(Error::other(format!("{} is broken", path.display())).because(error)))?;
    if past.schema != SCHEMA {
        let newer = format!("{} was written by another version of this program", path.display());
        return Err(broken(Error::other(newer)));
    }
    Ok(past.pairs)
}

/// Remembers.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn write(path: &Path, pairs: Base) -> Result<()> {
    if let Some(folder) = path.parent() {
        machine_files::make_private_folder(folder)?;
    }
    let text =
        serde_json::to_vec(&Past { schema: SCHEMA, pairs }).context(|| "cannot write down what was copied".into())?;
    machine_files::write_whole(path, &text, machine_files::PRIVATE)
}
