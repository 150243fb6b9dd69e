//! Starts a supervisor that outlives this process, its terminal and the desktop app.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use machine_core::{Error, MachineName, Result, ResultExt as _};
use machine_qemu::Launcher;

use crate::environment::Environment;
use crate::files;

/// Runs `machine supervise NAME` apart from everything: own session, no terminal, no inherited handles.
pub(crate) struct DetachedSupervisor {
    store: PathBuf,
    images: PathBuf,
    runtime: PathBuf,
    qemu: Option<PathBuf>,
    program: Option<PathBuf>,
}

impl DetachedSupervisor {
    pub(crate) fn new(environment: &Environment) -> Self {
        Self {
            store: environment.store.clone(),
            images: environment.images.clone(),
            runtime: environment.runtime.clone(),
            qemu: environment.qemu.clone(),
            program: environment.supervisor.clone(),
        }
    }
}

impl Launcher for DetachedSupervisor {
    fn launch(&self, name: &MachineName, adopt_only: bool) -> Result<()> {
        let program = self.program.clone().map_or_else(own_program, Ok)?;
        files::runtime_folder(&self.runtime)?;
        let log_path = self.store.join("machines").join(name.as_str()).join("supervisor.log");
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(&log_path)
            .map_err(|error| files::explain(error, "cannot open", &log_path))?;
        let errors = log.try_clone().context(|| format!("cannot open {}", log_path.display()))?;
        let mut command = Command::new(&program);
        command
            .arg("supervise")
            .arg(name.as_str())
            .args(adopt_only.then_some("--adopt"))
            .env("MACHINE_STORAGE_PATH", &self.store)
            .env("MACHINE_IMAGE_PATH", &self.images)
            // A folder that is unmounted later must not be held.
            .current_dir(&self.store)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        if let Some(qemu) = &self.qemu {
            command.env("MACHINE_QEMU", qemu);
        }
        detach(&mut command);
        let child = command.spawn().map_err(|e| {
            Error::other(format!("machine {:?}: cannot start its supervisor {}", name.as_str(), program.display()))
                .because(e)
        })?;
        tracing::debug!(pid = child.id(), machine = name.as_str(), "supervisor started");
        // Waited for by a thread of its own: while this process lives, a supervisor that ended is no zombie.
        std::thread::spawn(move || {
            let mut child = child;
            let _ = child.wait();
        });
        Ok(())
    }
}

/// This program's file. One that was replaced by an upgrade meanwhile is called `... (deleted)` by Linux (proc(5),
/// `/proc/pid/exe`): the new one at that path serves.
fn own_program() -> Result<PathBuf> {
    let program = std::env::current_exe().context(|| "cannot find this program's own file".into())?;
    let replaced = program.to_str().and_then(|path| path.strip_suffix(" (deleted)")).map(PathBuf::from);
    Ok(replaced.filter(|_| !program.exists()).unwrap_or(program))
}

#[cfg(unix)]
fn detach(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    // A session of its own: no terminal whose hang-up or Ctrl-C could reach it.
    #[expect(
        unsafe_code,
        reason = "pre_exec; setsid is async-signal-safe (POSIX.1-2017, 2.4.3) and nothing else is called"
    )]
    // SAFETY: between fork and exec only setsid(2) runs, which is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(|_| ()).map_err(Into::into));
    }
}

#[cfg(windows)]
fn detach(command: &mut Command) {
    use std::os::windows::process::CommandExt as _;
    use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, DETACHED_PROCESS};
    // Closing a console ends every process attached to it, process group or not: so no console at all.
    command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
}
