//! ssh

use machine_app::{App, Environment, SshRequest};
use machine_core::{Code, Error, Result};

pub fn run(app: &App, words: Vec<String>) -> Result<i32> {
    let mut words = words.into_iter().peekable();
    let name = match words.peek() {
        Some(first) if !first.starts_with('-') => words.next(),
        _ => None,
    };
    // The few options of ssh(1) that scripts put here; the rest of the line is the command.
    let mut tty = None;
    while let Some(option) = words.next_if(|word| word.starts_with('-')) {
        match option.as_str() {
            "--" => break,
            "-t" | "-tt" => tty = Some(true),
            "-T" => tty = Some(false),
            other => {
                return Err(Error::new(Code::Usage, format!("the ssh option {other:?} is not known here"))
                    .hint("known: -t (a terminal there), -T (none); put `--` before a command that begins with '-'"));
            }
        }
    }
    let name = app.resolve(name.as_deref())?;
    let request = SshRequest {
        words: words.collect(),
        tty,
        term: Environment::term(),
        stdout: &mut std::io::stdout(),
        stderr: &mut std::io::stderr(),
        stdin: Box::new(std::io::stdin()),
    };
    match app.ssh(&name, request) {
        // docker-machine's text.
        Err(error) if error.code() == Code::NotRunning => {
            Err(Error::new(Code::NotRunning, format!("Error: Cannot run SSH command: Host \"{name}\" is not running"))
                .hint(format!("`machine start {name}` starts it")))
        }
        result => result,
    }
}
