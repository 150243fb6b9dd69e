//! The functions of templates: those of Go's text/template, of docker-machine and of docker, as far as they are used.

use std::cmp::Ordering;

use serde_json::Value;

use crate::printing::print;
use crate::run::{kind, truth};

const NAMES: &[&str] = &[
    "and",
    "eq",
    "ge",
    "gt",
    "index",
    "join",
    "json",
    "le",
    "len",
    "lower",
    "lt",
    "ne",
    "not",
    "or",
    "prettyjson",
    "print",
    "printf",
    "println",
    "split",
    "title",
    "upper",
];

/// Whether there is a function of that name.
pub fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls one; the error says why it cannot.
pub fn call(name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    match name {
        "json" => one(arguments).map(|value| value.to_string().into()),
        // Go's json.MarshalIndent with four spaces, as docker-machine has it.
        "prettyjson" => one(arguments).map(|value| pretty(&value).into()),
        "len" => match one(arguments)? {
            Value::String(text) => Ok(text.len().into()),
            Value::Array(elements) => Ok(elements.len().into()),
            Value::Object(fields) => Ok(fields.len().into()),
            other => Err(format!("{} has no length", kind(&other))),
        },
        "index" => index(arguments),
        "not" => one(arguments).map(|value| (!truth(&value)).into()),
        "and" => first_or_last(arguments, |value| !truth(value)),
        "or" => first_or_last(arguments, truth),
        "eq" => {
            let (first, others) = arguments.split_first().ok_or("it wants two values")?;
            if others.is_empty() {
                return Err("it wants two values".to_owned());
            }
            Ok(others.iter().any(|other| equal(first, other)).into())
        }
        "ne" => two(arguments).map(|(one, other)| (!equal(&one, &other)).into()),
        "lt" => ordered(arguments, Ordering::is_lt),
        "le" => ordered(arguments, Ordering::is_le),
        "gt" => ordered(arguments, Ordering::is_gt),
        "ge" => ordered(arguments, Ordering::is_ge),
        "print" => Ok(arguments.iter().map(print).collect::<String>().into()),
        "println" => Ok(format!("{}\n", arguments.iter().map(print).collect::<Vec<_>>().join(" ")).into()),
        "printf" => printf(&arguments).map(Value::from),
        "lower" => text(arguments).map(|text| text.to_lowercase().into()),
        "upper" => text(arguments).map(|text| text.to_uppercase().into()),
        "title" => text(arguments).map(|text| titled(&text).into()),
        "join" => match two(arguments)? {
            (Value::Array(elements), Value::String(between)) => {
                Ok(elements.iter().map(print).collect::<Vec<_>>().join(&between).into())
            }
            _ => Err("it wants a list and a text".to_owned()),
        },
        "split" => match two(arguments)? {
            (Value::String(text), Value::String(at)) => Ok(text.split(at.as_str()).map(Value::from).collect()),
            _ => Err("it wants two texts".to_owned()),
        },
        _ => Err("it is not known".to_owned()),
    }
}

fn one(arguments: Vec<Value>) -> Result<Value, String> {
    <[Value; 1]>::try_from(arguments)
        .map(|[value]| value)
        .map_err(|all| format!("it wants one value, not {}", all.len()))
}

fn two(arguments: Vec<Value>) -> Result<(Value, Value), String> {
    <[Value; 2]>::try_from(arguments)
        .map(|[one, other]| (one, other))
        .map_err(|all| format!("it wants two values, not {}", all.len()))
}

fn text(arguments: Vec<Value>) -> Result<String, String> {
    match one(arguments)? {
        Value::String(text) => Ok(text),
        other => Err(format!("it wants a text, not {}", kind(&other))),
    }
}

fn pretty(value: &Value) -> String {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    // A value that was read can be written.
    let _written = serde::Serialize::serialize(value, &mut serializer);
    String::from_utf8_lossy(&text).into_owned()
}

fn index(arguments: Vec<Value>) -> Result<Value, String> {
    let mut arguments = arguments.into_iter();
    let mut value = arguments.next().ok_or("it wants a value and an index")?;
    for at in arguments {
        value = match (&value, &at) {
            (Value::Array(elements), Value::Number(number)) => {
                let place = number.as_u64().and_then(|place| usize::try_from(place).ok());
                let found = place.and_then(|place| elements.get(place));
                found.cloned().ok_or_else(|| format!("the list of {} has no place {at}", elements.len()))?
            }
            // What is not in a map is the zero of its kind.
            (Value::Object(fields), Value::String(key)) => fields.get(key).cloned().unwrap_or_default(),
            (other, at) => return Err(format!("{} has no place {}", kind(other), print(at))),
        };
    }
    Ok(value)
}

fn first_or_last(arguments: Vec<Value>, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
    let position = arguments.iter().position(wanted).or_else(|| arguments.len().checked_sub(1));
    position.and_then(|at| arguments.into_iter().nth(at)).ok_or_else(|| "it wants a value".to_owned())
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}

fn ordered(arguments: Vec<Value>, wanted: impl Fn(Ordering) -> bool) -> Result<Value, String> {
    let (one, other) = two(arguments)?;
    let order = match (&one, &other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64().partial_cmp(&other.as_f64()),
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    };
    order.map(|order| wanted(order).into()).ok_or_else(|| format!("{} and {} have no order", kind(&one), kind(&other)))
}

fn titled(text: &str) -> String {
    let mut begins = true;
    let one = |c: char| {
        let shown = if begins { c.to_uppercase().collect::<String>() } else { c.to_string() };
        begins = c.is_whitespace();
        shown
    };
    text.chars().map(one).collect()
}

/// `%s`, `%v`, `%d`, `%q`, `%t`, `%%`, with a width and `-`.
fn printf(arguments: &[Value]) -> Result<String, String> {
    let (format, mut values) = match arguments.split_first() {
        Some((Value::String(format), values)) => (format, values.iter()),
        _ => return Err("it wants a format".to_owned()),
    };
    let mut text = String::new();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let left = characters.next_if_eq(&'-').is_some();
        let mut width = 0_usize;
        while let Some(digit) = characters.peek().and_then(|c| c.to_digit(10)) {
            width = (width * 10 + digit as usize).min(1000);
            characters.next();
        }
        let verb = characters.next().ok_or("the format ends in %")?;
        if verb == '%' {
            text.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| format!("there is no value for %{verb}"))?;
        let shown = match (verb, value) {
            ('q', value) => Value::from(print(value)).to_string(),
            ('s' | 'v', value) | ('d', value @ Value::Number(_)) | ('t', value @ Value::Bool(_)) => print(value),
            (verb, value) => return Err(format!("%{verb} is not for {}", kind(value))),
        };
        if left {
            text.push_str(&format!("{shown:<width$}"));
        } else {
            text.push_str(&format!("{shown:>width$}"));
        }
    }
    if values.next().is_some() {
        return Err("there are more values than the format has places for".to_owned());
    }
    Ok(text)
}
