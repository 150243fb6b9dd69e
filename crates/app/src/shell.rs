//! The shells that `env` speaks to: what sets and unsets a variable in each, and how a value survives its quoting.

use std::fmt;
use std::str::FromStr;

use machine_core::{Code, Error};

/// What is done to a variable.
#[derive(Clone, Debug)]
pub enum Statement<'a> {
    /// It gets a value.
    Set(&'a str, String),
    /// It is taken away.
    Unset(&'a str),
}

/// A shell, or what reads like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// bash, zsh, sh, dash, ksh: all that read `export`.
    Posix,
    /// fish.
    Fish,
    /// Windows PowerShell and PowerShell 7.
    PowerShell,
    /// cmd.exe.
    Cmd,
    /// tcsh and csh.
    Tcsh,
    /// Emacs Lisp.
    Emacs,
    /// Nushell, which evaluates no text: it reads NUON, its notation of values.
    Nushell,
}

impl Shell {
    /// The names that people type, one for each way of speaking and the common ones besides.
    pub const NAMES: &[&str] = &["bash", "zsh", "sh", "fish", "powershell", "cmd", "tcsh", "emacs", "nushell"];

    /// The shell of a program's name or path; `None` for a program that is no shell.
    pub fn from_program(program: &str) -> Option<Self> {
        let name = program.rsplit(['/', '\\']).next().unwrap_or(program).trim_start_matches('-').to_ascii_lowercase();
        match name.strip_suffix(".exe").unwrap_or(&name) {
            "bash" | "zsh" | "sh" | "dash" | "ksh" | "mksh" | "ash" | "busybox" => Some(Self::Posix),
            "fish" => Some(Self::Fish),
            "powershell" | "pwsh" => Some(Self::PowerShell),
            "cmd" => Some(Self::Cmd),
            "tcsh" | "csh" => Some(Self::Tcsh),
            "emacs" => Some(Self::Emacs),
            "nu" | "nushell" => Some(Self::Nushell),
            _ => None,
        }
    }

    /// A statement that sets `name` to `value`. For ordinary values it is docker-machine's to the letter.
    pub fn set(self, name: &str, value: &str) -> String {
        match self {
            Self::Posix => format!("export {name}=\"{}\"", escape(value, '\\', &['\\', '"', '$', '`'])),
            Self::Fish => format!("set -gx {name} \"{}\";", escape(value, '\\', &['\\', '"', '$'])),
            // PowerShell takes typographic double quotes for plain ones.
            Self::PowerShell => {
                format!(
                    "$Env:{name} = \"{}\"",
                    escape(value, '`', &['`', '"', '$', '\u{201c}', '\u{201d}', '\u{201e}'])
                )
            }
            // `FOR /f ... DO @%i` puts the line in after cmd has parsed it: nothing in it means anything any more.
            Self::Cmd => format!("SET {name}={value}"),
            Self::Tcsh => format!("setenv {name} \"{}\";", tcsh(value)),
            Self::Emacs => format!("(setenv \"{name}\" \"{}\")", escape(value, '\\', &['\\', '"'])),
            Self::Nushell => format!("  {name}: \"{}\"", escape(value, '\\', &['\\', '"'])),
        }
    }

    /// A statement that removes `name`.
    pub fn unset(self, name: &str) -> String {
        match self {
            Self::Posix => format!("unset {name}"),
            Self::Fish => format!("set -e {name};"),
            // Two backslashes, as docker-machine printed; PowerShell takes them for one.
            Self::PowerShell => format!("Remove-Item Env:\\\\{name}"),
            Self::Cmd => format!("SET {name}="),
            Self::Tcsh => format!("unsetenv {name};"),
            Self::Emacs => format!("(setenv \"{name}\" nil)"),
            Self::Nushell => format!("  {name}"),
        }
    }

    /// `statements` of [`set`](Self::set) as one text. A record of Nushell's takes no name away: what is unset between others is
    /// empty there, which to the Docker client is the same.
    pub fn setting(self, statements: &[Statement<'_>]) -> String {
        let lines = statements.iter().map(|statement| match *statement {
            Statement::Set(name, ref value) => self.set(name, value),
            Statement::Unset(name) if self == Self::Nushell => self.set(name, ""),
            Statement::Unset(name) => self.unset(name),
        });
        self.between('{', lines, '}')
    }

    /// Statements that remove `names`, as one text.
    pub fn unsetting(self, names: &[&str]) -> String {
        self.between('[', names.iter().map(|name| self.unset(name)), ']')
    }

    fn between(self, open: char, lines: impl Iterator<Item = String>, close: char) -> String {
        let text = lines.collect::<Vec<_>>().join("\n");
        if self == Self::Nushell { format!("{open}\n{text}\n{close}") } else { text }
    }

    /// A line to be typed (or pasted) that evaluates what `command` prints.
    pub fn evaluate(self, command: &str) -> String {
        match self {
            Self::Posix => format!("eval \"$({command})\""),
            Self::Fish => format!("{command} | source"),
            Self::PowerShell => format!("& {command} | Invoke-Expression"),
            Self::Cmd => format!("@FOR /f \"tokens=*\" %i IN ('{command}') DO @%i"),
            Self::Tcsh => format!("eval `{command}`"),
            Self::Emacs => {
                let call = escape(command, '\\', &['\\', '"']);
                format!("(with-temp-buffer (shell-command \"{call}\" (current-buffer)) (eval-buffer))")
            }
            Self::Nushell => format!("{command} | from nuon | load-env"),
        }
    }

    /// A word of a command line, quoted where this shell would take it apart.
    pub fn word(self, word: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c) || (c == '\\' && self == Self::Cmd);
        if !word.is_empty() && word.chars().all(plain) {
            return word.to_owned();
        }
        match self {
            Self::PowerShell => format!("'{}'", word.replace('\'', "''")),
            Self::Cmd => format!("\"{word}\""),
            Self::Fish => format!("'{}'", escape(word, '\\', &['\\', '\''])),
            Self::Nushell => format!("\"{}\"", escape(word, '\\', &['\\', '"'])),
            Self::Posix | Self::Tcsh | Self::Emacs => format!("'{}'", word.replace('\'', "'\\''")),
        }
    }

    /// The two comment lines that tell how to use the output of `command`. They come last, so that an unquoted
    /// `eval $(...)`, which joins all lines, still sees every statement.
    ///
    /// `undoes` says that it takes the variables away.
    pub fn usage_hint(self, command: &str, undoes: bool) -> String {
        // The command is shown in a comment: a line end in an argument must not lead out of it.
        let command: String = command.chars().filter(|c| !c.is_control()).collect();
        let (comment, line) = match self {
            Self::Posix => ("# ", format!("# eval $({command})")),
            Self::Fish => ("# ", format!("# eval ({command})")),
            Self::PowerShell => ("# ", format!("# & {command} | Invoke-Expression")),
            Self::Cmd => ("REM ", format!("REM \t@FOR /f \"tokens=*\" %i IN ('{command}') DO @%i")),
            Self::Tcsh => (": ", format!(": eval `{command}`")),
            Self::Emacs => {
                let call = escape(&command, '\\', &['\\', '"']);
                (";; ", format!(";; (with-temp-buffer (shell-command \"{call}\" (current-buffer)) (eval-buffer))"))
            }
            Self::Nushell if undoes => ("# ", format!("# hide-env -i ...({command} | from nuon)")),
            Self::Nushell => ("# ", format!("# {command} | from nuon | load-env")),
        };
        format!("{comment}Run this command to configure your shell: \n{line}")
    }
}

impl FromStr for Shell {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_program(name).ok_or_else(|| {
            Error::new(Code::Usage, format!("unknown shell {name:?}"))
                .hint(format!("known shells: {}", Self::NAMES.join(", ")))
        })
    }
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Posix => "bash",
            Self::Fish => "fish",
            Self::PowerShell => "powershell",
            Self::Cmd => "cmd",
            Self::Tcsh => "tcsh",
            Self::Emacs => "emacs",
            Self::Nushell => "nushell",
        })
    }
}

fn escape(value: &str, with: char, special: &[char]) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if special.contains(&c) {
            escaped.push(with);
        }
        escaped.push(c);
    }
    escaped
}

/// Inside double quotes tcsh knows no escape for `"`, `$` and back quotes (tcsh(1), "Lexical structure"): each leaves the
/// quotes, is escaped there, and the quotes begin again. `!` takes a backslash everywhere.
fn tcsh(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '$' | '`' => escaped.extend(['"', '\\', c, '"']),
            '!' => escaped.push_str("\\!"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_docker_machines_to_the_letter() {
        let rows: [(Shell, &str, &str); 7] = [
            (Shell::Posix, "export K=\"v\"", "unset K"),
            (Shell::Fish, "set -gx K \"v\";", "set -e K;"),
            (Shell::PowerShell, "$Env:K = \"v\"", "Remove-Item Env:\\\\K"),
            (Shell::Cmd, "SET K=v", "SET K="),
            (Shell::Tcsh, "setenv K \"v\";", "unsetenv K;"),
            (Shell::Emacs, "(setenv \"K\" \"v\")", "(setenv \"K\" nil)"),
            (Shell::Nushell, "  K: \"v\"", "  K"),
        ];
        for (shell, set, unset) in rows {
            assert_eq!((shell.set("K", "v").as_str(), shell.unset("K").as_str()), (set, unset), "{shell}");
        }
        assert_eq!(
            Shell::Posix.usage_hint("machine env dev", false),
            "# Run this command to configure your shell: \n# eval $(machine env dev)"
        );
    }

    #[test]
    fn shells_are_known_by_program_path_login_dash_and_windows_name() {
        for (program, shell) in [
            ("/bin/bash", Some(Shell::Posix)),
            ("-zsh", Some(Shell::Posix)),
            ("C:\\Windows\\System32\\cmd.exe", Some(Shell::Cmd)),
            ("PowerShell.EXE", Some(Shell::PowerShell)),
            ("/usr/bin/fish", Some(Shell::Fish)),
            ("cargo", None),
        ] {
            assert_eq!(Shell::from_program(program), shell, "{program}");
        }
    }
}
