//! A line as a shell hands it over: its words, and which of them is being typed.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::arguments::CompletionShell;

/// The words up to the one that is being typed, which is the last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub words: Vec<OsString>,
    /// The part of the last word that the shell does not replace.
    pub kept: String,
}

impl Line {
    /// The line of a shell. A last word that is missing is an empty one.
    pub(super) fn of(shell: CompletionShell, index: usize, words: Vec<OsString>) -> Self {
        let mut words = words;
        words.truncate(index.saturating_add(1));
        if words.len() <= index || words.is_empty() {
            words.push(OsString::new());
        }
        if shell != CompletionShell::Bash {
            return Self { words, kept: String::new() };
        }
        let words = rejoined(words.iter().map(|word| word.to_string_lossy().into_owned()));
        let current = words.last().map(String::as_str).unwrap_or_default();
        let kept = current.rfind(['=', ':']).map_or_else(String::new, |at| current[..=at].to_owned());
        Self { words: words.into_iter().map(OsString::from).collect(), kept }
    }

    /// The store that the words before the last one name.
    pub(super) fn storage_path(&self) -> Option<PathBuf> {
        let before = &self.words[..self.words.len() - 1];
        let mut words = before.iter();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy();
            if text == "--storage-path" || text == "-s" {
                return words.next().map(PathBuf::from);
            }
            if let Some(path) = text.strip_prefix("--storage-path=") {
                return Some(PathBuf::from(path));
            }
        }
        None
    }
}

/// bash takes `--shell=fi` and `dev:/x` apart (`COMP_WORDBREAKS`), and leaves quotes and backslashes in.
fn rejoined(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for word in words {
        let is_break = !word.is_empty() && word.chars().all(|c| matches!(c, '=' | ':'));
        match joined.last_mut() {
            Some(last) if is_break || (last.ends_with(['=', ':']) && !last.starts_with(['=', ':'])) => {
                last.push_str(&unquoted(&word));
            }
            _ => joined.push(unquoted(&word)),
        }
    }
    joined
}

fn unquoted(word: &str) -> String {
    let mut plain = String::with_capacity(word.len());
    let mut characters = word.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => plain.extend(characters.next()),
            '"' | '\'' => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(shell: CompletionShell, index: usize, words: &[&str]) -> (Vec<String>, String) {
        let line = Line::of(shell, index, words.iter().map(OsString::from).collect());
        (line.words.iter().map(|word| word.to_string_lossy().into_owned()).collect(), line.kept)
    }

    #[test]
    fn bashs_words_are_put_together_again_and_what_it_does_not_replace_is_known() {
        let bash = CompletionShell::Bash;
        assert_eq!(
            line(bash, 4, &["machine", "env", "--shell", "=", "fi"]),
            (vec!["machine".into(), "env".into(), "--shell=fi".into()], "--shell=".into())
        );
        assert_eq!(
            line(bash, 4, &["machine", "sync", ".", "dev", ":"]),
            (vec!["machine".into(), "sync".into(), ".".into(), "dev:".into()], "dev:".into())
        );
        assert_eq!(
            line(bash, 2, &["machine", "start", "\"a b"]),
            (vec!["machine".into(), "start".into(), "a b".into()], String::new())
        );
    }

    #[test]
    fn a_last_word_that_is_missing_is_empty_and_what_follows_the_index_is_not_looked_at() {
        let zsh = CompletionShell::Zsh;
        assert_eq!(line(zsh, 2, &["machine", "rm"]).0, ["machine", "rm", ""]);
        assert_eq!(line(zsh, 1, &["machine", "r", "x"]).0, ["machine", "r"]);
        assert_eq!(line(zsh, 0, &[]).0, [""]);
    }

    #[test]
    fn the_store_that_the_line_names_is_the_one_that_is_asked() {
        for words in [["-s", "/x"].as_slice(), &["--storage-path", "/x"], &["--storage-path=/x"]] {
            let words = [&["machine"], words, &["start", ""]].concat();
            let line = Line::of(CompletionShell::Fish, words.len() - 1, words.iter().map(OsString::from).collect());
            assert_eq!(line.storage_path(), Some(PathBuf::from("/x")), "{words:?}");
        }
    }
}
