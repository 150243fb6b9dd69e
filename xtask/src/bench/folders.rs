//! Shared folders by SFTP and by 9p, in one machine, turn about: what goes by 9p was there at the start, what was added goes by SFTP.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Bench, median, ratio};
use crate::{Result, places};

/// Files of the folder that is walked through.
const WALKED: usize = 5000;
/// Files that are made, read and removed.
const SMALL: usize = 500;
/// MiB that are written and read in one piece.
const LARGE: usize = 32;

/// What is done in a folder, and the commands that do it, each of one process or two: a process costs more in an emulated guest
/// than many files.
const WORK: [(&str, &str); 7] = [
    ("small files: make", "tar -xf /tmp/small.tar"),
    ("small files: read", "cat small/* >/dev/null"),
    ("small files: remove", "rm -r small"),
    ("walk through 5,000 files (find and stat)", "find walked -type f -size +1000 -newer walked"),
    ("the same again", "find walked -type f -size +1000 -newer walked"),
    ("large file: write", "dd if=/dev/zero of=large bs=1M count=32 conv=fsync 2>/dev/null"),
    ("large file: read", "cat large >/dev/null"),
];

/// Needs no machine and leaves none.
pub fn measure(bench: &Bench, runs: usize) -> Result<()> {
    // Not in the store: what is in there is never shared.
    let place = bench.store.with_extension("folders");
    places::make_folder(&place)?;
    let result = compare(bench, runs, &place);
    places::remove_folder(&place)?;
    result
}

fn compare(bench: &Bench, runs: usize, place: &Path) -> Result<()> {
    let name = "folders";
    let [by_nine_p, by_sftp] = ["by-9p", "by-sftp"].map(|folder| place.join(folder));
    for folder in [&by_nine_p, &by_sftp] {
        fill(folder).map_err(|error| format!("cannot fill {}: {error}", folder.display()))?;
    }
    let share = |folder: &Path, place: &str| format!("{}:{place}", folder.display());
    let first = share(&by_nine_p, "/9p");
    bench.machine(&["--quiet", "create", "--share-type", "9p", "--share", &first, name]).read()?;
    bench.machine(&["--quiet", "share", "add", name, &share(&by_sftp, "/sftp")]).read()?;
    carried_as_named(bench, name)?;
    let make = format!(
        "mkdir -p /tmp/s/small && cd /tmp/s && for n in $(seq {SMALL}); do echo $n >small/$n; done && tar -cf /tmp/small.tar small"
    );
    bench.machine(&["ssh", name, &make]).read()?;
    let mut times: [[Vec<Duration>; WORK.len()]; 2] = Default::default();
    for _ in 0..runs.max(1) {
        for (times, place) in times.iter_mut().zip(["/sftp", "/9p"]) {
            for (times, took) in times.iter_mut().zip(once(bench, name, place)?) {
                times.push(took);
            }
        }
    }
    println!("\n| in a shared folder, software emulation | sftp, s | 9p, s | sftp/9p |");
    println!("| --- | ---: | ---: | ---: |");
    let medians = |of: usize| times[of].clone().map(|mut times| median(&mut times));
    let (sftp, nine_p) = (medians(0), medians(1));
    for (at, (what, _)) in WORK.iter().enumerate() {
        println!(
            "| {what} | {:.2} | {:.2} | {} |",
            sftp[at].as_secs_f64(),
            nine_p[at].as_secs_f64(),
            ratio(sftp[at], nine_p[at])
        );
    }
    let rate = |times: &[Duration]| 3.0 * SMALL as f64 / times[..3].iter().sum::<Duration>().as_secs_f64();
    println!(
        "\nsmall files, made, read, removed: {:.0} operations a second by sftp, {:.0} by 9p; large files have {LARGE} MiB",
        rate(&sftp),
        rate(&nine_p)
    );
    bench.machine(&["--quiet", "rm", "-f", name]).read().map(drop)
}

fn fill(folder: &Path) -> std::io::Result<()> {
    for part in 0..WALKED / 50 {
        let part = folder.join(format!("walked/{part}"));
        fs::create_dir_all(&part)?;
        for number in 0..50 {
            fs::write(part.join(format!("{number}.txt")), "a few words\n")?;
        }
    }
    Ok(())
}

/// Ratios of one way with itself would say nothing.
fn carried_as_named(bench: &Bench, name: &str) -> Result<()> {
    let text = bench.machine(&["share", "ls", "--format", "json", name]).read()?;
    let listed: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}"))?;
    let rows = listed["folders"].as_array().into_iter().flatten();
    let by: Vec<_> = rows.filter_map(|row| row["by"].as_str()).collect();
    if by == ["9p", "sftp"] { Ok(()) } else { Err(format!("the folders are not carried as named: {text}")) }
}

/// Does all the work once; how long each piece took by the guest's own clock.
fn once(bench: &Bench, name: &str, place: &str) -> Result<Vec<Duration>> {
    let mut script = format!("cd {place} && date +%s%N");
    for (_, command) in WORK {
        script.push_str(&format!(" && {command} && date +%s%N"));
    }
    // What was read must come from the folder again, not from the guest's memory.
    let text =
        bench.machine(&["ssh", name, &format!("sudo sh -c 'echo 3 >/proc/sys/vm/drop_caches; {script}'")]).read()?;
    let at: Vec<u64> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    if at.len() != WORK.len() + 1 {
        return Err(format!("the folders were not worked in to the end: {text}"));
    }
    Ok(at.windows(2).map(|pair| Duration::from_nanos(pair[1].saturating_sub(pair[0]))).collect())
}
