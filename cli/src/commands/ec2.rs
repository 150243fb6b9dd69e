//! ec2 orphans, policy.

use machine_app::{App, OrphanSearch, ec2_driver};
use machine_core::Result;

use crate::arguments::{Ec2, Orphans};
use crate::confirm::confirmed;
use crate::outcome::{Format, print_json};
use crate::progress::Manner;
use crate::{exit_code, print_error, table};

pub fn run(app: &App, command: Ec2, manner: Manner) -> Result<i32> {
    match command {
        Ec2::Orphans(orphans) => run_orphans(app, orphans, manner),
        Ec2::Policy => {
            print_json(&ec2_driver::policy());
            Ok(0)
        }
    }
}

fn run_orphans(app: &App, words: Orphans, manner: Manner) -> Result<i32> {
    let search = OrphanSearch {
        regions: words.regions,
        all_regions: words.all_regions,
        store: words.store,
        profile: words.profile,
        endpoint: words.endpoint,
        insecure_transport: words.insecure_transport,
    };
    let shown = manner.begin(None);
    let result = crate::block_on(app.orphans(&search, &shown.reporter));
    shown.finish(&result);
    let all = result?;
    match words.format {
        Format::Json => print_json(&all.found),
        Format::Text if all.found.is_empty() => {
            shown.say(&format!("Nothing is left behind in {}.", all.regions.join(", ")));
        }
        Format::Text => {
            let row = |orphan: &ec2_driver::Orphan| {
                let running = if orphan.running { "Running" } else { "-" };
                vec![orphan.machine.clone(), orphan.region.clone(), running.to_owned(), orphan.parts.join(" ")]
            };
            let rows: Vec<_> = all.found.iter().map(row).collect();
            println!("{}", table::layout(&["MACHINE", "REGION", "STATE", "WHAT"], &rows));
        }
    }
    for (store, count) in &all.of_others {
        shown.say(&format!("Another store has things of {count} machine(s) there: `--store {store}` shows them."));
    }
    if !words.remove || all.found.is_empty() {
        return Ok(0);
    }
    let question = format!("Remove all of this, with the data of {} machine(s)?", all.found.len());
    if !words.yes && !confirmed(&question, "nothing was removed", "-y")? {
        return Ok(0);
    }
    let mut code = 0;
    for orphan in &all.found {
        let shown = manner.begin(Some(&orphan.machine));
        let result = crate::block_on(app.remove_orphan(orphan, &search, &shown.reporter));
        shown.finish(&result);
        match result {
            Ok(()) => shown.say(&format!("Successfully removed what was left of {}", orphan.machine)),
            Err(error) if error.code() == machine_core::Code::Interrupted => return Err(error),
            Err(error) => {
                print_error(&error);
                code = exit_code(&error);
            }
        }
    }
    Ok(code)
}
