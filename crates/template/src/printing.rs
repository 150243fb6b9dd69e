//! Values as Go's `fmt` prints them with `%v`.

use serde_json::Value;

/// The text of a value.
pub fn print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(print).collect::<Vec<_>>().join(" "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|one, other| one.0.cmp(other.0));
            let field = |(key, value): (&String, &Value)| format!("{key}:{}", print(value));
            format!("map[{}]", fields.into_iter().map(field).collect::<Vec<_>>().join(" "))
        }
    }
}
