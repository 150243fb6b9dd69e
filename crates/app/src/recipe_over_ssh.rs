//! Runs the recipe of our own image inside a freshly booted Debian, over SSH, and fetches what it made.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine_core::{Error, Reporter, Result, ResultExt as _, SshTarget};
use machine_images::{Arch, Cancel, RECIPE, report_recipe_line};
use machine_ssh::{Account, ConnectError, ConnectFailure, Session, quote};

use crate::files;
use crate::readiness::printable;

/// Where the recipe works: on the machine's data disk, as a cloud image's own disk has no room for it.
const WORKSHOP: &str = "/mnt/recipe";
/// What the recipe makes, in the order of fetching.
const PRODUCTS: [&str; 4] = ["disk.qcow2", "vmlinuz", "initrd.img", "manifest.json"];
/// The Debian packages whose programs the recipe calls (its `need` lines); what a cloud image has already costs nothing.
const TOOLS: &str =
    "cpio debian-archive-keyring e2fsprogs kmod mmdebstrap qemu-utils systemd uidmap util-linux xz-utils zstd";
/// A stock image under software emulation on a busy computer needs about three minutes to its sshd.
const BOOT_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How long a login may be refused that is right: sshd may be up before PAM lets anybody in (pam_nologin(8)).
const LOGIN_GRACE: Duration = Duration::from_secs(120);
/// One file of the recipe, some kilobytes.
const UPLOAD_LIMIT: Duration = Duration::from_secs(120);
/// Each product; the disk has some hundred megabytes.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(3600);
/// Lines of the log that a failure shows.
const SHOWN_LINES: usize = 20;
/// Progress of a download is reported this often, bytes.
const REPORT_EVERY: u64 = 1 << 20;

/// The work in one machine.
pub(crate) struct RecipeOverSsh {
    pub(crate) target: SshTarget,
    pub(crate) arch: Arch,
    /// A Debian archive to use in place of those that the machine is configured with.
    pub(crate) package_source: Option<String>,
    /// Where everything that is said is kept.
    pub(crate) log: PathBuf,
    /// An empty folder for the products.
    pub(crate) out: PathBuf,
    pub(crate) reporter: Reporter,
    pub(crate) cancel: Cancel,
}

/// One part of it: a script that root runs.
struct Part {
    stage: &'static str,
    title: &'static str,
    /// What it means that it failed.
    failed: &'static str,
    script: String,
    limit: Duration,
}

impl RecipeOverSsh {
    /// Does it all. Blocks, each part within its own limit.
    ///
    /// # Errors
    /// Which part failed, with the last lines of the log; [`machine_core::Code::Interrupted`].
    pub(crate) fn run(&self) -> Result<()> {
        let log = File::create(&self.log).map_err(|error| files::explain(error, "cannot write", &self.log))?;
        let mut lines = Lines { log, last: VecDeque::new(), partial: Vec::new(), reporter: &self.reporter };
        let mut session = self.log_in()?;
        for part in preparations(self.package_source.as_deref()) {
            self.perform(&mut session, &part, &mut lines)?;
        }
        for file in RECIPE {
            let path = format!("{WORKSHOP}/recipe/{}", file.name);
            session
                .upload(file.text.as_bytes(), &path, 0o755, Account::Root, UPLOAD_LIMIT)
                .context(|| "the recipe cannot be brought into the build machine".into())?;
        }
        self.perform(&mut session, &recipe(self.arch, self.package_source.as_deref()), &mut lines)?;
        self.fetch(&mut session).map_err(|error| self.unless_cancelled(error))
    }

    fn log_in(&self) -> Result<Session> {
        self.reporter.stage("boot", "Booting the build machine");
        let begun = Instant::now();
        let mut refused: Option<Instant> = None;
        let between = |_: &ConnectError| {
            if self.cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        loop {
            let limit = BOOT_LIMIT.saturating_sub(begun.elapsed());
            let error = match Session::connect_when_up(&self.target, limit, between) {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            self.cancel.check()?;
            let waiting_helps = error.failure == ConnectFailure::Login
                && refused.get_or_insert_with(Instant::now).elapsed() < LOGIN_GRACE
                && begun.elapsed() < BOOT_LIMIT;
            if !waiting_helps {
                return Err(error
                    .error
                    .within(format!("nobody can log in to the build machine after {} s", begun.elapsed().as_secs())));
            }
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    fn perform(&self, session: &mut Session, part: &Part, lines: &mut Lines<'_>) -> Result<()> {
        self.reporter.stage(part.stage, part.title);
        lines.last.clear();
        // The recipe distinguishes nothing by its two outputs, and in one they keep their order.
        let command = format!("sudo -n sh -c {} 2>&1", quote(&part.script));
        let status = session
            .exec_streaming(&command, &mut io::empty(), part.limit, &mut |_, bytes| {
                self.go_on()?;
                lines.take(bytes);
                Ok(())
            })
            .map_err(|error| self.unless_cancelled(error))
            .context(|| part.failed.into());
        lines.end();
        let status = status.map_err(|error| error.hint(lines.shown(&self.log)))?;
        if status.success() {
            return Ok(());
        }
        let own_words = lines.last.iter().rev().find_map(|line| line.strip_prefix("build.sh: "));
        let why = own_words.map_or_else(|| status.to_string(), str::to_owned);
        Err(Error::other(part.failed).because(Error::other(why)).hint(lines.shown(&self.log)))
    }

    fn fetch(&self, session: &mut Session) -> Result<()> {
        self.reporter.stage("fetch", "Fetching the image");
        let failed = || "the image was built, and cannot be fetched from the build machine".to_owned();
        let paths: Vec<String> = PRODUCTS.iter().map(|name| format!("{WORKSHOP}/image/{name}")).collect();
        let sizes = session.exec(&format!("sudo -n stat -c %s {}", paths.join(" ")), UPLOAD_LIMIT).context(failed)?;
        let sizes = sizes.text("the recipe did not leave all its files").context(failed)?;
        let total = sizes.split_whitespace().filter_map(|size| size.parse::<u64>().ok()).sum();
        let mut progress = Progress { done: 0, told: 0, total, reporter: &self.reporter };
        for (name, path) in PRODUCTS.iter().zip(&paths) {
            let local = self.out.join(name);
            let file = File::create(&local).map_err(|error| files::explain(error, "cannot write", &local))?;
            let mut writer = Fetched { file, progress: &mut progress, work: self };
            session.download(path, &mut writer, Account::Root, DOWNLOAD_LIMIT).context(failed)?;
        }
        Ok(())
    }

    fn go_on(&self) -> io::Result<()> {
        // Not `ErrorKind::Interrupted`: writers would try again.
        if self.cancel.is_cancelled() { Err(io::Error::other("interrupted")) } else { Ok(()) }
    }

    fn unless_cancelled(&self, error: Error) -> Error {
        self.cancel.check().err().unwrap_or(error)
    }
}

/// What makes a machine of a cloud image one that the recipe can work in.
fn preparations(package_source: Option<&str>) -> Vec<Part> {
    let sources = package_source.map_or_else(String::new, |source| {
        format!(
            ". /etc/os-release\nrm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*\n\
             printf 'deb %s %s main\\n' {} \"$VERSION_CODENAME\" >/etc/apt/sources.list\n",
            quote(source)
        )
    });
    vec![
        Part {
            stage: "cloud-init",
            title: "Waiting for cloud-init",
            failed: "cloud-init in the build machine did not finish",
            // 2: it is done, and had something to complain about ("cloud-init status", exit codes).
            script: "cloud-init status --wait || [ $? -eq 2 ]".into(),
            limit: Duration::from_secs(15 * 60),
        },
        Part {
            stage: "workshop",
            title: "Preparing the build machine's disk",
            failed: "the build machine's disk cannot be used",
            script: format!(
                "set -e\nudevadm settle --timeout=60\n\
                 mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 /dev/disk/by-id/virtio-data\n\
                 mkdir -p {WORKSHOP}\nmount /dev/disk/by-id/virtio-data {WORKSHOP}\nmkdir {WORKSHOP}/recipe"
            ),
            limit: Duration::from_secs(10 * 60),
        },
        Part {
            stage: "tools",
            title: "Installing the recipe's tools",
            failed: "the recipe's tools cannot be installed in the build machine",
            // Debian's own daily updates would hold apt's locks, and change packages meanwhile.
            script: format!(
                "set -e\n{sources}export DEBIAN_FRONTEND=noninteractive\n\
                 systemctl stop apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service \
                 unattended-upgrades.service >/dev/null 2>&1 || true\n\
                 get() {{ apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \"$@\"; }}\n\
                 get update\nget install --yes --no-install-recommends {TOOLS}"
            ),
            limit: Duration::from_secs(45 * 60),
        },
    ]
}

/// The recipe itself.
fn recipe(arch: Arch, package_source: Option<&str>) -> Part {
    let source = package_source.map_or_else(String::new, |source| format!(" --package-source {}", quote(source)));
    Part {
        stage: "recipe",
        title: "Starting the recipe",
        failed: "the recipe failed in the build machine",
        script: format!(
            "cd {WORKSHOP} && TMPDIR={WORKSHOP} exec sh recipe/build.sh --arch {arch} --out {WORKSHOP}/image{source}"
        ),
        // As where it runs directly: minutes, and about an hour under emulation.
        limit: Duration::from_secs(3 * 3600),
    }
}

/// What is said inside: kept, reported line by line, and remembered for a failure.
struct Lines<'a> {
    log: File,
    last: VecDeque<String>,
    partial: Vec<u8>,
    reporter: &'a Reporter,
}

impl Lines<'_> {
    fn take(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.keep(&line);
        }
        // A tool without line breaks must not fill the memory.
        if self.partial.len() > 64 << 10 {
            self.end();
        }
    }

    /// What has no line break at its end is a line too.
    fn end(&mut self) {
        let rest = std::mem::take(&mut self.partial);
        if !rest.is_empty() {
            self.keep(&rest);
        }
    }

    fn keep(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        // A progress bar overwrites itself: what it showed last counts.
        let line = printable(line.trim_end().rsplit('\r').next().unwrap_or_default());
        // A log that cannot be written is no reason to give up.
        let _ = writeln!(self.log, "{line}");
        report_recipe_line(&line, self.reporter);
        if self.last.len() == SHOWN_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    fn shown(&self, log: &Path) -> String {
        let last: Vec<&str> = self.last.iter().map(String::as_str).collect();
        format!("the last lines of {}:\n{}", log.display(), last.join("\n"))
    }
}

/// How much of all products is here.
struct Progress<'a> {
    done: u64,
    told: u64,
    total: u64,
    reporter: &'a Reporter,
}

/// A file that grows by what is fetched.
struct Fetched<'a, 'p> {
    file: File,
    progress: &'a mut Progress<'p>,
    work: &'a RecipeOverSsh,
}

impl Write for Fetched<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.work.go_on()?;
        let written = self.file.write(bytes)?;
        let progress = &mut *self.progress;
        progress.done += written as u64;
        if progress.done - progress.told >= REPORT_EVERY || progress.done == progress.total {
            progress.told = progress.done;
            progress.reporter.progress(progress.done, Some(progress.total), "bytes");
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use machine_core::EventKind;

    use super::*;

    #[test]
    fn every_program_that_the_recipe_calls_for_comes_with_a_package_that_is_installed() {
        let build = RECIPE.iter().find(|file| file.name == "build.sh").unwrap().text;
        let needed: Vec<&str> = build.lines().filter_map(|line| line.strip_prefix("need ")).collect();
        assert!(needed.len() > 5, "{needed:?}");
        for line in needed {
            let package = line.split_whitespace().nth(1).unwrap();
            assert!(TOOLS.split_whitespace().any(|tool| tool == package), "{package} is not installed");
        }
    }

    #[test]
    fn a_package_source_is_used_by_apt_and_the_recipe_and_stays_one_word() {
        let source = "http://127.0.0.1/it's";
        let tools = preparations(Some(source)).pop().unwrap().script;
        assert!(tools.contains(r"'http://127.0.0.1/it'\''s'"), "{tools}");
        assert!(recipe(Arch::Arm64, Some(source)).script.ends_with(r"--package-source 'http://127.0.0.1/it'\''s'"));
        let own = preparations(None).pop().unwrap().script;
        assert!(!own.contains("sources.list"), "the image's own sources stay: {own}");
        assert!(recipe(Arch::Arm64, None).script.ends_with("--arch arm64 --out /mnt/recipe/image"));
    }

    #[test]
    fn output_in_any_pieces_becomes_lines_stages_and_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        let reporter = Reporter::new(move |kind| sink.lock().unwrap().push(kind));
        let log = File::create(&path).unwrap();
        let mut lines = Lines { log, last: VecDeque::new(), partial: Vec::new(), reporter: &reporter };
        for piece in ["sta", "ge: kernel\n10%\r", "100%\x1b[0m\nbuild.sh: no", " room"] {
            lines.take(piece.as_bytes());
        }
        lines.end();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "stage: kernel\n100%[0m\nbuild.sh: no room\n");
        assert!(lines.shown(&path).ends_with("stage: kernel\n100%[0m\nbuild.sh: no room"));
        let heard = heard.lock().unwrap();
        assert!(matches!(&heard[0], EventKind::Stage(stage) if stage.id == "kernel"), "{heard:?}");
        assert_eq!(heard.len(), 3);
    }
}
