//! docker

use machine_app::{App, Environment, SshRequest};
use machine_core::{Code, Result};

use crate::arguments::Docker;

pub fn run(app: &App, arguments: Docker) -> Result<i32> {
    let name = app.resolve(arguments.name.as_deref())?;
    let request = SshRequest {
        words: arguments.words,
        tty: None,
        term: Environment::term(),
        stdout: &mut std::io::stdout(),
        stderr: &mut std::io::stderr(),
        stdin: Box::new(std::io::stdin()),
    };
    match app.docker(&name, request) {
        Err(error) if error.code() == Code::NotRunning => Err(error.within("Error: Cannot run docker there")),
        result => result,
    }
}
