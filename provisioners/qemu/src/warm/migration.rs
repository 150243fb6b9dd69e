//! Saving a guest's memory and devices to a file, and going on from one: QEMU's migration with a file in the middle.
//!
//! Source: `MigrationAddress` in QEMU's qapi/migration.json; transport `file` since 8.2.

use std::path::Path;
use std::time::Duration;

use machine_core::{Code, Error, Result};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::option_string::text;
use crate::qmp::Qmp;

/// How long either way may take: some GiB on a slow disk.
const LIMIT: Duration = Duration::from_secs(180);
/// How often QEMU is asked how far it is.
const PAUSE: Duration = Duration::from_millis(20);
/// The default limits the rate to 128 MiB/s, for the sake of a network that is not there. Bytes a second.
const RATE: u64 = 1 << 40;

/// Writes the halted guest of `qmp` to `file`, which QEMU makes for this user alone. The guest stays halted, and its disks
/// are let go until `cont`.
///
/// # Errors
/// QEMU's reason: a device that cannot be saved, a full disk.
pub(crate) async fn save(qmp: &Qmp, file: &Path) -> Result<()> {
    qmp.execute("migrate-set-parameters", json!({ "max-bandwidth": RATE })).await?;
    qmp.execute("migrate", channels(file)?).await?;
    finished(qmp, "save", file).await
}

/// Fills the QEMU of `qmp`, started with `-incoming defer`, from `file`. The guest stays halted until `cont`.
///
/// # Errors
/// QEMU's reason: a file that is cut short, or was saved by another QEMU. It may end itself, which shows as a lost monitor.
pub(crate) async fn load(qmp: &Qmp, file: &Path) -> Result<()> {
    qmp.execute("migrate-incoming", channels(file)?).await?;
    finished(qmp, "load", file).await
}

/// Calls off a save that nobody waits for any more, and returns when it has ended.
///
/// # Errors
/// When QEMU does not answer, or does not let go of it within 10 s.
pub(crate) async fn call_off(qmp: &Qmp) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(10);
    let began = Instant::now();
    // It refuses when there is nothing to call off.
    let _ = qmp.execute("migrate_cancel", json!({})).await;
    loop {
        let progress = qmp.execute("query-migrate", json!({})).await?;
        // No word at all: there never was one.
        if matches!(progress["status"].as_str(), None | Some("none" | "cancelled" | "failed" | "completed")) {
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            return Err(Error::new(Code::TimedOut, "QEMU does not stop saving the machine's memory"));
        }
        sleep(PAUSE).await;
    }
}

/// In this form a path may have commas and colons.
fn channels(file: &Path) -> Result<Value> {
    let address = json!({ "transport": "file", "filename": text(file)?, "offset": 0 });
    Ok(json!({ "channels": [{ "channel-type": "main", "addr": address }] }))
}

async fn finished(qmp: &Qmp, what: &str, file: &Path) -> Result<()> {
    let began = Instant::now();
    let failed = || Error::other(format!("QEMU cannot {what} the state {}", file.display()));
    loop {
        let progress = qmp.execute("query-migrate", json!({})).await?;
        match progress["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => {
                return Err(match progress["error-desc"].as_str() {
                    Some(reason) => failed().because(reason.to_owned()),
                    None => failed(),
                });
            }
            _ if began.elapsed() > LIMIT => {
                return Err(failed().with_code(Code::TimedOut).because(format!("it takes longer than {LIMIT:?}")));
            }
            _ => sleep(PAUSE).await,
        }
    }
}
