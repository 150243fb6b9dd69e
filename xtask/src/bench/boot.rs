//! `machine create` to an answering engine, against bare QEMU with the same arguments on fresh disks, turn about.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Bench, median, ratio, timed};
use crate::Result;
use crate::command::Program;

/// What our guest writes on its console when the engine listens.
const LISTENING: &str = "machine-guest: engine listening";
/// No boot takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// Leaves the machine `dev` running.
pub fn measure(bench: &Bench, boots: usize) -> Result<()> {
    // The arguments of the bare runs: a machine that was created and then taken out of the supervisor's hands.
    bench.machine(&["--quiet", "create", "--no-warm", "--no-wait", "bare"]).read()?;
    let template = Template::of(&bench.folder("bare"))?;
    bench.machine(&["--quiet", "kill", "bare"]).read()?;
    let (mut bare, mut created) = (Vec::new(), Vec::new());
    for _ in 0..boots.max(1) {
        bare.push(template.boot()?);
        // The last one stays, for the measurements that need a running machine.
        if !created.is_empty() {
            bench.machine(&["--quiet", "rm", "-f", "dev"]).read()?;
        }
        created.push(timed(|| bench.machine(&["--quiet", "create", "--no-warm", "dev"]).read())?.1);
    }
    let seconds =
        |times: &[Duration]| times.iter().map(|t| format!("{:.1}", t.as_secs_f64())).collect::<Vec<_>>().join(" ");
    println!("\nbare QEMU to a listening engine, s: {}", seconds(&bare));
    println!("machine create to an answering engine, s: {}", seconds(&created));
    let best = |times: &[Duration]| times.iter().min().copied().unwrap_or_default();
    println!(
        "ratio: {} of the medians, {} of the best (goal: 1.15)",
        ratio(median(&mut created.clone()), median(&mut bare.clone())),
        ratio(best(&created), best(&bare))
    );
    println!("\nwhere the time goes, inside the machine (systemd-analyze, after the last boot):");
    let words = [
        "ssh",
        "dev",
        "systemd-analyze; systemd-analyze critical-chain docker.service --no-pager; systemd-analyze blame --no-pager | head -12",
    ];
    print!("{}", bench.machine(&words).read().unwrap_or_else(|error| format!("{error}\n")));
    Ok(())
}

/// How a machine's QEMU is started.
struct Template {
    program: String,
    arguments: Vec<String>,
    folder: std::path::PathBuf,
}

impl Template {
    /// As the supervisor logged it.
    fn of(folder: &Path) -> Result<Self> {
        let path = folder.join("events.jsonl");
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let starting = text
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|event| event["event"] == "starting")
            .ok_or_else(|| format!("{} tells of no start", path.display()))?;
        let words = starting["arguments"].as_array().into_iter().flatten();
        let words: Vec<_> = words.filter_map(|word| word.as_str().map(str::to_owned)).collect();
        Ok(Self {
            program: starting["program"].as_str().ok_or("no program")?.to_owned(),
            arguments: without_monitor(&words),
            folder: folder.to_path_buf(),
        })
    }

    /// Boots once on new disks; returns the time from QEMU's start to the line on the console.
    fn boot(&self) -> Result<Duration> {
        let disk = |name: &str| self.folder.join(name).display().to_string();
        let backing = parse(&Program::line("qemu-img info --output=json").arg(disk("os.qcow2")).read()?)?;
        let base = backing["full-backing-filename"].as_str().ok_or("the OS disk has no backing file")?;
        let size = parse(&Program::line("qemu-img info --output=json").arg(disk("data.qcow2")).read()?)?;
        let size = size["virtual-size"].as_u64().ok_or("the data disk has no size")?;
        Program::line("qemu-img create -q -f qcow2 -F qcow2 -b").arg(base).arg(disk("os.qcow2")).read()?;
        Program::line("qemu-img create -q -f qcow2").arg(disk("data.qcow2")).arg(size.to_string()).read()?;
        let console = self.folder.join("serial.log");
        let from = fs::metadata(&console).map_or(0, |facts| facts.len());
        let begun = Instant::now();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.program))?;
        let mut running = Running(child);
        loop {
            let text = fs::read(&console).unwrap_or_default();
            let new = String::from_utf8_lossy(text.get(usize::try_from(from).unwrap_or(0)..).unwrap_or_default())
                .into_owned();
            if new.contains(LISTENING) {
                return Ok(begun.elapsed());
            }
            if let Ok(Some(status)) = running.0.try_wait() {
                return Err(format!("bare QEMU ended ({status}); its console:\n{new}"));
            }
            if begun.elapsed() > LIMIT {
                return Err(format!("bare QEMU had no engine after {} s; its console:\n{new}", LIMIT.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The arguments without QEMU's monitor, whose socket lies in a folder that went with the supervisor.
fn without_monitor(words: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for word in words {
        let of_monitor = word.contains("id=qmp")
            || word.contains("chardev=qmp")
            || word.contains("=channel")
            || word.contains("virtio-serial");
        if of_monitor {
            // The option that it belongs to.
            kept.pop();
        } else {
            kept.push(word.clone());
        }
    }
    kept
}

/// Ended when it is no longer looked at.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}
