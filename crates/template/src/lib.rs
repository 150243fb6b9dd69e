//! Go templates over JSON, as far as people who script docker-machine and docker use them.
//!
//! Known are text, comments, `{{-` and `-}}`, fields, variables, pipelines, parentheses, `if`, `else if`, `range`, `with`, and the functions
//! `json`, `prettyjson`, `index`, `len`, `join`, `split`, `lower`, `upper`, `title`, `print`, `println`, `printf`, `eq`, `ne`, `lt`, `le`, `gt`, `ge`,
//! `and`, `or`, `not`. Values are printed as Go prints them (text/template, fmt). There is no `define`, `template`, `block` or `break`.

mod error;
mod functions;
mod lexer;
mod parser;
mod printing;
mod run;
mod tree;

pub use error::TemplateError;

use serde_json::Value;

/// What a field that is not there means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// `<no value>`, as in a map of Go.
    NoValue,
    /// An error, as in a struct of Go.
    Error,
}

/// A template that makes sense.
#[derive(Debug)]
pub struct Template(Vec<tree::Node>);

impl Template {
    /// Understands `text`.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parser::parse(text).map(Self)
    }

    /// What it makes of `value`.
    ///
    /// # Errors
    /// A function that does not fit its arguments, or a field that is not there and must be.
    pub fn render(&self, value: &Value, missing: Missing) -> Result<String, TemplateError> {
        run::run(&self.0, value, missing)
    }
}
