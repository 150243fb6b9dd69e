//! Staying with a QEMU: from its first answer to its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use machine_core::{Error, Result};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::beginning::Beginning;
use super::bring_up::{Monitor, Trial, forward_ports, is_paused};
use super::companion::AtWork;
use super::handover::{Handover, grow_later};
use super::obituary::Evidence;
use super::run::{Attended, Ended, Run, Supervisor};
use crate::control::{Command, Notices, Reply, RunState};
use crate::last_exit::LastExit;
use crate::log_tail;
use crate::qemu_process::{Exited, QemuProcess};
use crate::qmp_message::{QmpEvent, shutdown_reason};
use crate::run_file::{Ports, RunFile};
use crate::shutdown::Shutdown;
use crate::verdict::{Decision, Exit, FirstSeconds, watch as judge};

/// How long events that QEMU sent before it ended may take to arrive.
const STRAGGLERS: Duration = Duration::from_millis(500);
/// Below this age a QEMU with hardware acceleration that ends before the guest's kernel spoke is its accelerator's fault.
const YOUTH: Duration = Duration::from_secs(60);

/// What came of bringing a machine up.
enum Up {
    Ready { ports: Ports, taken: Vec<u16>, paused: bool, unidentified: bool },
    Exited(Exited),
    Wanted(Command),
    BadAccelerator(String),
    NotWarm(String),
}

impl Supervisor<'_> {
    /// Brings the machine up, then stays with it until QEMU has ended.
    pub(super) async fn attend(
        &mut self,
        process: &mut QemuProcess,
        mut file: RunFile,
        run: Run<'_>,
    ) -> Result<Attended> {
        self.board.send_modify(|board| {
            board.status.qemu = Some(file.qemu.clone());
            board.status.accelerator = file.accelerator;
            board.status.warnings.clone_from(&file.warnings);
        });
        let mut monitor = None;
        let awaits_identity = file.awaits_identity;
        match self.bring_up(process, &mut monitor, run, awaits_identity).await? {
            Up::Ready { ports, taken, paused, unidentified } => {
                if let Some(started) = run.started.filter(|started| started.on_trial()) {
                    self.remember(started.facts, started.plan.accelerator, true, "the guest's kernel ran");
                }
                if let Some((started, (bad, why))) =
                    run.started.and_then(|started| started.blamed.map(|b| (started, b)))
                {
                    self.remember(started.facts, *bad, false, why);
                }
                for port in taken {
                    let text =
                        format!("port {port} of this computer, used before, is taken: the machine has new ports");
                    self.event("port changed", &json!({ "port": port, "text": text }));
                    file.warnings.push(text);
                }
                file.ports = Some(ports);
                file.awaits_identity = unidentified;
                file.write(&self.config.dir)?;
                if awaits_identity && !run.started.is_some_and(|started| started.beginning.is_resumed()) {
                    grow_later(self.config);
                }
                self.board.send_modify(|board| {
                    board.status.ports = Some(ports);
                    board.status.warnings.clone_from(&file.warnings);
                });
                self.event("running", &json!({ "qemu": file.qemu.pid, "ports": ports }));
                let mut companion = match (&self.config.companion, &monitor) {
                    (Some(companion), Some(monitor)) if !unidentified => {
                        Some(AtWork::begin(companion.clone(), monitor.qmp.clone(), ports))
                    }
                    _ => None,
                };
                self.watch_over(process, monitor, &mut companion, run, paused).await.map(Attended::Over)
            }
            // Whether its CPUs are halted is not known yet; `cont` does nothing to one that runs.
            Up::Wanted(command) => self.end(process, monitor, command, true, run).await.map(Attended::Over),
            Up::BadAccelerator(reason) => {
                process.end().await?;
                Ok(Attended::BadAccelerator(reason))
            }
            Up::NotWarm(reason) => {
                process.end().await?;
                Ok(Attended::NotWarm(reason))
            }
            // QEMU ends itself when it cannot load a state: no accelerator's fault.
            Up::Exited(exited) if run.started.is_some_and(|started| started.beginning.is_loaded()) => {
                let ended = self.ended_by_itself(exited, monitor, None, run).await;
                Ok(Attended::NotWarm(ended.exit.reason))
            }
            Up::Exited(exited) => match self.blame_accelerator(exited, run) {
                Some(reason) => Ok(Attended::BadAccelerator(reason)),
                None => Ok(Attended::Over(self.ended_by_itself(exited, monitor, None, run).await)),
            },
        }
    }

    /// Connects, forwards ports, and waits for the guest's kernel where the accelerator is on trial; all that while QEMU
    /// may end and commands may come. What was connected by then is in `monitor`.
    async fn bring_up(
        &mut self,
        process: &mut QemuProcess,
        monitor: &mut Option<Monitor>,
        run: Run<'_>,
        awaits_identity: bool,
    ) -> Result<Up> {
        let config = self.config;
        let (notices, log_notices) = (self.notices.clone(), self.notices.clone());
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
                && let Err(reason) = trial.run(ports.ssh).await
            {
                return Ok(Up::BadAccelerator(reason));
            }
            let handover = Handover { config, qmp: &monitor.qmp, notices };
            if run.started.is_none() {
                handover.undo_half_a_suspension().await?;
            }
            let mut unidentified = false;
            if awaits_identity && let Err(error) = somebody(&handover, run, &log_notices).await {
                if run.started.is_some() {
                    return Ok(Up::NotWarm(error.to_string()));
                }
                // Whoever started it did not come to the end; the next supervisor tries again.
                tracing::warn!(%error, "the machine was not told who it is");
                unidentified = true;
            }
            Ok(Up::Ready { ports, taken, paused: is_paused(&monitor.qmp).await?, unidentified })
        };
        let mut work = std::pin::pin!(work);
        let failed = loop {
            tokio::select! {
                exited = process.exited() => return Ok(Up::Exited(exited)),
                Some(command) = self.commands.recv() => {
                    // What is still starting is not suspended or paused; the server has told whoever asked, but for a
                    // hair's breadth.
                    if command.ends() {
                        return Ok(Up::Wanted(command));
                    }
                }
                up = &mut work => match up {
                    Ok(up) => return Ok(up),
                    Err(error) => break error,
                },
            }
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
        companion: &mut Option<AtWork>,
        run: Run<'_>,
        mut paused: bool,
    ) -> Result<Ended> {
        let mut shutdown = None;
        if let (true, Some(companion)) = (paused, &self.config.companion) {
            companion.paused();
        }
        self.set_state(if paused { RunState::Paused } else { RunState::Running });
        loop {
            tokio::select! {
                exited = process.exited() => {
                    return Ok(self.ended_by_itself(exited, monitor, shutdown, run).await);
                }
                Some(command) = self.commands.recv() => match command {
                    Command::Stop { .. } | Command::Kill => {
                        return self.end(process, monitor, command, paused, run).await;
                    }
                    Command::Suspend => if let Some(ended) = self.suspend(process, monitor.as_ref(), paused).await? {
                        return Ok(ended);
                    },
                    // QEMU's event tells everybody.
                    Command::Pause => self.tell_cpus("stop", monitor.as_ref()).await,
                    Command::Resume => self.tell_cpus("cont", monitor.as_ref()).await,
                },
                (name, fields) = AtWork::event(companion) => self.event(&name, &fields),
                event = next_event(&mut monitor) => {
                    match event.name.as_str() {
                        "STOP" | "RESUME" => {
                            paused = event.name == "STOP";
                            match &self.config.companion {
                                Some(companion) if paused => companion.paused(),
                                Some(companion) => companion.resumed(),
                                None => {}
                            }
                            self.set_state(if paused { RunState::Paused } else { RunState::Running });
                        }
                        _ => shutdown = shutdown_reason(&event).map(str::to_owned).or(shutdown),
                    }
                    self.event("qemu", &json!({ "name": event.name, "data": event.data }));
                }
            }
        }
    }

    /// Halts the guest's CPUs or lets them go on; one that is so already stays so.
    async fn tell_cpus(&mut self, command: &str, monitor: Option<&Monitor>) {
        let told = match monitor {
            Some(monitor) => monitor.qmp.execute(command, json!({})).await,
            None => Err(Error::other("QEMU's monitor is not connected")),
        };
        if let Err(error) = told {
            self.setback(&error);
        }
    }

    /// Tells whoever asked for it why the machine goes on as it was.
    pub(super) fn setback(&mut self, error: &Error) {
        let hints = error.hints().into_iter().map(str::to_owned).collect();
        let setback = Reply::Failed { message: error.to_string(), hints };
        self.board.send_modify(|board| board.setbacks.push(setback));
    }

    /// Ends QEMU as `command` says; a later command may make it faster.
    async fn end(
        &mut self,
        process: &mut QemuProcess,
        mut monitor: Option<Monitor>,
        command: Command,
        paused: bool,
        run: Run<'_>,
    ) -> Result<Ended> {
        let limit = |command: Command| match command {
            Command::Stop { deadline } => Some(Instant::now() + deadline),
            // To suspend or pause what is ending is nothing that can be done; whoever asks is told at once.
            Command::Kill | Command::Suspend | Command::Pause | Command::Resume => None,
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
            let qmp = monitor.as_ref().map(|monitor| &*monitor.qmp);
            let steps =
                Shutdown { qmp, socket: &socket, identity: &identity, paused, deadline, forced: &forced, say: &say };
            let exited = tokio::select! {
                exited = process.exited() => exited,
                result = steps.run() => {
                    result?;
                    continue;
                }
                Some(command) = self.commands.recv() => {
                    if !command.ends() {
                        continue;
                    }
                    deadline = deadline.and_then(|before| limit(command).map(|wanted| wanted.min(before)));
                    continue;
                }
            };
            let shutdown = last_shutdown(&mut monitor).await;
            // The guest may have shut down by itself in the last moment.
            let forced = forced.load(Ordering::Relaxed) && shutdown.as_deref() != Some("guest-shutdown");
            self.event("qemu ended", &json!({ "how": exited.describe(), "shutdown": shutdown, "forced": forced }));
            let exit = match exited {
                _ if forced => LastExit::clean("it was ended by force, as asked"),
                Exited::With(status) if !status.success() => {
                    let exit = self.evidence(exited, shutdown.as_deref(), run).judge();
                    LastExit { reason: format!("while it was shutting down: {}", exit.reason), ..exit }
                }
                _ => LastExit::clean("it was stopped, as asked"),
            };
            return Ok(Ended { exit, forced });
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
        let exit = self.evidence(exited, shutdown.as_deref(), run).judge();
        self.event("qemu ended", &json!({ "how": exited.describe(), "shutdown": shutdown, "reason": exit.reason }));
        Ended { exit, forced: false }
    }

    fn evidence<'e>(&self, exited: Exited, shutdown: Option<&'e str>, run: Run<'_>) -> Evidence<'e> {
        let files = &self.config.files;
        let (serial, qemu) = (files.serial_log(), files.qemu_log());
        Evidence::collect(exited, shutdown, (&serial, run.serial_from), (&qemu, run.qemu_from))
    }

    /// What speaks against the accelerator of a QEMU that ended soon after its start: the guest's kernel had not spoken.
    fn blame_accelerator(&self, exited: Exited, run: Run<'_>) -> Option<String> {
        let started =
            run.started.filter(|started| started.plan.accelerator.is_hardware() && run.began.elapsed() < YOUTH)?;
        if exited.was_killed() {
            // Somebody, or the system for want of memory: no accelerator's doing.
            return None;
        }
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
}

/// Makes the guest the machine, however it began.
async fn somebody(handover: &Handover<'_>, run: Run<'_>, notices: &Notices) -> Result<()> {
    match run.started.map(|started| started.beginning) {
        Some(Beginning::Warm(_, saved)) => handover.go_on_from(saved).await,
        Some(Beginning::Resume(suspended, channel)) => handover.resume(suspended, *channel).await,
        Some(Beginning::Template(shape)) => {
            let Some(warm) = &handover.config.warm else { return Ok(()) };
            if let Some(why) = handover.become_somebody(shape, &warm.states).await? {
                // The machine is none the worse for it.
                tracing::warn!(why, "no warm state was saved");
                let _ = notices.send(format!("no warm state was saved: {why}"));
            }
            Ok(())
        }
        // The supervisor before this one was lost while it told the guest.
        Some(Beginning::Boot) | None => {
            handover.qmp.execute("cont", json!({})).await?;
            handover.identify().await
        }
    }
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
