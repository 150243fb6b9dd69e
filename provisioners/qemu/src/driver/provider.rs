//! The driver.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use machine_core::{
    Capabilities, Code, Driver, Endpoints, Error, MachineName, MachineRef, MachineSpec, MachineState, Observation,
    Reporter, Result, ResultExt, SshTarget, Usage, Work,
};
use machine_images::Arch;
use serde_json::Value;
use tokio::time::sleep;

use super::observed::{STATUS, observed};
use super::options::QemuOptions;
use super::preflight;
use super::presence::{Presence, sockets_of};
use super::state::DriverState;
use super::system::{put_next_system_in_place, replace_system};
use super::usage;
use crate::control::{Call, Reply, Status};
use crate::disk::DiskTool;
use crate::facts::HostFacts;
use crate::last_exit::LastExit;
use crate::log_tail;
use crate::machine_files::{MachineFiles, data_disk, fresh_mark, gone, os_disk};
use crate::probe::Search;
use crate::qemu_process::QemuProcess;
use crate::run_file::RunFile;
use crate::shutdown::Shutdown;
use crate::supervisor::Companion;
use crate::supervisor::{ImageLookup, SuperviseConfig, WarmStart};
use crate::verdict_file::load_verdicts;
use crate::warm::Suspended;

/// Our own image, which is meant when none is named.
const OWN_IMAGE: &str = "machine";
/// How long a supervisor may take from its launch until it listens.
const LISTEN: Duration = Duration::from_secs(15);
/// How long a machine may take to run. The supervisor's own limits are shorter; this is for one that hangs.
const RUNNING: Duration = Duration::from_secs(600);
/// How long a machine may take to be suspended: some GiB on a slow disk.
const SUSPEND: Duration = Duration::from_secs(300);
/// How long QEMU may take to halt the guest's CPUs or to let them go on.
const CPUS: Duration = Duration::from_secs(30);
/// What a stop may take beyond its deadline: `quit`, then SIGKILL.
const BEYOND_DEADLINE: Duration = Duration::from_secs(30);
/// Starts the process that looks after a machine.
pub trait Launcher: Send + Sync {
    /// Starts, detached from this process, one that calls [`crate::supervise`] for the machine `name`, and returns
    /// at once. Its command line has `name` as one argument. With `adopt_only`, that process starts nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    fn launch(&self, name: &MachineName, adopt_only: bool) -> Result<()>;
}

/// What the driver needs from outside.
#[derive(Clone)]
pub struct QemuConfig {
    /// Where images come from.
    pub image: ImageLookup,
    /// Where QEMU is looked for.
    pub search: Search,
    /// A short folder, this user's alone, for sockets.
    pub runtime: PathBuf,
    /// The file that remembers which accelerators work here; machines lie on the same volume.
    pub verdicts: PathBuf,
    /// Starts supervisors.
    pub launcher: Arc<dyn Launcher>,
}

/// Machines under QEMU on this computer.
#[derive(Clone)]
pub struct QemuDriver {
    config: QemuConfig,
}

impl QemuDriver {
    /// A driver. Touches nothing.
    pub fn new(config: QemuConfig) -> Self {
        Self { config }
    }

    /// What [`crate::supervise`] needs for `machine`; with `adopt_only` it starts nothing. `warm` is used unless the machine's
    /// settings forbid it.
    ///
    /// # Errors
    /// For a machine that has no disks yet, or whose settings cannot be understood.
    pub fn supervise_config(
        &self,
        machine: MachineRef<'_>,
        adopt_only: bool,
        warm: Option<WarmStart>,
        companion: Option<Arc<dyn Companion>>,
    ) -> Result<SuperviseConfig> {
        let state = DriverState::required(machine.record)?;
        let spec = &machine.record.spec;
        let options = QemuOptions::of(spec)?;
        Ok(SuperviseConfig {
            machine: machine.record.name.to_string(),
            dir: machine.dir.to_owned(),
            files: MachineFiles::new(
                machine.dir,
                &sockets_of(machine.dir, &self.config.runtime, &state.token),
                &state.token,
            ),
            token: state.token,
            image_digest: state.image_digest,
            image: self.config.image.clone(),
            cpus: spec.cpus,
            memory_mib: spec.memory_mib,
            accelerator: options.accelerator()?,
            extra_arguments: options.arguments,
            folders: if spec.share_type.carrier().is_device() { spec.shares.clone() } else { Vec::new() },
            carrier: spec.share_type.carrier(),
            ports: state.ports,
            search: self.config.search.clone(),
            verdicts: self.config.verdicts.clone(),
            disk_mib: spec.disk_mib,
            warm: warm.filter(|_| options.warm != Some(false)),
            companion,
            adopt_only,
        })
    }

    /// Asks what runs beside a machine.
    ///
    /// # Errors
    /// [`Code::NotRunning`] for a machine that is off; what it answers.
    pub async fn ask_companion(&self, machine: MachineRef<'_>, question: Value) -> Result<Value> {
        let ask = async || {
            let presence = self.looked_after(machine, &Reporter::silent()).await?;
            presence.ask(Call::Ask { question: question.clone() }, STATUS, drop).await
        };
        let reply = match ask().await {
            // Its supervisor died at that very moment: the next one answers as well, and no question does harm when it is asked twice.
            Err(error) if error.code() == Code::NotRunning => ask().await,
            reply => reply,
        };
        match reply? {
            Reply::Answer { answer } => Ok(answer),
            Reply::Failed { message, hints } => Err(hints.into_iter().fold(Error::other(message), Error::hint)),
            other => Err(Error::other(format!("its supervisor answered otherwise ({other:?})"))),
        }
    }

    /// Where the Docker socket of `machine` is while it runs.
    ///
    /// # Errors
    /// For a machine that has no disks yet.
    pub fn docker_socket(&self, machine: MachineRef<'_>) -> Result<PathBuf> {
        let token = DriverState::required(machine.record)?.token;
        let runtime = sockets_of(machine.dir, &self.config.runtime, &token);
        Ok(MachineFiles::new(machine.dir, &runtime, &token).docker_socket())
    }

    /// Launches a supervisor for a machine whose QEMU runs without one, and does not wait for it. Returns whether it was so.
    /// Costs microseconds for a machine that is off or looked after.
    ///
    /// # Errors
    /// When a supervisor cannot be launched.
    pub fn adopt_if_orphaned(&self, machine: MachineRef<'_>) -> Result<bool> {
        let Some(presence) = self.presence(machine) else { return Ok(false) };
        if presence.is_supervised() || presence.live_qemu().is_none() || presence.is_locked() {
            return Ok(false);
        }
        self.config.launcher.launch(&machine.record.name, true)?;
        Ok(true)
    }

    fn presence<'a>(&self, machine: MachineRef<'a>) -> Option<Presence<'a>> {
        Presence::of(machine.dir, &self.config.runtime, DriverState::of(machine.record).as_ref())
    }

    async fn facts(&self, arch: Arch) -> Result<HostFacts> {
        let search = self.config.search.clone();
        tokio::task::spawn_blocking(move || crate::probe::probe(&search, arch))
            .await
            .context(|| "cannot look for QEMU".into())?
    }

    pub(super) async fn disk_tool(&self, arch: Arch) -> Result<DiskTool> {
        self.facts(arch).await?.qemu.map(|qemu| DiskTool::new(qemu.img)).ok_or_else(|| {
            Error::other("QEMU was not found on this computer").hint("`machine doctor` says how to install it")
        })
    }

    async fn launch(&self, machine: MachineRef<'_>, presence: &Presence<'_>, adopt_only: bool) -> Result<()> {
        log_tail::rotate(&presence.files.supervisor_log());
        LastExit::forget(machine.dir)?;
        self.config.launcher.launch(&machine.record.name, adopt_only)?;
        let began = Instant::now();
        while !presence.is_supervised() {
            if let Some(exit) = LastExit::read(machine.dir) {
                return Err(exit.into_error());
            }
            if began.elapsed() > LISTEN {
                let error = format!("the machine's supervisor did not come up within {} s", LISTEN.as_secs());
                return Err(with_log(Error::new(Code::TimedOut, error), presence));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Asks a supervisor until its machine runs.
    async fn wait_running(&self, presence: &Presence<'_>, reporter: &Reporter) -> Result<Status> {
        let reporter = reporter.clone();
        match presence.ask(Call::WaitRunning, RUNNING, move |text| reporter.info(text)).await {
            Ok(Reply::Status(status)) => Ok(status),
            Ok(Reply::Failed { message, hints }) => Err(hints.into_iter().fold(Error::other(message), Error::hint)),
            Ok(Reply::Ended { .. } | Reply::Progress { .. } | Reply::Answer { .. }) => {
                Err(Error::other("it was stopped while it was starting"))
            }
            Err(error) => Err(match LastExit::read(presence.dir) {
                Some(exit) => exit.into_error(),
                None => with_log(error, presence),
            }),
        }
    }

    /// The machine's live side, with a supervisor: a new one where the last one died.
    async fn looked_after<'a>(&self, machine: MachineRef<'a>, reporter: &Reporter) -> Result<Presence<'a>> {
        let gone = || Error::new(Code::NotRunning, "it does not run");
        let presence = self.presence(machine).ok_or_else(gone)?;
        if !presence.settled().await {
            presence.live_qemu().ok_or_else(gone)?;
            self.launch(machine, &presence, true).await?;
            self.wait_running(&presence, reporter).await?;
        }
        Ok(presence)
    }

    async fn tell_cpus(&self, work: Work<'_>, call: Call) -> Result<()> {
        let presence = self.looked_after(work.machine, work.reporter).await?;
        match presence.ask(call, CPUS, drop).await? {
            Reply::Status(_) => Ok(()),
            Reply::Failed { message, hints } => Err(hints.into_iter().fold(Error::other(message), Error::hint)),
            Reply::Ended { .. } | Reply::Progress { .. } | Reply::Answer { .. } => {
                Err(Error::new(Code::NotRunning, "it ended meanwhile"))
            }
        }
    }

    /// Without a supervisor and without hope for one: the same steps, from here.
    async fn stop_directly(&self, presence: &Presence<'_>, deadline: Duration, reporter: &Reporter) -> Result<bool> {
        let Some(identity) = presence.live_qemu() else { return Ok(false) };
        let forced = AtomicBool::new(false);
        let deadline = tokio::time::Instant::now() + deadline;
        let say = |text: &str| reporter.info(text);
        let steps = Shutdown {
            qmp: None,
            socket: &presence.files.qmp_socket(),
            identity: &identity,
            paused: true,
            deadline: Some(deadline),
            forced: &forced,
            say: &say,
        };
        let mut process = QemuProcess::adopt(identity.clone());
        tokio::select! {
            _ = process.exited() => {}
            result = steps.run() => result?,
        }
        presence.tidy(Some(LastExit::clean("it was stopped, as asked")))?;
        Ok(forced.into_inner())
    }
}

#[async_trait]
impl Driver for QemuDriver {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            power: true,
            resources: true,
            local: true,
            images: true,
            adopted: false,
            handed_host_key: false,
            login: true,
            pause: true,
        }
    }

    async fn preflight(&self, spec: &mut MachineSpec, reporter: &Reporter) -> Result<()> {
        // Wrong words first: they need no look at the computer.
        QemuOptions::of(spec)?.accelerator()?;
        let name = spec.image.as_deref().unwrap_or(OWN_IMAGE);
        let image = (self.config.image)(name).map_err(|error| error.with_code(Code::PreCreate))?;
        let facts = self.facts(image.arch).await.map_err(|error| error.with_code(Code::PreCreate))?;
        preflight::fill_in(spec, &facts);
        let verdicts = load_verdicts(&self.config.verdicts);
        let storage = self.config.verdicts.parent().unwrap_or(&self.config.verdicts);
        preflight::check(spec, &image, &facts, &verdicts, &self.config.runtime, storage, reporter)
    }

    async fn create(&self, work: Work<'_>) -> Result<Value> {
        let machine = work.machine;
        let spec = &machine.record.spec;
        let image = (self.config.image)(spec.image.as_deref().unwrap_or(OWN_IMAGE))?;
        let tool = self.disk_tool(image.arch).await?;
        let earlier = DriverState::of(machine.record);
        let state = DriverState::new(earlier, image.digest, image.disk);
        work.checkpoint.save("disks", &state.to_value()?)?;
        // An earlier attempt may have come further than this one.
        self.remove(work).await?;
        let (overlay, data) = (os_disk(machine.dir), data_disk(machine.dir));
        for disk in [&overlay, &data] {
            gone(std::fs::remove_file(disk))
                .context(|| format!("cannot remove the disk {} of an earlier attempt", disk.display()))?;
        }
        tool.create_overlay(&state.base_disk, &image.format, &overlay).await?;
        tool.create_empty(&data, spec.disk_mib).await?;
        let mark = fresh_mark(machine.dir);
        machine_files::write_whole(&mark, b"", machine_files::PRIVATE)?;
        state.to_value()
    }

    async fn start(&self, work: Work<'_>) -> Result<Endpoints> {
        let machine = work.machine;
        let mut state = DriverState::required(machine.record)?;
        let presence = self.presence(machine).ok_or_else(|| Error::other("nothing is known of the machine"))?;
        let mut running = None;
        if presence.settled().await {
            // One that is just ending is no obstacle: it is started once more.
            running = self.wait_running(&presence, work.reporter).await.ok();
            presence.settled().await;
        }
        let launched = running.is_none() && !presence.is_supervised();
        if launched {
            put_next_system_in_place(&mut state, work)?;
            if let Some(missing) = [os_disk(machine.dir), data_disk(machine.dir)].iter().find(|disk| !disk.exists()) {
                return Err(Error::new(Code::NotFound, format!("the machine's disk {} is gone", missing.display())));
            }
            // The token by which everything is found that is about to be started.
            work.checkpoint.save("process", &state.to_value()?)?;
            self.launch(machine, &presence, false).await?;
        }
        let status = match running {
            Some(status) => status,
            None => self.wait_running(&presence, work.reporter).await?,
        };
        let ports = status.ports.ok_or_else(|| Error::other("the machine runs, and its ports are not known"))?;
        if launched {
            for warning in status.warnings {
                work.reporter.warn(warning);
            }
        }
        if state.ports != Some(ports) {
            state.ports = Some(ports);
            work.checkpoint.save("ports", &state.to_value()?)?;
        }
        Ok(ports.into())
    }

    async fn stop(&self, work: Work<'_>, deadline: Duration) -> Result<bool> {
        let Some(presence) = self.presence(work.machine) else { return Ok(false) };
        let call = Call::Stop { deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX) };
        // Twice, because a supervisor may die just before it is asked; the next one is asked then.
        for _ in 0..2 {
            if !presence.settled().await {
                if presence.live_qemu().is_none() {
                    return Ok(false);
                }
                if let Err(error) = self.launch(work.machine, &presence, true).await {
                    tracing::warn!(%error, "no supervisor adopts the machine");
                    return self.stop_directly(&presence, deadline, work.reporter).await;
                }
            }
            let reporter = work.reporter.clone();
            let limit = deadline.saturating_add(BEYOND_DEADLINE);
            match presence.ask(call.clone(), limit, move |text| reporter.info(text)).await {
                Ok(Reply::Ended { forced }) => return Ok(forced),
                Err(error) if error.code() == Code::NotRunning => tracing::warn!(%error, "the supervisor has died"),
                other => {
                    tracing::warn!(?other, "the supervisor did not stop the machine");
                    break;
                }
            }
        }
        if presence.live_qemu().is_none() {
            return Ok(false);
        }
        work.reporter.info("its supervisor did not stop it: ending it by force");
        self.kill(work).await?;
        Ok(true)
    }

    async fn replace_system(&self, work: Work<'_>, image: &str) -> Result<()> {
        let image = (self.config.image)(image)?;
        let tool = self.disk_tool(image.arch).await?;
        replace_system(work, image, &tool).await
    }

    async fn grow_disk(&self, work: Work<'_>, mib: u64) -> Result<()> {
        let image = (self.config.image)(&DriverState::required(work.machine.record)?.image_digest)?;
        self.disk_tool(image.arch).await?.grow(&data_disk(work.machine.dir), mib).await
    }

    async fn suspend(&self, work: Work<'_>) -> Result<()> {
        let machine = work.machine;
        let presence = self.looked_after(machine, work.reporter).await?;
        let reporter = work.reporter.clone();
        match presence.ask(Call::Suspend, SUSPEND, move |text| reporter.info(text)).await? {
            Reply::Failed { message, hints } => Err(hints.into_iter().fold(Error::other(message), Error::hint)),
            Reply::Ended { .. } if Suspended::read(machine.dir).is_some() => Ok(()),
            other => Err(Error::other(format!("its supervisor ended it instead ({other:?})"))),
        }
    }

    async fn pause(&self, work: Work<'_>) -> Result<()> {
        self.tell_cpus(work, Call::Pause).await
    }

    async fn resume(&self, work: Work<'_>) -> Result<()> {
        self.tell_cpus(work, Call::Resume).await
    }

    async fn kill(&self, work: Work<'_>) -> Result<()> {
        let Some(presence) = self.presence(work.machine) else { return Ok(()) };
        let alive = presence.live_qemu().is_some();
        presence.end_all().await?;
        // A supervisor that ends with its machine says so itself. What was dead before keeps its own reason.
        let unsaid = alive && RunFile::read(work.machine.dir).is_some();
        // As pulling the plug would: what was only in memory is lost.
        Suspended::discard(work.machine.dir)?;
        presence.tidy(unsaid.then(|| LastExit::clean("it was ended by force, as asked")))
    }

    async fn remove(&self, work: Work<'_>) -> Result<()> {
        self.kill(work).await
    }

    async fn observe(&self, machine: MachineRef<'_>) -> Observation {
        match self.presence(machine) {
            Some(presence) => observed(machine, &presence).await,
            None => Observation::of(MachineState::Missing),
        }
    }

    fn usage(&self, machine: MachineRef<'_>) -> Option<Usage> {
        Some(usage::of(machine.dir))
    }

    fn endpoints(&self, machine: MachineRef<'_>) -> Option<Endpoints> {
        let run = RunFile::read(machine.dir)?;
        let ports = run.ports?;
        let runs = crate::control::is_listening(&run.control_socket) || run.qemu.is_alive();
        runs.then(|| ports.into())
    }

    fn engine_socket(&self, machine: MachineRef<'_>) -> Option<PathBuf> {
        self.docker_socket(machine).ok()
    }

    fn ssh_target(&self, machine: MachineRef<'_>, endpoints: Endpoints) -> SshTarget {
        SshTarget {
            address: endpoints.ssh,
            user: machine.record.spec.ssh_user.clone(),
            key: machine.dir.join("id_ed25519"),
            host_key: machine.record.host_key.clone().unwrap_or_default(),
            machine: machine.record.name.to_string(),
        }
    }
}

/// The error with the last lines of the supervisor's log.
fn with_log(error: Error, presence: &Presence<'_>) -> Error {
    log_tail::last_lines(&presence.files.supervisor_log(), 0, 5)
        .into_iter()
        .fold(error, |error, line| error.hint(format!("its log says: {line}")))
}
