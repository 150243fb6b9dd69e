//! Words of a template.

use serde_json::{Number, Value};

use crate::error::TemplateError;

/// A piece of a template.
#[derive(Debug, PartialEq)]
pub enum Piece {
    Text(String),
    Action(Vec<(usize, Token)>),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Literal(Value),
    Word(String),
    /// `$name`; `$` alone has the empty name.
    Variable(String),
    /// `.name`; `attached` to what is before it, without a space.
    Field {
        name: String,
        attached: bool,
    },
    Dot,
    Open,
    Close,
    Pipe,
    Comma,
    Declare,
    Assign,
}

/// Takes a template apart.
pub fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    let column = |rest: &str| text[..text.len() - rest.len()].chars().count() + 1;
    loop {
        let Some((before, after)) = rest.split_once("{{") else {
            push_text(&mut pieces, if trim { rest.trim_start() } else { rest });
            return Ok(pieces);
        };
        let begins = column(&rest[before.len()..]);
        let mut plain = if trim { before.trim_start() } else { before };
        let mut inside = after;
        if let Some(trimmed) = inside.strip_prefix('-')
            && trimmed.starts_with(char::is_whitespace)
        {
            plain = plain.trim_end();
            inside = trimmed;
        }
        push_text(&mut pieces, plain);
        let comment = inside.trim_start();
        if comment.starts_with("/*") {
            let (_, after) =
                comment.split_once("*/").ok_or_else(|| TemplateError::at(begins, "a comment that does not end"))?;
            let after = after.trim_start();
            trim = after.starts_with("-}}");
            rest = after
                .strip_prefix("-}}")
                .or_else(|| after.strip_prefix("}}"))
                .ok_or_else(|| TemplateError::at(begins, "a comment must be all that is in its braces"))?;
            continue;
        }
        let (tokens, after, trims) = action(inside, begins, &column)?;
        if tokens.is_empty() {
            return Err(TemplateError::at(begins, "nothing is in the braces"));
        }
        pieces.push(Piece::Action(tokens));
        (rest, trim) = (after, trims);
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

type Action<'a> = (Vec<(usize, Token)>, &'a str, bool);

/// The words up to `}}`, what follows, and whether space is trimmed there.
fn action<'a>(mut rest: &'a str, begins: usize, column: &impl Fn(&str) -> usize) -> Result<Action<'a>, TemplateError> {
    let mut tokens: Vec<(usize, Token)> = Vec::new();
    loop {
        let spaced = rest.starts_with(char::is_whitespace);
        let here = rest.trim_start();
        if let Some(after) = here.strip_prefix("}}") {
            return Ok((tokens, after, false));
        }
        if spaced && let Some(after) = here.strip_prefix("-}}") {
            return Ok((tokens, after, true));
        }
        let at = column(here);
        let Some(first) = here.chars().next() else {
            return Err(TemplateError::at(begins, "the braces are not closed"));
        };
        let follows_a_value =
            matches!(tokens.last(), Some((_, Token::Variable(_) | Token::Field { .. } | Token::Close)));
        let (token, after) = match first {
            '(' => (Token::Open, &here[1..]),
            ')' => (Token::Close, &here[1..]),
            '|' => (Token::Pipe, &here[1..]),
            ',' => (Token::Comma, &here[1..]),
            ':' if here.starts_with(":=") => (Token::Declare, &here[2..]),
            '=' => (Token::Assign, &here[1..]),
            '"' => quoted(here, at)?,
            '`' => {
                let (raw, after) =
                    here[1..].split_once('`').ok_or_else(|| TemplateError::at(at, "a text that does not end"))?;
                (Token::Literal(raw.into()), after)
            }
            '$' => {
                let (name, after) = word(&here[1..]);
                (Token::Variable(name.to_owned()), after)
            }
            '.' => match word(&here[1..]) {
                ("", after) => (Token::Dot, after),
                (name, after) => (Token::Field { name: name.to_owned(), attached: !spaced && follows_a_value }, after),
            },
            '-' | '+' | '0'..='9' => number(here, at)?,
            first if first.is_alphabetic() || first == '_' => {
                let (word, after) = word(here);
                let token = match word {
                    "true" => Token::Literal(true.into()),
                    "false" => Token::Literal(false.into()),
                    "nil" => Token::Literal(Value::Null),
                    word => Token::Word(word.to_owned()),
                };
                (token, after)
            }
            other => return Err(TemplateError::at(at, format!("{other:?} means nothing here"))),
        };
        tokens.push((at, token));
        rest = after;
    }
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

fn quoted(text: &str, at: usize) -> Result<(Token, &str), TemplateError> {
    let mut escaped = false;
    let end = text[1..].find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    let end = end.ok_or_else(|| TemplateError::at(at, "a text that does not end"))? + 2;
    // Go's escapes are JSON's, as far as anybody uses them.
    let value = serde_json::from_str(&text[..end]).map_err(|_| TemplateError::at(at, "a text with a wrong escape"))?;
    Ok((Token::Literal(value), &text[end..]))
}

fn number(text: &str, at: usize) -> Result<(Token, &str), TemplateError> {
    let end =
        text[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_').map_or(text.len(), |end| end + 1);
    let (digits, after) = text.split_at(end);
    let number = match (digits.parse::<i64>(), digits.parse::<f64>()) {
        (Ok(whole), _) => Some(Number::from(whole)),
        (_, Ok(number)) => Number::from_f64(number),
        _ => None,
    };
    let number = number.ok_or_else(|| TemplateError::at(at, format!("{digits:?} is no number")))?;
    Ok((Token::Literal(Value::Number(number)), after))
}
