//! One run: QEMU from its start, or its discovery, to its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use machine_core::{Error, Result, ResultExt};
use machine_images::Boot;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::bring_up::{Monitor, Trial, forward_ports, is_paused};
use super::config::SuperviseConfig;
use super::obituary::Evidence;
use crate::control::{Board, Command, Notices, Reply, RunState};
use crate::event_log::EventLog;
use crate::facts::{Accelerator, HostFacts};
use crate::last_exit::LastExit;
use crate::log_tail;
use crate::plan::{AcceleratorChoice, Plan, PlanInput, plan};
use crate::process_identity::{ProcessIdentity, find_by_token};
use crate::qemu_process::{Exited, QemuProcess};
use crate::qmp_message::{QmpEvent, shutdown_reason};
use crate::run_file::{Ports, RUN_SCHEMA, RunFile};
use crate::shutdown::Shutdown;
use crate::verdict::{Decision, Exit, FirstSeconds, Verdict, VerdictKey, Verdicts, watch as judge};
use crate::verdict_file;

/// How long events that QEMU sent before it ended may take to arrive.
const STRAGGLERS: Duration = Duration::from_millis(500);
/// Below this age a QEMU with hardware acceleration that ends before the guest's kernel spoke is its accelerator's fault.
const YOUTH: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: LastExit,
    pub(crate) forced: bool,
}

/// One run, seen from within.
enum Attended {
    Over(Ended),
    /// The accelerator does not work here.
    BadAccelerator(String),
}

/// What came of bringing a machine up.
enum Up {
    Ready { ports: Ports, taken: Vec<u16>, paused: bool },
    Exited(Exited),
    Wanted(Command),
    BadAccelerator(String),
}

/// What a run is judged by.
#[derive(Clone, Copy)]
struct Run<'a> {
    /// What we started; none for a QEMU that was adopted.
    started: Option<&'a Started<'a>>,
    /// Where this run's output begins in the serial log, bytes.
    serial_from: u64,
    /// Where it begins in QEMU's log, bytes.
    qemu_from: u64,
    began: Instant,
}

/// What was started.
struct Started<'a> {
    plan: &'a Plan,
    facts: &'a HostFacts,
    direct_boot: bool,
    /// The accelerator has worked here before: the guest's silence says nothing against it.
    proved: bool,
}

impl Started<'_> {
    /// Whether the guest's first words decide about the accelerator.
    fn on_trial(&self) -> bool {
        self.plan.accelerator.is_hardware() && !self.proved
    }
}

/// The supervisor of one machine.
pub(crate) struct Supervisor<'a> {
    config: &'a SuperviseConfig,
    log: EventLog,
    board: watch::Sender<Board>,
    notices: Notices,
    commands: mpsc::UnboundedReceiver<Command>,
}

impl<'a> Supervisor<'a> {
    pub(crate) fn new(
        config: &'a SuperviseConfig,
        log: EventLog,
        board: watch::Sender<Board>,
        notices: Notices,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self { config, log, board, notices, commands }
    }

    /// Finds the machine's QEMU or starts one, and stays with it until it has ended.
    ///
    /// # Errors
    /// Why it could not be started, or adopted; an orphan that cannot be adopted is left running.
    pub(crate) async fn run(&mut self) -> Result<Ended> {
        if let Some((process, file)) = self.find_orphan().await? {
            return self.adopt(process, file).await;
        }
        for log in [self.config.files.serial_log(), self.config.files.qemu_log()] {
            log_tail::rotate(&log);
        }
        let image = (self.config.image)(&self.config.image_digest)?;
        let (search, arch) = (self.config.search.clone(), image.arch);
        let facts = tokio::task::spawn_blocking(move || crate::probe::probe(&search, arch))
            .await
            .context(|| "cannot look for QEMU".into())??;
        let paths = self.config.files.for_qemu();
        let planned = |accelerator: AcceleratorChoice, verdicts: &Verdicts| {
            plan(&PlanInput {
                facts: &facts,
                machine: &self.config.machine,
                cpus: self.config.cpus,
                memory_mib: self.config.memory_mib,
                image: &image,
                paths: &paths,
                token: &self.config.token,
                accelerator,
                verdicts,
                extra_arguments: &self.config.extra_arguments,
            })
        };
        let direct_boot = matches!(image.boot, Boot::Direct { .. });
        let config = self.config;
        let mut verdicts = verdict_file::load_verdicts(&config.verdicts);
        let mut plan = planned(config.accelerator, &verdicts)?;
        loop {
            let proved = verdicts.about(plan.accelerator, &facts).is_some_and(|verdict| verdict.works);
            let started = Started { plan: &plan, facts: &facts, direct_boot, proved };
            let reason = match self.start(&started).await? {
                Attended::Over(ended) => return Ok(ended),
                Attended::BadAccelerator(reason) => reason,
            };
            let bad = plan.accelerator;
            verdicts = self.remember(&facts, bad, false, &reason);
            let Some(fallback) = plan.fallback else {
                return Err(Error::other(format!("{bad} does not work on this computer"))
                    .because(reason)
                    .hint("without a wish for an accelerator, one that works is chosen"));
            };
            // Why, is in the warning that the next plan brings.
            self.say(&format!("{bad} does not work here: starting again with {fallback}"));
            // The new verdict makes the plan choose and warn; only where that is not enough is it told.
            plan = planned(config.accelerator, &verdicts)?;
            if plan.accelerator == bad {
                plan = planned(AcceleratorChoice::Only(fallback), &verdicts)?;
            }
        }
    }

    /// Tells everybody how it ended.
    pub(crate) fn announce(&mut self, end: Reply) {
        let fields = serde_json::to_value(&end).unwrap_or(Value::Null);
        self.event("ended", &fields);
        self.board.send_modify(|board| board.end = Some(end));
    }

    /// The QEMU of this machine that runs without a supervisor, if there is one.
    async fn find_orphan(&self) -> Result<Option<(QemuProcess, RunFile)>> {
        let config = self.config;
        let left = RunFile::read(&config.dir).filter(|run| run.token == config.token);
        let (identity, left) = match left {
            Some(run) if run.qemu.is_alive() => (run.qemu.clone(), Some(run)),
            // A crash between the start of QEMU and the writing of the file leaves only the process itself.
            _ => {
                let token = config.token.clone();
                let found = tokio::task::spawn_blocking(move || find_by_token(&token))
                    .await
                    .context(|| "cannot look for processes".into())??;
                match found.into_iter().next() {
                    Some(identity) => (identity, None),
                    None => return Ok(None),
                }
            }
        };
        let run = match left {
            Some(run) => RunFile { supervisor: own_identity(&config.machine), ..run },
            None => self.run_file(&identity, None),
        };
        Ok(Some((QemuProcess::adopt(identity), run)))
    }

    /// A live QEMU is never ended because it could not be adopted.
    async fn adopt(&mut self, mut process: QemuProcess, file: RunFile) -> Result<Ended> {
        let pid = process.identity().pid;
        self.event("adopting", &json!({ "qemu": pid }));
        self.say(&format!("adopting the running QEMU (process {pid})"));
        file.write(&self.config.dir)?;
        let adopted = self.attend(&mut process, file, self.run_of(None)).await;
        match adopted.map_err(|error| {
            error.within(format!("QEMU (process {pid}) runs, but cannot be adopted")).hint("`machine kill` ends it")
        })? {
            Attended::Over(ended) => Ok(ended),
            Attended::BadAccelerator(reason) => Err(Error::other(reason)),
        }
    }

    async fn start(&mut self, started: &Started<'_>) -> Result<Attended> {
        let config = self.config;
        let plan = started.plan;
        for text in &plan.warnings {
            self.event("warning", &json!({ "text": text }));
        }
        let run = self.run_of(Some(started));
        let fields = json!({ "program": plan.program, "arguments": plan.arguments, "accelerator": plan.accelerator });
        self.event("starting", &fields);
        let mut process = QemuProcess::start(plan, &config.token, &config.dir, &config.files.qemu_log()).await?;
        let file = self.run_file(process.identity(), Some(plan));
        let attended = match file.write(&config.dir) {
            Ok(()) => self.attend(&mut process, file, run).await,
            Err(error) => Err(error),
        };
        if attended.is_err() {
            // What was just started and cannot be brought up shall not stay behind.
            process.end().await?;
            RunFile::remove(&config.dir)?;
        }
        attended
    }

    /// Brings the machine up, then stays with it until QEMU has ended.
    async fn attend(&mut self, process: &mut QemuProcess, mut file: RunFile, run: Run<'_>) -> Result<Attended> {
        self.board.send_modify(|board| {
            board.status.qemu = Some(file.qemu.clone());
            board.status.accelerator = file.accelerator;
            board.status.warnings.clone_from(&file.warnings);
        });
        let mut monitor = None;
        match self.bring_up(process, &mut monitor, run).await? {
            Up::Ready { ports, taken, paused } => {
                if let Some(started) = run.started.filter(|started| started.on_trial()) {
                    self.remember(started.facts, started.plan.accelerator, true, "the guest's kernel ran");
                }
                for port in taken {
                    let text =
                        format!("port {port} of this computer, used before, is taken: the machine has new ports");
                    self.event("port changed", &json!({ "port": port, "text": text }));
                    file.warnings.push(text);
                }
                file.ports = Some(ports);
                file.write(&self.config.dir)?;
                self.board.send_modify(|board| {
                    board.status.ports = Some(ports);
                    board.status.warnings.clone_from(&file.warnings);
                });
                self.event("running", &json!({ "qemu": file.qemu.pid, "ports": ports }));
                self.watch_over(process, monitor, run, paused).await.map(Attended::Over)
            }
            Up::Wanted(command) => self.end(process, monitor, command, false).await.map(Attended::Over),
            Up::BadAccelerator(reason) => {
                process.end().await?;
                Ok(Attended::BadAccelerator(reason))
            }
            Up::Exited(exited) => match self.blame_accelerator(exited, run) {
                Some(reason) => Ok(Attended::BadAccelerator(reason)),
                None => Ok(Attended::Over(self.ended_by_itself(exited, monitor, None, run).await)),
            },
        }
    }

    /// Connects, forwards ports, and waits for the guest's kernel where the accelerator is on trial; all that while QEMU
    /// may end and commands may come. What was connected by then is in `monitor`.
    async fn bring_up(&mut self, process: &mut QemuProcess, monitor: &mut Option<Monitor>, run: Run<'_>) -> Result<Up> {
        let config = self.config;
        let trial = run.started.filter(|started| started.on_trial()).map(|started| Trial {
            accelerator: started.plan.accelerator,
            direct_boot: started.direct_boot,
            serial_log: config.files.serial_log(),
            serial_from: run.serial_from,
            began: run.began,
        });
        if let Some(trial) = &trial {
            self.say(&format!("seeing whether {} works on this computer", trial.accelerator));
        }
        let work = async {
            let monitor = monitor.insert(Monitor::connect(&config.files.qmp_socket()).await?);
            let (ports, taken) = forward_ports(&monitor.qmp, config.ports).await?;
            if let Some(trial) = trial
                && let Err(reason) = trial.run().await
            {
                return Ok(Up::BadAccelerator(reason));
            }
            Ok(Up::Ready { ports, taken, paused: is_paused(&monitor.qmp).await? })
        };
        let failed = tokio::select! {
            exited = process.exited() => return Ok(Up::Exited(exited)),
            Some(command) = self.commands.recv() => return Ok(Up::Wanted(command)),
            up = work => match up {
                Ok(up) => return Ok(up),
                Err(error) => error,
            },
        };
        // A monitor breaks off because QEMU ends: that is then the news.
        match timeout(STRAGGLERS, process.exited()).await {
            Ok(exited) => Ok(Up::Exited(exited)),
            Err(_) => Err(failed),
        }
    }

    async fn watch_over(
        &mut self,
        process: &mut QemuProcess,
        mut monitor: Option<Monitor>,
        run: Run<'_>,
        mut paused: bool,
    ) -> Result<Ended> {
        let mut shutdown = None;
        self.set_state(if paused { RunState::Paused } else { RunState::Running });
        loop {
            tokio::select! {
                exited = process.exited() => {
                    return Ok(self.ended_by_itself(exited, monitor, shutdown, run).await);
                }
                Some(command) = self.commands.recv() => return self.end(process, monitor, command, paused).await,
                event = next_event(&mut monitor) => {
                    match event.name.as_str() {
                        "STOP" | "RESUME" => {
                            paused = event.name == "STOP";
                            self.set_state(if paused { RunState::Paused } else { RunState::Running });
                        }
                        _ => shutdown = shutdown_reason(&event).map(str::to_owned).or(shutdown),
                    }
                    self.event("qemu", &json!({ "name": event.name, "data": event.data }));
                }
            }
        }
    }

    /// Ends QEMU as `command` says; a later command may make it faster.
    async fn end(
        &mut self,
        process: &mut QemuProcess,
        mut monitor: Option<Monitor>,
        command: Command,
        paused: bool,
    ) -> Result<Ended> {
        let limit = |command: Command| match command {
            Command::Stop { deadline } => Some(Instant::now() + deadline),
            Command::Kill => None,
        };
        self.set_state(RunState::Stopping);
        self.event("stopping", &json!({ "command": format!("{command:?}") }));
        let identity = process.identity().clone();
        let socket = self.config.files.qmp_socket();
        let forced = AtomicBool::new(false);
        let mut deadline = limit(command);
        loop {
            let notices = self.notices.clone();
            // Nobody may be listening.
            let say = move |text: &str| drop(notices.send(text.to_owned()));
            let qmp = monitor.as_ref().map(|monitor| &monitor.qmp);
            let steps =
                Shutdown { qmp, socket: &socket, identity: &identity, paused, deadline, forced: &forced, say: &say };
            let exited = tokio::select! {
                exited = process.exited() => exited,
                result = steps.run() => {
                    result?;
                    continue;
                }
                Some(command) = self.commands.recv() => {
                    deadline = deadline.and_then(|before| limit(command).map(|wanted| wanted.min(before)));
                    continue;
                }
            };
            let shutdown = last_shutdown(&mut monitor).await;
            // The guest may have shut down by itself in the last moment.
            let forced = forced.load(Ordering::Relaxed) && shutdown.as_deref() != Some("guest-shutdown");
            self.event("qemu ended", &json!({ "how": exited.describe(), "shutdown": shutdown, "forced": forced }));
            let reason = if forced { "it was ended by force, as asked" } else { "it was stopped, as asked" };
            return Ok(Ended { exit: LastExit::clean(reason), forced });
        }
    }

    async fn ended_by_itself(
        &mut self,
        exited: Exited,
        mut monitor: Option<Monitor>,
        shutdown: Option<String>,
        run: Run<'_>,
    ) -> Ended {
        let shutdown = last_shutdown(&mut monitor).await.or(shutdown);
        let files = &self.config.files;
        let (serial, qemu) = (files.serial_log(), files.qemu_log());
        let evidence =
            Evidence::collect(exited, shutdown.as_deref(), (&serial, run.serial_from), (&qemu, run.qemu_from));
        let exit = evidence.judge();
        self.event("qemu ended", &json!({ "how": exited.describe(), "shutdown": shutdown, "reason": exit.reason }));
        Ended { exit, forced: false }
    }

    /// What speaks against the accelerator of a QEMU that ended soon after its start: the guest's kernel had not spoken.
    fn blame_accelerator(&self, exited: Exited, run: Run<'_>) -> Option<String> {
        let started =
            run.started.filter(|started| started.plan.accelerator.is_hardware() && run.began.elapsed() < YOUTH)?;
        let files = &self.config.files;
        let decision = judge(&FirstSeconds {
            accelerator: started.plan.accelerator,
            direct_boot: started.direct_boot,
            elapsed: run.began.elapsed(),
            exit: Some(Exit {
                code: exited.code(),
                stderr_tail: &log_tail::last_lines(&files.qemu_log(), run.qemu_from, 10).join("\n"),
            }),
            serial: &log_tail::since(&files.serial_log(), run.serial_from),
            answered: false,
        });
        match decision {
            Decision::Bad(reason) => Some(reason),
            Decision::Works | Decision::Wait => None,
        }
    }

    fn remember(&mut self, facts: &HostFacts, accelerator: Accelerator, works: bool, reason: &str) -> Verdicts {
        self.event("verdict", &json!({ "accelerator": accelerator, "works": works, "reason": reason }));
        match VerdictKey::of(facts) {
            Some(key) => {
                let verdict = Verdict { accelerator, works, reason: reason.to_owned(), when: Timestamp::now(), key };
                verdict_file::remember(&self.config.verdicts, verdict)
            }
            None => Verdicts::default(),
        }
    }

    fn run_of<'r>(&self, started: Option<&'r Started<'r>>) -> Run<'r> {
        Run {
            started,
            serial_from: log_tail::length(&self.config.files.serial_log()),
            qemu_from: log_tail::length(&self.config.files.qemu_log()),
            began: Instant::now(),
        }
    }

    fn run_file(&self, qemu: &ProcessIdentity, plan: Option<&Plan>) -> RunFile {
        RunFile {
            schema: RUN_SCHEMA,
            supervisor: own_identity(&self.config.machine),
            qemu: qemu.clone(),
            token: self.config.token.clone(),
            ports: None,
            accelerator: plan.map(|plan| plan.accelerator),
            cpu_model: plan.map(|plan| plan.cpu_model.clone()),
            warnings: plan.map(|plan| plan.warnings.clone()).unwrap_or_default(),
            qmp_socket: self.config.files.qmp_socket(),
            control_socket: self.config.files.control_socket(),
            started: Timestamp::now(),
        }
    }

    fn set_state(&mut self, state: RunState) {
        self.board.send_modify(|board| {
            board.status.state = state;
            board.status.since = Timestamp::now();
        });
    }

    fn event(&mut self, name: &str, fields: &Value) {
        self.log.write(name, fields);
    }

    fn say(&mut self, text: &str) {
        self.event("progress", &json!({ "text": text }));
        // Nobody may be listening.
        let _ = self.notices.send(text.to_owned());
    }
}

/// The supervisor itself; known by the machine's name among its arguments.
fn own_identity(machine: &str) -> Option<ProcessIdentity> {
    ProcessIdentity::of(std::process::id(), machine)
}

/// The next event; never, once the monitor is closed: the end of the process is then awaited.
async fn next_event(monitor: &mut Option<Monitor>) -> QmpEvent {
    if let Some(connected) = monitor {
        if let Some(event) = connected.events.recv().await {
            return event;
        }
        *monitor = None;
    }
    std::future::pending().await
}

/// Why QEMU ended, from the events that it sent before it did.
async fn last_shutdown(monitor: &mut Option<Monitor>) -> Option<String> {
    let events = &mut monitor.as_mut()?.events;
    let mut reason = None;
    let all = async {
        while let Some(event) = events.recv().await {
            reason = shutdown_reason(&event).map(str::to_owned).or(reason.take());
        }
    };
    // The connection ends with QEMU: this is over at once.
    let _ = timeout(STRAGGLERS, all).await;
    reason
}
