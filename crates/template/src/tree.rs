//! A template, understood.

use serde_json::Value;

/// A part of a template.
#[derive(Debug)]
pub enum Node {
    Text(String),
    /// Prints its value, unless it only declares a variable.
    Action(Pipeline),
    /// The first branch whose condition is true.
    If {
        branches: Vec<(Pipeline, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    /// Once for each element.
    Range {
        over: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    /// With another dot, if that is true.
    With {
        value: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug)]
pub struct Pipeline {
    /// Variables that get the value; `range` fills two with index and element.
    pub declares: Vec<String>,
    /// `=` in place of `:=`.
    pub assigns: bool,
    pub commands: Vec<Command>,
}

/// A function with its arguments, or one value.
#[derive(Debug)]
pub struct Command {
    pub column: usize,
    pub operands: Vec<Operand>,
}

#[derive(Debug)]
pub enum Operand {
    Literal(Value),
    /// The name of a function.
    Function(String),
    /// Fields of the dot; none: the dot itself.
    Dot(Vec<String>),
    /// Fields of a variable; `$` has the empty name.
    Variable(String, Vec<String>),
    /// Fields of what is in parentheses.
    Group(Box<Pipeline>, Vec<String>),
}
