//! What a supervisor did and saw (`events.jsonl`): one JSON object a line, with `ts` and `event` first.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use machine_core::{Result, ResultExt};
use serde_json::Value;

/// The open log.
#[derive(Debug)]
pub(crate) struct EventLog {
    file: File,
}

impl EventLog {
    /// Opens the log at `path`, making it (0600) when it is not there.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = open_appending(path).context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { file })
    }

    /// Writes one line. A log that cannot be written stops nothing.
    pub(crate) fn write(&mut self, event: &str, fields: &Value) {
        let text = line(Timestamp::now(), event, fields);
        tracing::info!(event, %fields);
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            tracing::warn!(%error, "cannot write the event log");
        }
    }
}

/// Opens a private log to append to.
pub(crate) fn open_appending(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn line(now: Timestamp, event: &str, fields: &Value) -> String {
    let fields =
        fields.as_object().into_iter().flatten().map(|(key, value)| format!(",{}:{value}", Value::from(key.as_str())));
    format!("{{\"ts\":\"{now:.3}\",\"event\":{}{}}}\n", Value::from(event), fields.collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_one_json_object_with_time_and_event_first() {
        let text = line(Timestamp::UNIX_EPOCH, "warning", &json!({"text": "a \"b\"\nc"}));
        assert_eq!(text, "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"event\":\"warning\",\"text\":\"a \\\"b\\\"\\nc\"}\n");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["text"], "a \"b\"\nc");
        assert_eq!(line(Timestamp::UNIX_EPOCH, "ended", &Value::Null).matches(',').count(), 1);
    }
}
