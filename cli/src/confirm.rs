//! A question before what cannot be undone.

use std::io::{IsTerminal as _, Write as _};

use machine_core::{Code, Error, Result};

/// Asks `question` at the terminal.
///
/// # Errors
/// When there is no terminal to ask at: `undone` says what was not done, `flag` does it without a question.
pub fn confirmed(question: &str, undone: &str, flag: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(Code::Usage, format!("{undone}: there is no terminal to ask at"))
            .hint(format!("add {flag} to do it without a question")));
    }
    eprint!("{question} (y/n): ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Error::other("cannot read the answer").because(e))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
