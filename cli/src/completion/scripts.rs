//! What makes a shell ask: `machine complete SHELL INDEX -- WORD...`.

use crate::arguments::CompletionShell;

/// The script for a shell. None of them knows a command: all that may change is in the answers.
pub fn script(shell: CompletionShell) -> &'static str {
    match shell {
        CompletionShell::Bash => include_str!("scripts/machine.bash"),
        CompletionShell::Elvish => include_str!("scripts/machine.elv"),
        CompletionShell::Fish => include_str!("scripts/machine.fish"),
        CompletionShell::Nushell => include_str!("scripts/machine.nu"),
        CompletionShell::Powershell => include_str!("scripts/machine.ps1"),
        CompletionShell::Zsh => include_str!("scripts/machine.zsh"),
    }
}
