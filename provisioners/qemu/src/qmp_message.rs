//! One line of the QEMU Machine Protocol, as QEMU sends it.
//!
//! Source: "QEMU Machine Protocol Specification", docs/interop/qmp-spec.rst of QEMU.

use serde_json::Value;

/// What a line says. Lines that are none of these are passed over.
#[derive(Clone, Debug, PartialEq)]
pub enum QmpMessage {
    /// The first line of a connection.
    Greeting,
    /// The answer to the command with this `id`.
    Reply {
        /// The number that the command was sent with.
        id: u64,
        /// What it returned, or why it was refused.
        result: Result<Value, String>,
    },
    /// Something happened.
    Event(QmpEvent),
}

/// An asynchronous event.
#[derive(Clone, Debug, PartialEq)]
pub struct QmpEvent {
    /// Its name, such as `SHUTDOWN`.
    pub name: String,
    /// Its data; `null` when it has none.
    pub data: Value,
}

impl QmpMessage {
    /// Reads a line of any bytes.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let Value::Object(mut object) = serde_json::from_slice(line).ok()? else { return None };
        if object.contains_key("QMP") {
            return Some(Self::Greeting);
        }
        if let Some(Value::String(name)) = object.get("event") {
            let name = name.clone();
            return Some(Self::Event(QmpEvent { name, data: object.remove("data").unwrap_or(Value::Null) }));
        }
        let id = object.get("id")?.as_u64()?;
        if let Some(returned) = object.remove("return") {
            return Some(Self::Reply { id, result: Ok(returned) });
        }
        let error = object.get("error")?;
        let description = error.get("desc").and_then(Value::as_str).unwrap_or("an error without description");
        Some(Self::Reply { id, result: Err(description.to_owned()) })
    }
}

/// Why QEMU is about to end, from the data of its `SHUTDOWN` event (`ShutdownCause` in qapi/run-state.json).
pub fn shutdown_reason(event: &QmpEvent) -> Option<&str> {
    if event.name != "SHUTDOWN" {
        return None;
    }
    Some(event.data.get("reason").and_then(Value::as_str).unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Option<QmpMessage> {
        QmpMessage::parse(text.as_bytes())
    }

    #[test]
    fn greetings_replies_errors_and_events_are_told_apart() {
        assert_eq!(
            parse(r#"{"QMP": {"version": {"qemu": {"major": 10}}, "capabilities": []}}"#),
            Some(QmpMessage::Greeting)
        );
        assert_eq!(
            parse(r#"{"return": {"running": true}, "id": 7}"#),
            Some(QmpMessage::Reply { id: 7, result: Ok(json!({"running": true})) })
        );
        assert_eq!(
            parse(r#"{"id": 8, "error": {"class": "CommandNotFound", "desc": "no such command"}}"#),
            Some(QmpMessage::Reply { id: 8, result: Err("no such command".into()) })
        );
        let event =
            parse(r#"{"timestamp": {}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#);
        let Some(QmpMessage::Event(event)) = event else { panic!("{event:?}") };
        assert_eq!(shutdown_reason(&event), Some("guest-shutdown"));
    }

    #[test]
    fn lines_of_another_form_are_passed_over() {
        for line in
            ["", "{", "[]", "7", r#"{"return": {}}"#, r#"{"return": {}, "id": "x"}"#, r#"{"event": 7}"#, r#"{"id": 1}"#]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(line: Vec<u8>) {
            let _ = QmpMessage::parse(&line);
        }

        #[test]
        fn any_json_under_the_known_keys_is_survived(
            key in "QMP|return|error|event|data|id", other in "return|error|event|id", value in "(\\{\\}|null|-?[0-9]{1,25}|\"[a-z]*\"|\\[\\])",
        ) {
            let _ = QmpMessage::parse(format!("{{\"{key}\": {value}, \"{other}\": {value}}}").as_bytes());
        }
    }
}
