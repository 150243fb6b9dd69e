//! One run: QEMU from its start, or its discovery, to its end.

use jiff::Timestamp;
use machine_core::{Error, Result, ResultExt};
use machine_images::Boot;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::beginning::{Beginning, Chances};
use super::config::SuperviseConfig;
use crate::control::{Board, Command, Notices, Reply, RunState};
use crate::event_log::EventLog;
use crate::facts::{Accelerator, HostFacts};
use crate::last_exit::LastExit;
use crate::log_tail;
use crate::plan::{AcceleratorChoice, Plan, PlanInput, plan as plan_of};
use crate::process_identity::{ProcessIdentity, find_by_token};
use crate::qemu_process::QemuProcess;
use crate::run_file::{RUN_SCHEMA, RunFile};
use crate::verdict::{Verdict, VerdictKey, Verdicts};
use crate::verdict_file;
use crate::virtiofs;
use crate::warm::{Suspended, state_key};

static NO_VERDICTS: Verdicts = Verdicts { entries: Vec::new() };

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: LastExit,
    pub(crate) forced: bool,
}

/// One run, seen from within.
pub(super) enum Attended {
    Over(Ended),
    /// The accelerator does not work here.
    BadAccelerator(String),
    /// The guest did not come to run as nobody's machine, or from a warm state.
    NotWarm(String),
}

/// What a run is judged by.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    /// What we started; none for a QEMU that was adopted.
    pub(super) started: Option<&'a Started<'a>>,
    /// Where this run's output begins in the serial log, bytes.
    pub(super) serial_from: u64,
    /// Where it begins in QEMU's log, bytes.
    pub(super) qemu_from: u64,
    pub(super) began: Instant,
}

/// What was started.
pub(super) struct Started<'a> {
    pub(super) plan: &'a Plan,
    pub(super) facts: &'a HostFacts,
    pub(super) direct_boot: bool,
    /// The accelerator has worked here before: the guest's silence says nothing against it.
    pub(super) proved: bool,
    /// How the guest comes to run.
    pub(super) beginning: &'a Beginning,
    /// What its state is good for when it is saved.
    pub(super) state_key: Option<String>,
    /// Its guest service can be asked.
    pub(super) channel: bool,
    /// What was tried before this and seemed not to work, and why.
    pub(super) blamed: Option<&'a (Accelerator, String)>,
}

impl Started<'_> {
    /// Whether the guest's first words decide about the accelerator.
    pub(super) fn on_trial(&self) -> bool {
        // A state says that it worked when that was saved, and its guest's kernel has said its first words long ago.
        self.plan.accelerator.is_hardware() && !self.proved && !self.beginning.is_loaded()
    }
}

/// The supervisor of one machine.
pub(crate) struct Supervisor<'a> {
    pub(super) config: &'a SuperviseConfig,
    pub(super) log: EventLog,
    pub(super) board: watch::Sender<Board>,
    pub(super) notices: Notices,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
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
        let fresh = self.config.files.fresh_mark().exists();
        let suspended = Suspended::read(&self.config.dir);
        match self.find_orphan().await? {
            // It is nobody's yet: what has a supervisor from its first moment is better than one that was lost half-way. Or
            // all that it was is in the state of a machine that was being suspended, or resumed.
            Some((mut process, _)) if fresh || suspended.is_some() => process.end().await?,
            Some((process, file)) => return self.adopt(process, file).await,
            None => {}
        }
        if self.config.adopt_only {
            // It ended meanwhile, or somebody ended it: to start it again is nobody's wish.
            let saved = suspended.map(|_| LastExit::clean("it was suspended"));
            let exit = saved
                .or_else(|| LastExit::read(&self.config.dir))
                .unwrap_or_else(|| LastExit::failed(&Error::other("it ended while it had no supervisor")));
            return Ok(Ended { exit, forced: false });
        }
        self.start_anew(Chances { fresh, may_be_warm: true, suspended, lost: None }).await
    }

    /// Starts QEMU, with another accelerator or from other disks where the first choice does not work.
    async fn start_anew(&mut self, mut chances: Chances) -> Result<Ended> {
        // What the last run noted says nothing of this one.
        RunFile::remove(&self.config.dir)?;
        for log in [self.config.files.serial_log(), self.config.files.qemu_log()] {
            log_tail::rotate(&log);
        }
        let image = (self.config.image)(&self.config.image_digest)?;
        let (search, arch) = (self.config.search.clone(), image.arch);
        let facts = tokio::task::spawn_blocking(move || crate::probe::probe(&search, arch))
            .await
            .context(|| "cannot look for QEMU".into())??;
        let config = self.config;
        let paths = config.files.for_qemu();
        // A state was saved without such devices, and is gone on from without.
        let folders = if chances.suspended.is_some() { Vec::new() } else { config.folders_that_are_there() };
        let base = PlanInput {
            facts: &facts,
            machine: &config.machine,
            cpus: config.cpus,
            memory_mib: config.memory_mib,
            image: &image,
            paths: &paths,
            token: &config.token,
            accelerator: config.accelerator,
            verdicts: &NO_VERDICTS,
            extra_arguments: &config.extra_arguments,
            folders: &folders,
            carrier: config.carrier,
        };
        let planned = |accelerator, verdicts: &Verdicts| plan_of(&PlanInput { accelerator, verdicts, ..base });
        let direct_boot = matches!(image.boot, Boot::Direct { .. });
        let mut verdicts = verdict_file::load_verdicts(&config.verdicts);
        let mut plan = planned(config.accelerator, &verdicts)?;
        let mut blamed = None;
        loop {
            let proved = verdicts.about(plan.accelerator, &facts).is_some_and(|verdict| verdict.works);
            let state_key = state_key(&base, &plan);
            let Some((beginning, adapted)) = self.begin(&mut chances, &base, &plan, state_key.as_ref().ok()).await?
            else {
                continue;
            };
            let started = Started {
                plan: &adapted,
                facts: &facts,
                direct_boot,
                proved,
                beginning: &beginning,
                state_key: state_key.ok(),
                channel: image.channel.is_some(),
                blamed: blamed.as_ref(),
            };
            let reason = match self.start(&started).await? {
                Attended::Over(ended) => return Ok(ended),
                Attended::BadAccelerator(reason) => reason,
                Attended::NotWarm(reason) => {
                    self.give_up(&mut chances, &beginning, reason);
                    continue;
                }
            };
            let bad = plan.accelerator;
            let Some(fallback) = plan.fallback else {
                return Err(Error::other(format!("{bad} does not work on this computer"))
                    .because(reason)
                    .hint("without a wish for an accelerator, one that works is chosen"));
            };
            // Why, is in the warning that the next plan brings.
            self.say(&format!("{bad} does not work here: starting again with {fallback}"));
            // The new verdict makes the plan choose and warn; only where that is not enough is it told. It is written down
            // when QEMU then runs: a wrong argument or too little memory would have ended it with any accelerator.
            if let Some(verdict) = verdict(&facts, bad, false, &reason) {
                verdicts.remember(verdict);
            }
            blamed = Some((bad, reason));
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
            Attended::BadAccelerator(reason) | Attended::NotWarm(reason) => Err(Error::other(reason)),
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
        for daemon in &plan.daemons {
            virtiofs::serve(daemon, &config.files.qemu_log())?;
        }
        let mut process = QemuProcess::start(plan, &config.token, &config.dir, &config.files.qemu_log()).await?;
        let mut file = self.run_file(process.identity(), Some(plan));
        file.awaits_identity = started.beginning.awaits_identity();
        file.state_key.clone_from(&started.state_key);
        file.channel = started.channel;
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

    pub(super) fn remember(&mut self, facts: &HostFacts, accelerator: Accelerator, works: bool, reason: &str) {
        self.event("verdict", &json!({ "accelerator": accelerator, "works": works, "reason": reason }));
        if let Some(verdict) = verdict(facts, accelerator, works, reason) {
            verdict_file::remember(&self.config.verdicts, verdict);
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
            awaits_identity: false,
            state_key: None,
            folders: plan.map(|plan| plan.folders.clone()).unwrap_or_default(),
            carrier: self.config.carrier,
            channel: false,
            warnings: plan.map(|plan| plan.warnings.clone()).unwrap_or_default(),
            qmp_socket: self.config.files.qmp_socket(),
            control_socket: self.config.files.control_socket(),
            started: Timestamp::now(),
        }
    }

    pub(super) fn set_state(&mut self, state: RunState) {
        self.board.send_modify(|board| {
            board.status.state = state;
            board.status.since = Timestamp::now();
        });
    }

    pub(super) fn event(&mut self, name: &str, fields: &Value) {
        self.log.write(name, fields);
    }

    pub(super) fn say(&mut self, text: &str) {
        self.event("progress", &json!({ "text": text }));
        // Nobody may be listening.
        let _ = self.notices.send(text.to_owned());
    }
}

/// The supervisor itself; known by the machine's name among its arguments.
fn own_identity(machine: &str) -> Option<ProcessIdentity> {
    ProcessIdentity::of(std::process::id(), machine)
}

fn verdict(facts: &HostFacts, accelerator: Accelerator, works: bool, reason: &str) -> Option<Verdict> {
    let key = VerdictKey::of(facts)?;
    Some(Verdict { accelerator, works, reason: reason.to_owned(), when: Timestamp::now(), key })
}
