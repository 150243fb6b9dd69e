//! A trial of hardware acceleration without a machine: for `doctor`.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use machine_core::{Result, ResultExt};
use machine_images::{Boot, Image};
use tokio::process::Command;
use tokio::time::Instant;

use crate::facts::{Accelerator, HostFacts};
use crate::machine_files::MachineFiles;
use crate::plan::{AcceleratorChoice, PlanInput, plan};
use crate::verdict::{Decision, Exit, FirstSeconds, Verdict, VerdictKey, Verdicts, watch};
use crate::verdict_file::{load_verdicts, remember};
use crate::{log_tail, option_string, qemu_command};

/// How often the trial's console is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// Whether hardware acceleration really works here: what is remembered, else a trial that loads the kernel of `image` with
/// no disk at all and waits for its first words (a second where it works, 15 s where it does not). The result is remembered
/// for machines too. `scratch` is a folder that exists. `None` where there is no accelerator to try, or no kernel to try it with.
///
/// # Errors
/// When the trial itself cannot be made.
pub async fn try_acceleration(
    facts: &HostFacts,
    image: Option<&Image>,
    verdicts: &Path,
    scratch: &Path,
) -> Result<Option<(Accelerator, Verdict)>> {
    let known = load_verdicts(verdicts);
    let offered = facts.qemu.iter().flat_map(|qemu| &qemu.accelerators).copied().filter(|a| a.is_hardware());
    for accelerator in offered {
        if let Some(verdict) = known.about(accelerator, facts) {
            return Ok(Some((accelerator, verdict.clone())));
        }
    }
    let Some((image, key)) = image.zip(VerdictKey::of(facts)) else { return Ok(None) };
    let Boot::Direct { kernel, args, .. } = &image.boot else { return Ok(None) };
    let dir = tempfile::Builder::new()
        .prefix("trial")
        .tempdir_in(scratch)
        .context(|| "cannot make a folder for the trial".into())?;
    // The plan knows which accelerator and which CPU model a machine would get.
    let token = uuid::Uuid::new_v4().to_string();
    let planned = plan(&PlanInput {
        facts,
        machine: "trial",
        cpus: 1,
        memory_mib: 256,
        image,
        paths: &MachineFiles::new(dir.path(), scratch, &token).for_qemu(),
        token: &token,
        accelerator: AcceleratorChoice::Auto,
        verdicts: &Verdicts::default(),
        extra_arguments: &[],
        folders: &[],
        carrier: machine_core::Carrier::default(),
    })?;
    if !planned.accelerator.is_hardware() {
        return Ok(None);
    }
    let serial = dir.path().join("serial");
    let kernel = option_string::text(kernel)?;
    let serial_option = option_string::text(&serial)?;
    let machine = if image.arch == machine_images::Arch::Amd64 { "q35" } else { "virt" };
    let chardev = format!("file,id=serial,path={}", option_string::escaped(serial_option));
    let arguments: Vec<String> = [
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-machine",
        machine,
        "-m",
        "256",
        "-accel",
        planned.accelerator.name(),
        "-cpu",
        &planned.cpu_model,
        "-kernel",
        kernel,
        "-append",
        args,
        "-chardev",
        &chardev,
        "-serial",
        "chardev:serial",
    ]
    .map(str::to_owned)
    .to_vec();
    let log = std::fs::File::create(dir.path().join("log")).context(|| "cannot write the trial's log".into())?;
    let mut command = Command::from(qemu_command::command(&planned.program, &arguments));
    let mut child = command
        .stdout(std::process::Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context(|| "cannot start QEMU".into())?;
    let began = Instant::now();
    let decision = loop {
        let ended = child.try_wait().context(|| "cannot watch QEMU".into())?;
        let errors = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        let console = log_tail::since(&serial, 0);
        let decision = watch(&FirstSeconds {
            accelerator: planned.accelerator,
            direct_boot: true,
            elapsed: began.elapsed(),
            exit: ended.map(|status| Exit { code: status.code(), stderr_tail: &errors }),
            serial: &console,
            answered: false,
        });
        if decision != Decision::Wait {
            break decision;
        }
        tokio::time::sleep(GLANCE).await;
    };
    // Nothing is lost with a kernel that has no disk.
    let _ = child.kill().await;
    let (works, reason) = match decision {
        Decision::Bad(reason) => (false, reason),
        Decision::Works | Decision::Wait => (true, "the kernel ran".to_owned()),
    };
    let verdict = Verdict { accelerator: planned.accelerator, works, reason, when: Timestamp::now(), key };
    remember(verdicts, verdict.clone());
    Ok(Some((planned.accelerator, verdict)))
}
