//! `shell-init`: what a shell evaluates when it starts, so that it has the machine that `use` chose.

use machine_core::{Code, Error, MachineName, Result};
use machine_docker::context_name;

use crate::app::App;
use crate::shell::Shell;

impl App {
    /// The statements for a shell that starts: the variables of the chosen machine, and a function that sets them anew when
    /// `machine use` is typed in it. Nothing about a machine where none is chosen, where it does not run, where whatever is
    /// wrong with it, or where DOCKER_HOST or DOCKER_CONTEXT say otherwise already: nobody wants a terminal that begins with errors.
    ///
    /// # Errors
    /// A shell that reads nothing when it starts.
    pub fn shell_init(&self, shell: Shell) -> Result<String> {
        if shell == Shell::Cmd {
            return Err(Error::new(Code::Usage, "cmd reads no file when it starts").hint(
                "use PowerShell (`machine shell-init powershell`), or the Docker context that `machine use` sets",
            ));
        }
        let mut parts = Vec::new();
        if let Some(name) = self.chosen_machine()
            && let Ok(connection) = self.connection(&name)
            && let Ok(statements) = connection.statements(false)
        {
            parts.push(shell.setting(&statements));
        } else if shell == Shell::Nushell {
            parts.push(shell.setting(&[]));
        }
        parts.extend(following(shell).map(str::to_owned));
        Ok(parts.join("\n"))
    }

    /// The machine that `use` chose, where nothing in this terminal goes before it.
    fn chosen_machine(&self) -> Option<MachineName> {
        let environment = &self.environment;
        if environment.docker_host.is_some() || environment.docker_context.is_some() {
            return None;
        }
        let contexts = self.contexts().ok()?;
        let current = contexts.current().ok()??;
        let name = self.names().ok()?.into_iter().find(|name| context_name(name) == current)?;
        // Of a context that somebody else made under that name, nothing is known.
        contexts.ours().ok()?.contains(&current).then(|| name.parse().ok())?
    }
}

/// What makes the terminal in which `machine use` is typed follow it.
fn following(shell: Shell) -> Option<&'static str> {
    match shell {
        Shell::Posix => Some(
            "machine() {\n  command machine \"$@\" || return\n  if [ \"$1\" = use ]; then\n    \
             eval \"$(command machine env --shell sh -u)\"\n    eval \"$(command machine shell-init sh)\"\n  fi\n}",
        ),
        Shell::Fish => Some(
            "function machine --wraps machine\n  command machine $argv; or return\n  if test \"$argv[1]\" = use\n    \
             command machine env --shell fish -u | source\n    command machine shell-init fish | source\n  end\nend",
        ),
        Shell::PowerShell => Some(
            "function global:machine {\n  $program = Get-Command -Name machine -CommandType Application -TotalCount 1\n  \
             & $program @args\n  if ($LASTEXITCODE -eq 0 -and $args[0] -eq 'use') {\n    \
             & $program env --shell powershell -u | Out-String | Invoke-Expression\n    \
             & $program shell-init powershell | Out-String | Invoke-Expression\n  }\n}",
        ),
        // No functions that set variables of the shell they are called in, or none that text can bring.
        Shell::Cmd | Shell::Tcsh | Shell::Emacs | Shell::Nushell => None,
    }
}
