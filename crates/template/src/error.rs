//! What is wrong with a template.

use std::fmt;

/// Why a template makes no sense, or nothing of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The character of the template, from 1, where that is known.
    pub column: Option<usize>,
    /// What is wrong.
    pub why: String,
}

impl TemplateError {
    pub(crate) fn at(column: usize, why: impl Into<String>) -> Self {
        Self { column: Some(column), why: why.into() }
    }

    pub(crate) fn of(why: impl Into<String>) -> Self {
        Self { column: None, why: why.into() }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "character {column}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl std::error::Error for TemplateError {}
