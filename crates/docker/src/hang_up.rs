//! The end of what runs in a terminal that is left: an engine does not end a process on a pseudo terminal when its client
//! goes, and has no call that ends it.

use std::time::{SystemTime, UNIX_EPOCH};

use bollard::exec::StartExecOptions;
use bollard::models::ExecConfig;
use machine_core::{Error, Result};

use crate::containers::ContainerId;
use crate::engine::Engine;

/// The variable by which the processes of a terminal are known.
pub(crate) const MARK: &str = "MACHINE_TERMINAL";

/// A terminal's line. Dropped before its end, it hangs up.
pub(crate) struct Line {
    engine: Engine,
    container: ContainerId,
    /// The value of [`MARK`], of this terminal alone.
    pub mark: String,
    /// Nothing runs in it.
    pub ended: bool,
}

impl Line {
    /// A line on which nothing runs yet.
    pub(crate) fn new(engine: &Engine, container: &ContainerId) -> Self {
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mark = format!("{}-{nanoseconds}", std::process::id());
        Self { engine: engine.clone(), container: container.clone(), mark, ended: true }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (engine, container, mark) = (self.engine.clone(), self.container.clone(), self.mark.clone());
        // On a thread: the runtime in which the line lived may be ending with it.
        let hang_up = move || match hang_up(&engine, &container, &mark) {
            Ok(()) => {}
            Err(error) => tracing::debug!("what ran in a terminal of {container} may still run: {error}"),
        };
        if let Err(error) = std::thread::Builder::new().name("hang up".to_owned()).spawn(hang_up) {
            tracing::debug!("what ran in a terminal of {} still runs: no thread to end it: {error}", self.container);
        }
    }
}

/// Sends HUP to the processes with `mark` in their environment, as the end of a line does.
fn hang_up(engine: &Engine, container: &ContainerId, mark: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::other("cannot start the runtime").because(error))?;
    let engine = engine.apart()?;
    let config =
        ExecConfig { cmd: Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), script(mark)]), ..ExecConfig::default() };
    let options = StartExecOptions { detach: true, ..StartExecOptions::default() };
    let container = container.to_string();
    runtime.block_on(engine.bounded_by(engine.timeout(), async {
        let exec = engine.docker().create_exec(&container, config).await?.id;
        engine.docker().start_exec(&exec, Some(options)).await
    }))?;
    Ok(())
}

/// What hangs up: processes of others, and those that end meanwhile, cannot be read.
fn script(mark: &str) -> String {
    format!(
        "for p in /proc/[0-9]*; do tr '\\0' '\\n' 2>/dev/null <$p/environ | grep -qx {MARK}={mark} && kill -HUP ${{p#/proc/}}; done"
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_script_ends_what_bears_the_mark_and_not_what_bears_a_longer_one() {
        let ours = format!("{}-test", std::process::id());
        let begin = |mark: &str| Command::new("sleep").arg("600").env(MARK, mark).stdin(Stdio::null()).spawn().unwrap();
        let (mut marked, mut other) = (begin(&ours), begin(&format!("{ours}1")));
        let hung_up = Command::new("/bin/sh").args(["-c", &script(&ours)]).output().unwrap();
        let others_end = other.try_wait().unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(marked.wait().unwrap().signal(), Some(1), "{hung_up:?}");
        assert_eq!(others_end, None);
    }
}
