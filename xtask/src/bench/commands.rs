//! The commands that people wait for without noticing: `env` of a running machine, `ls` of many stopped ones.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Bench, median, ratio};
use crate::Result;

/// What `ls` gives a machine that hangs, in the measurement of that.
const HANGING: Duration = Duration::from_secs(1);

/// Needs the running machine `dev` that the boots left behind.
pub fn measure(bench: &Bench, runs: usize) -> Result<()> {
    let memory = bench.resident("dev")?;
    let (truth, env) = against_true(bench, &["env", "dev"], runs)?;
    bench.machine(&["--quiet", "kill", "dev"]).read()?;
    let (truth_one, one) = against_true(bench, &["ls"], runs)?;
    many_machines(bench, 100)?;
    let (truth_many, many) = against_true(bench, &["ls"], runs)?;
    let silent = hanging_hosts(bench, 10)?;
    let (truth_hanging, hanging) = against_true(bench, &["ls", "--timeout", "1"], runs.min(10))?;
    drop(silent);
    println!("\n| what | median | /bin/true in turn | ratio | goal |\n| --- | ---: | ---: | ---: | ---: |");
    for (what, time, truth, goal) in [
        ("machine env (running)", env, truth, "3"),
        ("machine ls, 1 machine", one, truth_one, ""),
        ("machine ls, 100 stopped machines", many, truth_many, "10"),
        (
            "machine ls --timeout 1, 10 of 100 hang: beyond that second",
            hanging.saturating_sub(HANGING),
            truth_hanging,
            "",
        ),
    ] {
        let millis = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
        println!("| {what} | {} | {} | {} | {goal} |", millis(time), millis(truth), ratio(time, truth));
    }
    println!("\nsupervisor of a running machine: {memory:.1} MB resident (goal: under 15 MB)");
    Ok(())
}

/// Runs `machine WORDS` and `/bin/true` turn about; the medians.
fn against_true(bench: &Bench, words: &[&str], runs: usize) -> Result<(Duration, Duration)> {
    let (mut truths, mut times) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        truths.push(once(&mut Command::new("/bin/true"))?);
        times.push(once(Command::new(&bench.program).args(words).envs(bench.environment.iter().cloned()))?);
    }
    Ok((median(&mut truths), median(&mut times)))
}

fn once(command: &mut Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    let took = begun.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{command:?} failed ({status})")) }
}

/// Copies of the stopped machine `dev`: records as `create` writes them, with disks of no size.
fn many_machines(bench: &Bench, count: usize) -> Result<()> {
    let said = |error: &dyn std::fmt::Display| format!("cannot copy machines: {error}");
    let text = fs::read_to_string(bench.folder("dev").join("machine.json")).map_err(|e| said(&e))?;
    let mut record: Value = serde_json::from_str(&text).map_err(|e| said(&e))?;
    let disks: Vec<_> = fs::read_dir(bench.folder("dev"))
        .map_err(|e| said(&e))?
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().ends_with(".qcow2"))
        .collect();
    for number in 1..count {
        let name = format!("copy-{number}");
        let folder = bench.folder(&name);
        fs::create_dir_all(&folder).map_err(|e| said(&e))?;
        record["name"] = Value::from(name);
        fs::write(folder.join("machine.json"), record.to_string()).map_err(|e| said(&e))?;
        for disk in &disks {
            fs::write(folder.join(disk), "").map_err(|e| said(&e))?;
        }
    }
    Ok(())
}

/// Makes the first copies hosts that take connections and never say a word, as long as what is returned lives.
fn hanging_hosts(bench: &Bench, count: usize) -> Result<TcpListener> {
    let said = |error: &dyn std::fmt::Display| format!("cannot make hosts that hang: {error}");
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|e| said(&e))?;
    let port = listener.local_addr().map_err(|e| said(&e))?.port();
    for number in 1..=count {
        let folder = bench.folder(&format!("copy-{number}"));
        let text = fs::read_to_string(folder.join("machine.json")).map_err(|e| said(&e))?;
        let mut record: Value = serde_json::from_str(&text).map_err(|e| said(&e))?;
        record["driver"] = "generic".into();
        record["spec"]["options"] = serde_json::json!({"address": "127.0.0.1", "key": "/none"});
        record["driver_state"] = serde_json::json!({"address": "127.0.0.1", "ssh_port": port, "engine_port": port});
        fs::write(folder.join("machine.json"), record.to_string()).map_err(|e| said(&e))?;
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            fs::copy(bench.folder("dev").join(file), folder.join(file)).map_err(|e| said(&e))?;
        }
    }
    Ok(listener)
}
