//! What fits at a place of a line, one a line, as each shell reads it.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap_complete::engine::{CompletionCandidate, complete};
use machine_app::{App, Environment, Shell};

use super::line::Line;
use super::values::with_values;
use crate::arguments::{Arguments, CompletionShell};

/// The answer to `machine complete SHELL INDEX -- WORD...`: from local facts alone. Whatever is wrong, a shell that asks in
/// the middle of a line gets nothing and hears nothing.
pub fn answer(shell: CompletionShell, index: usize, words: Vec<OsString>) -> String {
    let line = Line::of(shell, index, words);
    let Ok(environment) = Environment::read(line.storage_path().as_deref()) else { return String::new() };
    let current = environment.current.clone();
    let app = App::new(environment);
    let (last, before) = match line.words.split_last() {
        Some((last, before)) => (last.to_string_lossy().into_owned(), before),
        None => return String::new(),
    };
    let named: Vec<String> = before.iter().skip(2).map(|word| word.to_string_lossy().into_owned()).collect();
    let mut command = with_values(Arguments::command(), &app, &named);
    let index = line.words.len() - 1;
    let Ok(candidates) = complete(&mut command, line.words.clone(), index, Some(&current)) else {
        return String::new();
    };
    let shown = candidates
        .iter()
        .filter(|candidate| !candidate.is_hide_set())
        // Flags only for one who has begun to type one.
        .filter(|candidate| last.starts_with('-') || !candidate.get_value().to_string_lossy().starts_with('-'))
        .filter_map(|candidate| written(shell, candidate, &line.kept));
    shown.map(|line| line + "\n").collect()
}

/// A candidate as the shell reads it: bash gets it quoted, without the part that it keeps; the others get an explanation
/// behind a tab. `None` for what a line cannot hold.
fn written(shell: CompletionShell, candidate: &CompletionCandidate, kept: &str) -> Option<String> {
    let value = candidate.get_value().to_str().filter(|value| !value.contains(char::is_control))?;
    if shell == CompletionShell::Bash {
        return Some(escaped(value.strip_prefix(kept).unwrap_or(value)));
    }
    let value = match shell {
        // It puts into the line what it is given, too; `~` is for it to expand.
        CompletionShell::Nushell if !value.starts_with('~') => Shell::Nushell.word(value),
        _ => value.to_owned(),
    };
    let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.lines().next().unwrap_or_default().replace('\t', " ");
    Some(if help.is_empty() { value } else { format!("{value}\t{help}") })
}

/// bash puts into the line what it is given.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_./=:,@+%~".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
