//! Runs the recipe as a process of this computer.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use machine_core::{Code, Error, Reporter, Result, ResultExt};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{RECIPE, RecipeOptions, report_recipe_line};
use crate::{Cancel, Image, ImageStore, ImportOptions, OWN_IMAGE};

/// A build takes minutes, and an emulated one about an hour.
const BUILD_LIMIT: Duration = Duration::from_secs(3 * 3600);
/// How long the recipe may clean up after itself.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(20);
/// How often cancellation is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Lines of the log that a failure shows.
const SHOWN_LINES: usize = 20;

pub(super) fn build(
    store: &ImageStore,
    options: &RecipeOptions,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<Image> {
    let failed = || format!("cannot build the image for {}", options.arch);
    let work = options.work.as_deref().unwrap_or(Path::new("/var/tmp"));
    // Vanishes with this value: nothing of a failed build is left.
    let folder = tempfile::Builder::new()
        .prefix("machine-recipe-")
        .tempdir_in(work)
        .context(|| format!("cannot make a folder in {}", work.display()))
        .context(failed)?;
    let (recipe, out) = (folder.path().join("recipe"), folder.path().join("image"));
    fs::create_dir(&recipe).and_then(|()| write_recipe(&recipe)).context(failed)?;
    machine_files::make_private_folder(store.root()).context(failed)?;
    let log_path = store.build_log(options.arch);
    let mut log = File::create(&log_path).context(|| format!("cannot write {}", log_path.display())).context(failed)?;

    let mut command = Command::new("/bin/sh");
    command.arg(recipe.join("build.sh")).args(["--arch", options.arch.as_str()]).arg("--out").arg(&out);
    if let Some(source) = &options.package_source {
        command.args(["--package-source", source]);
    }
    command.env("TMPDIR", folder.path());
    let mut last = VecDeque::new();
    let status = run(command, reporter, cancel, &mut |line| {
        // A log that cannot be written is no reason to give up the build.
        let _ = writeln!(log, "{line}");
        if last.len() == SHOWN_LINES {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    })
    .context(failed)?;
    if !status.success() {
        return Err(failure(status, &last, &log_path)).context(failed);
    }
    let import = ImportOptions {
        name: Some(options.name.clone().unwrap_or_else(|| OWN_IMAGE.into())),
        arch: Some(options.arch),
        source: Some("built here".into()),
        digest: None,
    };
    store.import(&out, &import, reporter, cancel)
}

/// Writes the recipe into `folder`, which exists.
fn write_recipe(folder: &Path) -> std::io::Result<()> {
    RECIPE.iter().try_for_each(|file| fs::write(folder.join(file.name), file.text))
}

/// Says why the recipe ended: its own last words if it had some, else the end of what its tools said.
fn failure(status: ExitStatus, last: &VecDeque<String>, log: &Path) -> Error {
    let own_words = last.iter().rev().find_map(|line| line.strip_prefix("build.sh: "));
    let error = match own_words {
        Some(words) => Error::other(words),
        None => Error::other(format!("the recipe ended with {status}")),
    };
    const ELSEWHERE: &str = "or build it in a machine, which brings its own Debian: `machine image build --in-machine`";
    if let Some((_, packages)) = own_words.and_then(|words| words.split_once("apt-get install ")) {
        return error.hint(format!("install them: `sudo apt-get install {packages}`, then try again")).hint(ELSEWHERE);
    }
    let lines: Vec<&str> = last.iter().map(String::as_str).collect();
    let error = error.hint(format!("the last lines of {}:\n{}", log.display(), lines.join("\n")));
    // What the recipe says of Debian is about this computer: it is another system, or has no package source for it.
    if own_words.is_some_and(|words| words.contains("Debian")) { error.hint(ELSEWHERE) } else { error }
}

/// Runs `command` to its end in a process group of its own, and gives every line it writes to `keep` and the reporter.
fn run(mut command: Command, reporter: &Reporter, cancel: &Cancel, keep: &mut dyn FnMut(&str)) -> Result<ExitStatus> {
    let (output, writer) = std::io::pipe().context(|| "cannot make a pipe".into())?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().context(|| "cannot make a pipe".into())?).stderr(writer);
    command.process_group(0);
    tracing::debug!(?command, "starting the recipe");
    let mut group = Group(command.spawn().context(|| format!("cannot start {}", command.get_program().display()))?);
    // The command holds ends of the pipe: without it the output ends with the last process of the group.
    drop(command);
    let (send, lines) = mpsc::channel();
    thread::spawn(move || read_lines(output, &send));
    let deadline = Instant::now() + BUILD_LIMIT;
    loop {
        cancel.check()?;
        if Instant::now() >= deadline {
            return Err(Error::new(Code::TimedOut, format!("not done after {} h", BUILD_LIMIT.as_secs() / 3600)));
        }
        match lines.recv_timeout(LOOK_AGAIN) {
            Ok(line) => {
                keep(&line);
                report_recipe_line(&line, reporter);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    group.0.wait().context(|| "cannot wait for the recipe".into())
}

fn read_lines(output: PipeReader, send: &mpsc::Sender<String>) {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    // A tool without line breaks must not fill the memory.
    while std::io::Read::take(&mut output, 64 << 10).read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
        let line = String::from_utf8_lossy(&bytes);
        // A progress bar of a tool overwrites itself: what it showed last counts.
        let line = line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
        if send.send(line).is_err() {
            return;
        }
        bytes.clear();
    }
}

/// A running process with all its children. Dropped before it has ended, it is ended: asked first, so that it cleans up.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        let group = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| group.map(|group| kill_process_group(group, signal));
        signal(Signal::TERM);
        let deadline = Instant::now() + CLEAN_UP_LIMIT;
        while Instant::now() < deadline && !matches!(self.0.try_wait(), Ok(Some(_))) {
            thread::sleep(LOOK_AGAIN);
        }
        // Children may outlive the shell; as long as one does, the number of the group is nobody else's.
        signal(Signal::KILL);
        let _ = self.0.wait();
    }
}

#[cfg(test)]
#[path = "recipe_build_tests.rs"]
mod tests;
