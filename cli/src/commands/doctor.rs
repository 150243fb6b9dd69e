//! doctor

use machine_app::{App, Outcome};
use machine_core::Result;

use crate::outcome::{Format, print_json};

pub fn run(app: &App, format: Format) -> Result<i32> {
    let checks = crate::block_on(app.doctor())?;
    match format {
        Format::Json => print_json(&checks),
        Format::Text => {
            for check in &checks {
                let (mark, colour) = match check.outcome {
                    Outcome::Ok => ("✓", "\x1b[32m"),
                    Outcome::Warning => ("!", "\x1b[33m"),
                    Outcome::Failed => ("✗", "\x1b[31m"),
                };
                let (on, off) = crate::stdout_colours(colour);
                let of = check.machine.as_ref().map(|machine| format!(" of {machine}")).unwrap_or_default();
                println!("{on}{mark}{off} {}{of}: {}", check.title, check.detail);
                for hint in &check.hints {
                    println!("    {hint}");
                }
            }
        }
    }
    Ok(i32::from(checks.iter().any(|check| check.outcome == Outcome::Failed)))
}
