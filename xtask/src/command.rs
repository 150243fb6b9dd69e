//! Running other programs: where their output goes, and what is said when one fails.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Result, places};

/// Variables that `cargo run` sets for this program and that would make a build of a child differ from the same build
/// typed by a person: build scripts that watch them (ring's does) would run again.
const CARGO_RUN_VARIABLES: &[&str] = &["CARGO", "CARGO_CRATE_NAME", "CARGO_BIN_NAME", "CARGO_PRIMARY_PACKAGE"];
const CARGO_RUN_PREFIXES: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_"];

/// Where the output of the programs goes.
pub enum Output {
    /// To the terminal, with each command line before it.
    Terminal,
    /// To a file.
    Log {
        /// The file, at its end.
        file: File,
        /// Its path, to show.
        path: PathBuf,
    },
}

impl Output {
    /// Begins a log file, replacing an older one.
    pub fn log(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Self::Log { file, path: path.to_path_buf() })
    }

    /// Writes one line of our own.
    pub fn line(&mut self, text: &str) {
        match self {
            Self::Terminal => eprintln!("{text}"),
            Self::Log { file, .. } => {
                use std::io::Write as _;
                // A full disk shows in the programs that write to the same log.
                let _ = writeln!(file, "{text}");
            }
        }
    }

    fn stdio(&self) -> Result<(Stdio, Stdio)> {
        match self {
            // What a person reads goes to standard error; standard output is for the answer.
            Self::Terminal => Ok((std::io::stderr().into(), Stdio::inherit())),
            Self::Log { file, path } => {
                let copy = || file.try_clone().map_err(|error| format!("cannot write {}: {error}", path.display()));
                Ok((copy()?.into(), copy()?.into()))
            }
        }
    }
}

/// One program with its arguments, without standard input unless asked for.
pub struct Program {
    command: Command,
    shown: Vec<String>,
    interactive: bool,
    limit: Option<u32>,
}

impl Program {
    /// The program `name`, looked for on `PATH`.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(name.as_ref());
        for (key, value) in std::env::vars_os() {
            let text = key.to_string_lossy();
            if CARGO_RUN_VARIABLES.contains(&&*text) || CARGO_RUN_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(&key);
            } else if text == "LD_LIBRARY_PATH" {
                command.env_remove(&key);
                command.envs(library_path_of_the_user(&value).map(|value| (key, value)));
            }
        }
        Self { command, shown: vec![show(name.as_ref())], interactive: false, limit: None }
    }

    /// A program with words that are all plain text: `"git rev-parse HEAD"`.
    pub fn line(words: &str) -> Self {
        let mut words = words.split_whitespace();
        Self::new(words.next().unwrap_or_default()).args(words)
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.shown.push(show(argument.as_ref()));
        self.command.arg(argument);
        self
    }

    /// More arguments.
    pub fn args(self, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets several variables.
    pub fn envs<'a>(self, variables: impl IntoIterator<Item = &'a (OsString, OsString)>) -> Self {
        variables.into_iter().fold(self, |program, (name, value)| program.env(name, value))
    }

    /// Removes a variable.
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Where it runs.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Lets it ask the person at the terminal (`sudo` may want a password).
    pub fn interactive(mut self) -> Self {
        self.interactive = true;
        self
    }

    /// Ends it after so many minutes when nobody watches (in CI): a test that hangs must not take its log with it.
    ///
    /// A person has Ctrl-C, which would not reach what `timeout` starts.
    pub fn limit_minutes(mut self, minutes: u32) -> Self {
        if places::in_ci() && places::find_program("timeout").is_some() {
            let mut limited = Command::new("timeout");
            limited.args(["--kill-after=30", &format!("{minutes}m")]);
            limited.arg(self.command.get_program()).args(self.command.get_args());
            for (name, value) in self.command.get_envs() {
                match value {
                    Some(value) => limited.env(name, value),
                    None => limited.env_remove(name),
                };
            }
            if let Some(folder) = self.command.get_current_dir() {
                limited.current_dir(folder);
            }
            self.command = limited;
            self.limit = Some(minutes);
        }
        self
    }

    /// Runs it to its end.
    pub fn run(mut self, output: &mut Output) -> Result<()> {
        let shown = self.shown.join(" ");
        output.line(&format!("$ {shown}"));
        let (stdout, stderr) = output.stdio()?;
        if !self.interactive {
            self.command.stdin(Stdio::null());
        }
        let status =
            self.command.stdout(stdout).stderr(stderr).status().map_err(|error| not_started(&shown, &error))?;
        match (status.success(), status.code(), self.limit) {
            (true, ..) => Ok(()),
            // What timeout says when it had to end it, gently or not.
            (_, Some(124 | 137), Some(limit)) => Err(format!("`{shown}` was ended after {limit} min")),
            _ => Err(format!("`{shown}` failed ({status})")),
        }
    }

    /// Runs it to its end and returns what it printed; what it says on standard error is kept for the error only.
    pub fn read(mut self) -> Result<String> {
        let shown = self.shown.join(" ");
        let output = self.command.stdin(Stdio::null()).output().map_err(|error| not_started(&shown, &error))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("`{shown}` failed ({}): {}", output.status, said.trim()))
        }
    }
}

fn not_started(shown: &str, error: &std::io::Error) -> String {
    format!("cannot start `{shown}`: {error}")
}

fn show(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains([' ', '"', '\'', '$', ';']) { format!("{word:?}") } else { word.into_owned() }
}

/// What is left of `LD_LIBRARY_PATH` without the folders that `cargo run` put before the user's own.
fn library_path_of_the_user(value: &OsStr) -> Option<OsString> {
    let of_cargo = |folder: &PathBuf| {
        let text = folder.to_string_lossy();
        text.contains("/toolchains/") || text.contains("/rustlib/") || folder.ancestors().any(is_target_folder)
    };
    let kept: Vec<_> = std::env::split_paths(value).filter(|folder| !of_cargo(folder)).collect();
    std::env::join_paths(kept).ok().filter(|value| !value.is_empty())
}

/// cargo marks its target folders as caches.
fn is_target_folder(folder: &Path) -> bool {
    folder.join("CACHEDIR.TAG").is_file() && folder.join(".rustc_info.json").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_cargo_adds_are_taken_out_of_the_library_path() {
        let value = "/home/x/.rustup/toolchains/stable/lib:/opt/mine/lib:/a/lib/rustlib/b/lib";
        assert_eq!(library_path_of_the_user(OsStr::new(value)), Some("/opt/mine/lib".into()));
        assert_eq!(library_path_of_the_user(OsStr::new("/a/rustlib/lib")), None);
    }

    #[test]
    fn a_program_that_fails_says_its_command_line_and_what_it_printed() {
        let error = Program::new("sh").args(["-c", "echo it broke >&2; exit 3"]).read().unwrap_err();
        assert!(error.contains("sh -c") && error.contains("it broke") && error.contains('3'), "{error}");
    }

    #[test]
    fn words_with_spaces_are_shown_quoted() {
        assert_eq!(show(OsStr::new("two words")), "\"two words\"");
        assert_eq!(show(OsStr::new("plain")), "plain");
    }
}
