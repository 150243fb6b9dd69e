//! From words to a tree.

use crate::error::TemplateError;
use crate::functions;
use crate::lexer::{Piece, Token, pieces};
use crate::tree::{Command, Node, Operand, Pipeline};

/// How deep blocks and parentheses may lie in each other.
const DEEPEST: usize = 64;

/// Understands a template.
pub fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { pieces: pieces(text)?.into_iter(), variables: vec![String::new()], depth: 0 };
    match parser.nodes()? {
        (nodes, None) => Ok(nodes),
        (_, Some(end)) => Err(TemplateError::at(end.column, format!("{{{{{}}}}} ends nothing", end.word))),
    }
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    /// Those that may be named here.
    variables: Vec<String>,
    depth: usize,
}

/// What ended a list of nodes: `end` or `else`, with what follows.
struct End {
    column: usize,
    word: &'static str,
    rest: Words,
}

struct Words {
    tokens: std::iter::Peekable<std::vec::IntoIter<(usize, Token)>>,
    last: usize,
}

impl Words {
    fn next(&mut self) -> Option<Token> {
        let (column, token) = self.tokens.next()?;
        self.last = column;
        Some(token)
    }

    fn peek(&mut self) -> Option<&Token> {
        self.tokens.peek().map(|(_, token)| token)
    }

    /// Whether the next word is that one; takes it then.
    fn takes(&mut self, wanted: &Token) -> bool {
        let is = self.peek() == Some(wanted);
        if is {
            self.next();
        }
        is
    }

    fn done(mut self) -> Result<(), TemplateError> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(TemplateError::at(self.last, "more than was expected")),
        }
    }
}

impl Parser {
    fn deeper(&mut self, column: usize) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(TemplateError::at(column, "too deep")) } else { Ok(()) }
    }

    /// Nodes up to an `end` or `else`, or all.
    fn nodes(&mut self) -> Result<(Vec<Node>, Option<End>), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let mut words =
                Words { last: tokens.first().map_or(1, |(column, _)| *column), tokens: tokens.into_iter().peekable() };
            let first = match words.peek() {
                Some(Token::Word(word)) => word.clone(),
                _ => String::new(),
            };
            let column = words.last;
            match first.as_str() {
                "end" | "else" => {
                    words.next();
                    let word = if first == "end" { "end" } else { "else" };
                    return Ok((nodes, Some(End { column, word, rest: words })));
                }
                "if" => {
                    words.next();
                    nodes.push(self.condition(words, column)?);
                }
                "range" | "with" => {
                    words.next();
                    let known = self.variables.len();
                    let value = self.pipeline(&mut words)?;
                    words.done()?;
                    if value.declares.len() > 1 && first == "with" {
                        return Err(TemplateError::at(column, "`with` declares one variable"));
                    }
                    let (body, otherwise) = self.block(column, known)?;
                    nodes.push(if first == "range" {
                        Node::Range { over: value, body, otherwise }
                    } else {
                        Node::With { value, body, otherwise }
                    });
                }
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(TemplateError::at(column, format!("`{first}` is not known here")));
                }
                _ => {
                    let pipeline = self.pipeline(&mut words)?;
                    words.done()?;
                    if pipeline.declares.len() > 1 {
                        return Err(TemplateError::at(column, "two variables at once are for `range`"));
                    }
                    nodes.push(Node::Action(pipeline));
                }
            }
        }
        Ok((nodes, None))
    }

    /// Up to the `end`, with or without an `else` before. Variables of it are forgotten: those from `known` on.
    fn block(&mut self, column: usize, known: usize) -> Result<(Vec<Node>, Vec<Node>), TemplateError> {
        self.deeper(column)?;
        let (body, end) = self.nodes()?;
        let mut end = end.ok_or_else(|| unended(column))?;
        let mut otherwise = Vec::new();
        if end.word == "else" {
            end.rest.done()?;
            self.variables.truncate(known);
            let (nodes, last) = self.nodes()?;
            otherwise = nodes;
            end = last.filter(|end| end.word == "end").ok_or_else(|| unended(column))?;
        }
        end.rest.done()?;
        self.variables.truncate(known);
        self.depth -= 1;
        Ok((body, otherwise))
    }

    fn condition(&mut self, mut words: Words, column: usize) -> Result<Node, TemplateError> {
        self.deeper(column)?;
        let known = self.variables.len();
        let (mut branches, mut otherwise) = (Vec::new(), Vec::new());
        loop {
            let condition = self.pipeline(&mut words)?;
            words.done()?;
            let (body, end) = self.nodes()?;
            branches.push((condition, body));
            let mut end = end.ok_or_else(|| unended(column))?;
            if end.word == "end" {
                end.rest.done()?;
                break;
            }
            if end.rest.takes(&Token::Word("if".to_owned())) {
                words = end.rest;
                continue;
            }
            end.rest.done()?;
            let (nodes, last) = self.nodes()?;
            otherwise = nodes;
            last.filter(|end| end.word == "end").ok_or_else(|| unended(column))?.rest.done()?;
            break;
        }
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(Node::If { branches, otherwise })
    }

    fn pipeline(&mut self, words: &mut Words) -> Result<Pipeline, TemplateError> {
        let mut pipeline = Pipeline { declares: Vec::new(), assigns: false, commands: Vec::new() };
        // `$x :=`, `$i, $x :=`, `$x =`: else these words are values.
        let ahead: Vec<Token> = words.tokens.clone().take(4).map(|(_, token)| token).collect();
        let names: Vec<String> = match ahead.as_slice() {
            [Token::Variable(one), Token::Declare | Token::Assign, ..] => vec![one.clone()],
            [Token::Variable(one), Token::Comma, Token::Variable(other), Token::Declare] => {
                vec![one.clone(), other.clone()]
            }
            _ => Vec::new(),
        };
        if !names.is_empty() {
            for _ in 0..names.len() * 2 - 1 {
                words.next();
            }
            pipeline.assigns = words.next() == Some(Token::Assign);
            pipeline.declares = names;
        }
        loop {
            pipeline.commands.push(self.command(words)?);
            if !words.takes(&Token::Pipe) {
                break;
            }
        }
        let starts_with_a_value = |command: &Command| !matches!(command.operands.first(), Some(Operand::Function(_)));
        if let Some(command) = pipeline.commands.iter().skip(1).find(|command| starts_with_a_value(command)) {
            return Err(TemplateError::at(command.column, "what follows `|` must be a function"));
        }
        if pipeline.assigns {
            if let Some(unknown) = pipeline.declares.iter().find(|name| !self.variables.contains(name)) {
                return Err(TemplateError::at(words.last, format!("the variable ${unknown} is not known")));
            }
        } else {
            self.variables.extend(pipeline.declares.iter().cloned());
        }
        Ok(pipeline)
    }

    fn command(&mut self, words: &mut Words) -> Result<Command, TemplateError> {
        let mut operands: Vec<Operand> = Vec::new();
        let mut column = None;
        loop {
            let operand = match words.peek() {
                None | Some(Token::Pipe | Token::Close) => break,
                Some(_) => words.next(),
            };
            column.get_or_insert(words.last);
            let operand = match operand {
                Some(Token::Literal(value)) => Operand::Literal(value),
                Some(Token::Dot) => Operand::Dot(Vec::new()),
                Some(Token::Field { name, attached: false }) => Operand::Dot(vec![name]),
                Some(Token::Field { name, attached: true }) => {
                    match operands.last_mut() {
                        Some(Operand::Dot(fields) | Operand::Variable(_, fields) | Operand::Group(_, fields)) => {
                            fields.push(name);
                        }
                        _ => return Err(TemplateError::at(words.last, "this has no fields")),
                    }
                    continue;
                }
                Some(Token::Variable(name)) => {
                    if !self.variables.contains(&name) {
                        return Err(TemplateError::at(words.last, format!("the variable ${name} is not known")));
                    }
                    Operand::Variable(name, Vec::new())
                }
                Some(Token::Word(name)) if functions::is_known(&name) => Operand::Function(name),
                Some(Token::Word(name)) => {
                    return Err(TemplateError::at(words.last, format!("the function {name:?} is not known")));
                }
                Some(Token::Open) => {
                    self.deeper(words.last)?;
                    let inner = self.pipeline(words)?;
                    if !words.takes(&Token::Close) {
                        return Err(TemplateError::at(words.last, "a parenthesis is not closed"));
                    }
                    self.depth -= 1;
                    Operand::Group(Box::new(inner), Vec::new())
                }
                _ => return Err(TemplateError::at(words.last, "a value was expected")),
            };
            operands.push(operand);
        }
        let column = column.ok_or_else(|| TemplateError::at(words.last, "a value was expected"))?;
        if operands.len() > 1 && !matches!(operands.first(), Some(Operand::Function(_))) {
            return Err(TemplateError::at(column, "a value takes no arguments"));
        }
        Ok(Command { column, operands })
    }
}

fn unended(column: usize) -> TemplateError {
    TemplateError::at(column, "there is no {{end}} to this")
}
