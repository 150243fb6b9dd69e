//! Carries out a plan on a host.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use machine_core::{Code, Error, Reporter, Result, ResultExt as _, SshTarget};
use machine_ssh::{ConnectError, ConnectFailure, ExitStatus, Session};

use crate::diagnosis::{diagnose, own_words};
use crate::facts::{self, CloudInit, Facts};
use crate::plan::{Plan, plan};
use crate::privilege::Privilege;
use crate::remote;
use crate::request::Request;
use crate::step::{Action, Step};
use crate::transcript::Transcript;

/// How long a login may be refused that is right, on a host that boots: sshd may be up before its users are, or before PAM
/// lets anybody in (pam_nologin(8)).
const LOGIN_GRACE: Duration = Duration::from_secs(180);
/// A look at the host takes seconds, under emulation some more.
const LOOK_LIMIT: Duration = Duration::from_secs(180);
/// A first boot by cloud-init takes about a minute, under emulation several.
const CLOUD_INIT_LIMIT: Duration = Duration::from_secs(20 * 60);

/// What came of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// There was nothing to do.
    Satisfied,
    /// It was done.
    Done,
    /// It would be done: a plan was asked for, no more.
    ToDo,
}

/// What came of all of them.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the host runs.
    pub distribution: String,
    /// The steps, in order.
    pub steps: Vec<(Step, StepState)>,
}

impl Outcome {
    /// Whether anything was changed on the host, or would be.
    pub fn changes(&self) -> bool {
        self.steps
            .iter()
            .any(|(step, state)| *state != StepState::Satisfied && !matches!(step.action, Action::FreshLogin(_)))
    }
}

/// The work on one host. Blocks, each step within its own limit.
pub struct Runner {
    /// How to log in.
    pub target: SshTarget,
    /// What the host shall be.
    pub request: Request,
    /// How long it may still be booting.
    pub boot_limit: Duration,
    /// Where progress goes.
    pub reporter: Reporter,
    /// The file that gets all that is said on the host.
    pub transcript: PathBuf,
    /// Says, often, whether to go on.
    pub go_on: Box<dyn Fn() -> Result<()> + Send>,
}

impl Runner {
    /// Does what is to be done.
    ///
    /// # Errors
    /// What makes the host unfit, or which step failed and why; what was done stays, and another run carries on.
    pub fn run(&self) -> Result<Outcome> {
        let mut transcript = Transcript::begin(&self.transcript, &self.reporter)?;
        self.reporter.stage("ssh", "Waiting for SSH to be available");
        let mut session = self.log_in()?;
        let mut facts = self.settled(&mut session, &mut transcript)?;
        let mut plan = self.plan(&facts)?;
        let mut done = Vec::new();
        let mut position = 0;
        while let Some(step) = plan.steps.get(position).cloned() {
            (self.go_on)()?;
            let privilege = Privilege::of(&facts)?;
            let state = self.step(&mut session, privilege, &step, &mut transcript)?;
            position += 1;
            if state == StepState::Done && step.id == "engine" {
                // Now there is a unit, and what else depends on what was installed.
                facts = self.look(&mut session)?;
                plan = plan_again(&facts, &self.request, plan)?;
                position = plan.steps.iter().position(|other| other.id == step.id).map_or(position, |at| at + 1);
            }
            done.push((step, state));
        }
        Ok(Outcome { distribution: plan.distribution.to_string(), steps: done })
    }

    /// Says what would be done. Changes nothing.
    ///
    /// # Errors
    /// What makes the host unfit.
    pub fn rehearse(&self) -> Result<Outcome> {
        self.reporter.stage("ssh", "Waiting for SSH to be available");
        let mut session = self.log_in()?;
        self.reporter.stage("detect", "Detecting the provisioner");
        let facts = self.look(&mut session)?;
        let plan = self.plan(&facts)?;
        let privilege = Privilege::of(&facts)?;
        let mut steps = Vec::new();
        for step in plan.steps {
            (self.go_on)()?;
            let satisfied = match step.check() {
                Some(check) => remote::holds(&mut session, privilege, &check)?,
                None => false,
            };
            steps.push((step, if satisfied { StepState::Satisfied } else { StepState::ToDo }));
        }
        Ok(Outcome { distribution: plan.distribution.to_string(), steps })
    }

    fn plan(&self, facts: &Facts) -> Result<Plan> {
        let plan = plan(facts, &self.request)?;
        tracing::debug!(?facts, "what is true of the host");
        self.reporter.detail(format!("the host runs {}", plan.distribution));
        plan.warnings.iter().for_each(|warning| self.reporter.warn(warning.as_str()));
        Ok(plan)
    }

    fn log_in(&self) -> Result<Session> {
        log_in(&self.target, self.boot_limit, &*self.go_on).map_err(Error::from)
    }

    /// The facts of a host whose first boot is over.
    fn settled(&self, session: &mut Session, transcript: &mut Transcript<'_>) -> Result<Facts> {
        self.reporter.stage("detect", "Detecting the provisioner");
        let facts = self.look(session)?;
        if facts.cloud_init != CloudInit::Running {
            return Ok(facts);
        }
        self.reporter.stage("cloud-init", "Waiting for cloud-init");
        transcript.step("cloud-init", "Waiting for cloud-init");
        // Its verdict is among the facts. A failure of something else in it need not be one of ours.
        let script = "cloud-init status --wait || true\n";
        remote::stream(session, Privilege::Login, script, CLOUD_INIT_LIMIT, &mut |bytes| {
            (self.go_on)()?;
            transcript.take(bytes);
            Ok(())
        })
        .context(|| "cloud-init on the host does not come to its end".into())
        .map_err(|error| error.hint("`machine ssh`, then `cloud-init status --long` shows what it waits for"))?;
        // Its user is in the groups that it gave it only from the next login on.
        *session = self.log_in()?;
        self.look(session)
    }

    fn look(&self, session: &mut Session) -> Result<Facts> {
        let output = remote::collect(session, Privilege::Login, facts::SCRIPT, LOOK_LIMIT)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            output.text("the host cannot be looked at")?;
        }
        Facts::parse(&said, now())
    }

    fn step(
        &self,
        session: &mut Session,
        privilege: Privilege,
        step: &Step,
        transcript: &mut Transcript<'_>,
    ) -> Result<StepState> {
        transcript.step(step.id, &step.title);
        if let Some(check) = step.check()
            && remote::holds(session, privilege, &check).map_err(|error| self.failed(step, transcript, error))?
        {
            return Ok(StepState::Satisfied);
        }
        self.reporter.stage(step.id, step.title.as_str());
        let status = match &step.action {
            Action::Run(script) => {
                let script = format!("MACHINE_NOW={}\n{script}", now());
                remote::stream(session, privilege, &script, step.limit, &mut |bytes| {
                    (self.go_on)()?;
                    transcript.take(bytes);
                    Ok(())
                })
            }
            Action::Write(files) => files
                .iter()
                .try_for_each(|file| {
                    if remote::holds(session, privilege, &file.is_there())? {
                        return Ok(());
                    }
                    self.reporter.detail(format!("writing {}", file.path));
                    remote::write(session, privilege, file, step.limit)
                })
                .map(|()| ExitStatus::Code(0)),
            Action::FreshLogin(command) => self.log_in().and_then(|mut fresh| {
                let output = fresh.exec(command, step.limit)?;
                transcript.take(&output.stderr);
                transcript.take(&output.stdout);
                Ok(output.status)
            }),
        };
        transcript.end_line();
        match status {
            Ok(status) if status.success() => Ok(StepState::Done),
            Ok(status) => Err(self.failed(step, transcript, Error::other(status.to_string()))),
            Err(error) => Err(self.failed(step, transcript, error)),
        }
    }

    /// What a person reads of a step that failed.
    fn failed(&self, step: &Step, transcript: &Transcript<'_>, cause: Error) -> Error {
        if cause.code() == Code::Interrupted {
            return cause;
        }
        let machine = &self.request.machine;
        // The tools' own words say more than an exit code; a lost connection's say more than what was heard before it.
        let of_output = format!("{}\n{cause}", transcript.text());
        let known = diagnose(&of_output);
        let title = &step.title;
        let own = own_words(transcript.text());
        let cut = cause.to_string().contains("the connection");
        let mut error = match (known, own) {
            _ if cut => Error::new(cause.code(), format!("{title}: the connection to the host was cut")),
            _ if cause.code() == Code::TimedOut => {
                Error::new(Code::TimedOut, format!("{title}: not done within {} s", step.limit.as_secs()))
            }
            (_, Some(words)) => Error::other(format!("{title}: {words}")),
            (Some(known), None) => Error::other(format!("{title}: {}", known.what)),
            (None, None) => Error::other(title.as_str()).because(cause),
        };
        if let Some(known) = known
            && !cut
        {
            error = known.hints.iter().fold(error, |error, hint| error.hint(*hint));
        }
        if let Some(hint) = &step.hint {
            error = error.hint(hint.as_str());
        }
        if let Some(shown) = transcript.shown() {
            error = error.hint(shown);
        }
        error.hint(format!(
            "what was done is kept: `machine provision {machine}` carries on; `machine ssh {machine}` still works"
        ))
    }
}

/// Logs in to a host that may still boot, and to which its users may come later than its sshd.
pub(crate) fn log_in(
    target: &SshTarget,
    boot_limit: Duration,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Session, ConnectError> {
    let begun = Instant::now();
    let mut refused: Option<Instant> = None;
    let given_up = |error| ConnectError { failure: ConnectFailure::Local, error };
    let between = |_: &ConnectError| if go_on().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    loop {
        let left = boot_limit.saturating_sub(begun.elapsed()).max(Duration::from_secs(1));
        let error = match Session::connect_when_up(target, left, between) {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        go_on().map_err(given_up)?;
        let waiting_helps = error.failure == ConnectFailure::Login
            && refused.get_or_insert_with(Instant::now).elapsed() < LOGIN_GRACE.min(boot_limit)
            && begun.elapsed() < boot_limit;
        if !waiting_helps {
            return Err(error);
        }
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// The plan once the engine is there, with the warnings that were given already taken out.
fn plan_again(facts: &Facts, request: &Request, earlier: Plan) -> Result<Plan> {
    let mut plan = plan(facts, request)?;
    plan.warnings = earlier.warnings;
    Ok(plan)
}

fn now() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or_default()
}
