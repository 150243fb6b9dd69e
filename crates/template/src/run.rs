//! A template at work.

use serde_json::Value;

use crate::Missing;
use crate::error::TemplateError;
use crate::functions;
use crate::printing::print;
use crate::tree::{Command, Node, Operand, Pipeline};

/// What `nodes` make of `value`.
pub fn run(nodes: &[Node], value: &Value, missing: Missing) -> Result<String, TemplateError> {
    let mut work = Work { variables: vec![(String::new(), value.clone())], missing, printed: String::new() };
    work.nodes(nodes, value)?;
    Ok(work.printed)
}

struct Work {
    variables: Vec<(String, Value)>,
    missing: Missing,
    printed: String,
}

/// What Go takes for true: anything but the zero of its kind.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

impl Work {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        for node in nodes {
            match node {
                Node::Text(text) => self.printed.push_str(text),
                Node::Action(pipeline) => {
                    let value = self.declaring(pipeline, dot)?;
                    if pipeline.declares.is_empty() {
                        // At the top, Go says of nothing that there is no value.
                        let text = if value.is_null() { "<no value>".to_owned() } else { print(&value) };
                        self.printed.push_str(&text);
                    }
                }
                Node::If { branches, otherwise } => {
                    let known = self.variables.len();
                    let mut chosen = otherwise;
                    for (condition, body) in branches {
                        if truth(&self.declaring(condition, dot)?) {
                            chosen = body;
                            break;
                        }
                    }
                    self.nodes(chosen, dot)?;
                    self.variables.truncate(known);
                }
                Node::With { value, body, otherwise } => {
                    let known = self.variables.len();
                    let value = self.declaring(value, dot)?;
                    if truth(&value) {
                        self.nodes(body, &value)?;
                    } else {
                        self.nodes(otherwise, dot)?;
                    }
                    self.variables.truncate(known);
                }
                Node::Range { over, body, otherwise } => self.range(over, body, otherwise, dot)?,
            }
        }
        Ok(())
    }

    fn range(&mut self, over: &Pipeline, body: &[Node], otherwise: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let known = self.variables.len();
        let elements: Vec<(Value, Value)> = match self.value(over, dot)? {
            Value::Null => Vec::new(),
            Value::Array(elements) => {
                elements.into_iter().enumerate().map(|(index, element)| (index.into(), element)).collect()
            }
            // In the order of the keys, as Go goes through a map.
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.into_iter().collect();
                fields.sort_by(|one, other| one.0.cmp(&other.0));
                fields.into_iter().map(|(key, value)| (key.into(), value)).collect()
            }
            other => return Err(TemplateError::of(format!("range over {} is not possible", kind(&other)))),
        };
        if elements.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (index, element) in elements {
            match over.declares.as_slice() {
                [one] => self.variables.push((one.clone(), element.clone())),
                [one, other] => {
                    self.variables.push((one.clone(), index));
                    self.variables.push((other.clone(), element.clone()));
                }
                _ => {}
            }
            self.nodes(body, &element)?;
            self.variables.truncate(known);
        }
        Ok(())
    }

    /// The value of a pipeline, kept in its variable if it has one.
    fn declaring(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let value = self.value(pipeline, dot)?;
        for name in &pipeline.declares {
            let present = self.variables.iter_mut().rev().find(|(known, _)| known == name);
            match present {
                Some((_, kept)) if pipeline.assigns => *kept = value.clone(),
                _ => self.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn value(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, dot)?);
        }
        Ok(value.unwrap_or_default())
    }

    fn command(&mut self, command: &Command, piped: Option<Value>, dot: &Value) -> Result<Value, TemplateError> {
        let Some((Operand::Function(name), arguments)) = command.operands.split_first() else {
            return command.operands.first().map_or(Ok(Value::Null), |operand| self.operand(operand, dot));
        };
        let mut values = arguments.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        values.extend(piped);
        functions::call(name, values).map_err(|why| TemplateError::at(command.column, format!("{name}: {why}")))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Dot(fields) => self.fields(dot, fields),
            Operand::Variable(name, fields) => {
                let value =
                    self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                self.fields(&value.unwrap_or_default(), fields)
            }
            Operand::Group(pipeline, fields) => {
                let value = self.declaring(pipeline, dot)?;
                self.fields(&value, fields)
            }
            Operand::Function(name) => {
                functions::call(name, Vec::new()).map_err(|why| TemplateError::of(format!("{name}: {why}")))
            }
        }
    }

    fn fields(&self, value: &Value, fields: &[String]) -> Result<Value, TemplateError> {
        let mut value = value;
        for name in fields {
            value = match value {
                Value::Object(known) => match known.get(name) {
                    Some(found) => found,
                    None if self.missing == Missing::NoValue => &Value::Null,
                    None => {
                        let names = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                        return Err(TemplateError::of(format!("there is no field {name}; there are {names}")));
                    }
                },
                // A field of what is not there is not there either.
                Value::Null if self.missing == Missing::NoValue => &Value::Null,
                other => return Err(TemplateError::of(format!("{} has no field {name}", kind(other)))),
            };
        }
        Ok(value.clone())
    }
}

/// What a value is, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
