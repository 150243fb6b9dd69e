//! Booting, beginning from a warm state, and going on after a suspension, against bare QEMU with a stock image.

use std::path::Path;
use std::time::Duration;

use super::containers::{docker, import_busybox};
use super::{Bench, median, ratio, stock, timed};
use crate::Result;

/// The memory of every guest here, MiB.
const MEMORY: u64 = 2048;

/// Needs no machine and leaves none.
pub fn measure(bench: &Bench, boots: usize, image: &Path) -> Result<()> {
    let name = "warm";
    let create = |more: &[&str]| {
        let words = [&["--quiet", "create", "--accelerator", "tcg", "--cpus", "2", "--memory", "2g"], more, &[name]];
        timed(|| bench.machine(&words.concat()).read()).map(|(_, time)| time)
    };
    let remove = || bench.machine(&["--quiet", "rm", "-f", name]).read().map(drop);
    // Whatever an earlier image left is of no use; the first creation of the shape is a figure of its own.
    bench.machine(&["image", "prune"]).read()?;
    let first = create(&[])?;
    let size = state_size(bench);
    remove()?;
    let mut times: [Vec<Duration>; 5] = Default::default();
    let mut runs: [Vec<Duration>; 2] = Default::default();
    for _ in 0..boots.max(1) {
        times[0].push(stock::boot(image, &bench.store, MEMORY)?);
        times[1].push(create(&["--no-warm"])?);
        remove()?;
        times[2].push(create(&[])?);
        // The first container of a machine that has just begun, and one on the same machine later.
        import_busybox(bench, name)?;
        runs[0].push(run_container(bench, name)?);
        for _ in 0..3 {
            run_container(bench, name)?;
        }
        runs[1].push(run_container(bench, name)?);
        times[3].push(timed(|| bench.machine(&["--quiet", "suspend", name]).read())?.1);
        times[4].push(timed(|| bench.machine(&["--quiet", "start", name]).read())?.1);
        remove()?;
    }
    let seconds =
        |times: &[Duration]| times.iter().map(|t| format!("{:.1}", t.as_secs_f64())).collect::<Vec<_>>().join(" ");
    let base = median(&mut times[0].clone());
    println!("\n| to an answering engine, 2 CPUs, {MEMORY} MiB, software emulation | s | of stock | goal |");
    println!("| --- | ---: | ---: | ---: |");
    let what = [
        "bare QEMU, stock Debian 13 with docker.io",
        "create --no-warm (boots)",
        "create (warm)",
        "suspend",
        "start (suspended)",
    ];
    for ((what, times), goal) in what.iter().zip(&times).zip(["", "0.70", "0.12", "", ""]) {
        println!("| {what} | {} | {} | {goal} |", seconds(times), ratio(median(&mut times.clone()), base));
    }
    println!(
        "| the first create of a shape (boots, leaves a warm state) | {:.1} | {} | |",
        first.as_secs_f64(),
        ratio(first, base)
    );
    let (early, late) = (median(&mut runs[0].clone()), median(&mut runs[1].clone()));
    println!(
        "\ndocker run of a local image: {} s right after a warm create, {} s as the fifth: ratio {} (goal: 1)",
        seconds(&runs[0]),
        seconds(&runs[1]),
        ratio(early, late)
    );
    println!("warm state on disk: {:.0} MB", size as f64 / 1e6);
    Ok(())
}

/// Bytes of all warm states.
fn state_size(bench: &Bench) -> u64 {
    let text = bench.machine(&["image", "ls", "--format", "json"]).read().unwrap_or_default();
    let list: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let states =
        list.as_array().into_iter().flatten().flat_map(|image| image["warm"].as_array().cloned().unwrap_or_default());
    states.filter_map(|state| state["bytes"].as_u64()).sum()
}

fn run_container(bench: &Bench, name: &str) -> Result<Duration> {
    timed(|| docker(bench, name, "docker run --rm box /bin/busybox true")).map(|(_, time)| time)
}
