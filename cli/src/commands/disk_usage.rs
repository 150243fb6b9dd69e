//! df, reclaim

use machine_app::{App, DiskUsage, MachineUse, ReclaimPlan, Reclaimed};
use machine_core::{MachineName, Result};

use crate::arguments::{Df, Reclaim};
use crate::confirm::confirmed;
use crate::outcome::{Format, bytes, print_json};
use crate::progress::{Manner, plain};
use crate::table;

pub fn df(app: &App, arguments: &Df) -> Result<i32> {
    let usage = crate::block_on(app.disk_usage(&parsed(&arguments.names)?))?;
    match arguments.format {
        Format::Json => print_json(&usage),
        Format::Text => println!("{}", text(&usage)),
    }
    Ok(0)
}

fn parsed(names: &[String]) -> Result<Vec<MachineName>> {
    names.iter().map(|name| name.parse()).collect()
}

fn text(usage: &DiskUsage) -> String {
    let mut rows = Vec::new();
    let mut row = |what: String, size: u64, note: String| rows.push(vec![what, bytes(size), note]);
    for machine in &usage.machines {
        row(format!("machine {}", machine.name), machine.bytes, inside(machine));
        for disk in &machine.disks {
            let most = disk.virtual_bytes.map(|size| format!("of at most {}", bytes(size))).unwrap_or_default();
            row(format!("  {}", disk.file), disk.bytes, most);
        }
    }
    for image in &usage.images {
        let note = match (image.machines.as_slice(), image.current) {
            ([], true) => String::new(),
            ([], false) => "unused".to_owned(),
            (machines, _) => format!("used by {}", machines.join(", ")),
        };
        row(format!("image {}", image.reference), image.bytes, note);
    }
    for state in &usage.warm {
        let last = state.used.strftime("%Y-%m-%d");
        row(format!("warm state {}", state.title), state.bytes, format!("last used {last}"));
    }
    row("everything else".to_owned(), usage.other, String::new());
    let free = usage.free.map(|free| format!("{} free on its volume", bytes(free))).unwrap_or_default();
    row(format!("all in {}", usage.store.display()), usage.total, free);
    table::layout(&["WHAT", "TAKES", ""], &rows)
}

/// What a running machine says of its inside, in one line.
fn inside(machine: &MachineUse) -> String {
    let Some(inside) = &machine.inside else { return String::new() };
    let docker: Vec<String> = inside
        .docker
        .iter()
        .filter_map(|line| {
            let (kind, size) = (line["Type"].as_str()?, line["Size"].as_str()?);
            (size != "0B").then(|| format!("{} {size}", kind.to_lowercase()))
        })
        .collect();
    let held = format!("holds {} inside", bytes(inside.used));
    if docker.is_empty() { held } else { plain(&format!("{held}: {}", docker.join(", "))) }
}

pub fn reclaim(app: &App, arguments: &Reclaim, manner: Manner) -> Result<i32> {
    let plan = crate::block_on(app.reclaim_plan(&parsed(&arguments.names)?))?;
    for line in &plan.left {
        eprintln!("{line}");
    }
    if arguments.dry_run {
        match arguments.format {
            Format::Json => print_json(&plan),
            Format::Text => println!("{}", planned(&plan, arguments.prune)),
        }
        return Ok(0);
    }
    if !plan.is_empty() && !arguments.yes {
        eprintln!("{}", planned(&plan, arguments.prune));
        if !confirmed("Do it?", "nothing was freed", "--yes")? {
            return Ok(0);
        }
    }
    let shown = manner.begin(None);
    let result = crate::block_on(app.reclaim(&plan, arguments.prune, &shown.reporter));
    shown.finish(&result);
    let done = result?;
    match arguments.format {
        Format::Json => print_json(&done),
        Format::Text => outcome(&done).iter().for_each(|line| shown.say(line)),
    }
    Ok(i32::from(!done.failed.is_empty() || !plan.left.is_empty()))
}

fn planned(plan: &ReclaimPlan, prune: bool) -> String {
    let mut lines = Vec::new();
    for image in &plan.images {
        lines.push(format!("remove image {}: {}", image.reference, bytes(image.bytes)));
    }
    for state in &plan.warm {
        lines.push(format!("remove the warm state of {}: {}", state.title, bytes(state.bytes)));
    }
    for machine in &plan.machines {
        if prune {
            lines.push(format!(
                "on {}: remove stopped containers, unused networks, images without a name, build caches (volumes stay)",
                machine.name
            ));
        }
        let held = machine.inside.as_ref().map(|inside| format!(", {} of it held inside", bytes(inside.used)));
        lines.push(format!(
            "trim the disks of {}: they take {}{}",
            machine.name,
            bytes(machine.bytes),
            held.unwrap_or_default()
        ));
    }
    if lines.is_empty() { "Nothing could be given back.".to_owned() } else { lines.join("\n") }
}

fn outcome(done: &Reclaimed) -> Vec<String> {
    let mut lines = Vec::new();
    if done.removed > 0 {
        lines.push(format!("Removed {}", bytes(done.removed)));
    }
    for machine in &done.machines {
        let pruned = machine.pruned.map(|freed| format!(" (its engine removed {})", bytes(freed)));
        lines.push(format!(
            "{}: its disks took {}, and take {} now{}",
            machine.name,
            bytes(machine.before),
            bytes(machine.after),
            pruned.unwrap_or_default()
        ));
    }
    if lines.is_empty() {
        lines.push("Nothing could be given back.".to_owned());
    }
    lines
}
