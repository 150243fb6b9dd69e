//! workshop create, retry, ls, status, exec, extend, handout, rm; extend.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use machine_app::ssh::command_line;
use machine_app::{App, HandoutWords, LoginBy, WorkshopReport, WorkshopWords};
use machine_core::{Code, Error, MachineName, Result};

use crate::arguments::{
    Extend, Login, Workshop, WorkshopCreate, WorkshopExec, WorkshopExtend, WorkshopHandout, WorkshopRetry,
    WorkshopStatus,
};
use crate::commands::create::words;
use crate::commands::workshop_tables as tables;
use crate::confirm::confirmed;
use crate::outcome::{Format, print_json};
use crate::progress::{Manner, Shown, took};
use crate::{exit_code, print_error};

pub fn run(app: &App, command: Workshop, manner: Manner) -> Result<i32> {
    match command {
        Workshop::Create(create) => make(app, *create, manner),
        Workshop::Exec(exec) => execute(app, &exec),
        Workshop::Extend(extend) => put_off(app, &extend, manner),
        Workshop::Handout(handout) => hand_out(app, handout, manner),
        Workshop::Ls { format } => {
            let rows = app.workshops()?;
            match format {
                Format::Json => print_json(&rows),
                Format::Text => println!("{}", tables::workshops(&rows)),
            }
            Ok(0)
        }
        Workshop::Retry(retry) => fill(app, &retry, manner),
        Workshop::Rm { names, yes } => remove(app, &names, yes, manner),
        Workshop::Status(status) => look(app, &status),
    }
}

fn make(app: &App, create: WorkshopCreate, manner: Manner) -> Result<i32> {
    let hosts = words(create.hosts)?;
    if !hosts.wait {
        return Err(Error::new(Code::Usage, "a workshop is ready when its hosts are: leave --no-wait out"));
    }
    let name = hosts.name.clone();
    let words = WorkshopWords {
        hosts,
        count: create.count,
        roster: create.roster,
        login: match create.login {
            Login::Key => LoginBy::Key,
            Login::Password => LoginBy::Password,
        },
        pulls: create.pulls,
        puts: create.puts,
        open_ports: create.open_ports,
        jobs: create.jobs,
    };
    let shown = manner.begin(None);
    let result = crate::block_on(app.create_workshop(words, &shown.reporter));
    shown.finish(&result);
    told(&shown, &name, result)
}

fn fill(app: &App, retry: &WorkshopRetry, manner: Manner) -> Result<i32> {
    let name: MachineName = retry.name.parse()?;
    let shown = manner.begin(None);
    let result = crate::block_on(app.retry_workshop(&name, retry.jobs, &shown.reporter));
    shown.finish(&result);
    told(&shown, &name, result)
}

/// Says how a workshop stands.
fn told(shown: &Shown, name: &MachineName, result: Result<WorkshopReport>) -> Result<i32> {
    let report = result.map_err(|error| match error.code() {
        Code::Interrupted => error.hint(format!(
            "`machine workshop retry {name}` carries on, `machine workshop rm {name}` removes what was made"
        )),
        _ => error,
    })?;
    for (host, error) in &report.failed {
        print_error(&Error::other(format!("{host} is not ready: {error}")));
    }
    if let Some(error) = &report.shortage {
        print_error(error);
    }
    if report.missing > 0 {
        shown.say(&format!("There is room for {} of {} hosts.", report.asked - report.missing, report.asked));
    }
    let time = took(shown.elapsed());
    shown.say(&format!("{} of {} hosts of {name} are ready ({time}).", report.ready.len(), report.asked));
    if report.is_complete() {
        shown.say(&format!("To see how everybody gets there, run: machine workshop handout {name}"));
        return Ok(0);
    }
    shown.say(&format!("`machine workshop retry {name}` makes the rest, `machine workshop status {name}` shows all."));
    Ok(1)
}

fn execute(app: &App, exec: &WorkshopExec) -> Result<i32> {
    let name = exec.name.parse()?;
    let words = exec.words.strip_prefix(&["--".to_owned()]).unwrap_or(&exec.words);
    let command = command_line(words)
        .ok_or_else(|| Error::new(Code::Usage, "which command?").hint("machine workshop exec lab -- docker ps"))?;
    let gate = Mutex::new(());
    let sink = Arc::new(move |line: machine_app::ExecLine| {
        // One line at a time, whoever says it.
        let _one = gate.lock().unwrap_or_else(PoisonError::into_inner);
        match line.is_error {
            true => eprintln!("{}: {}", line.host, line.text),
            false => println!("{}: {}", line.host, line.text),
        }
    });
    let ends = crate::block_on(app.exec_workshop(&name, &command, exec.jobs, sink))?;
    let mut failed = Vec::new();
    for end in &ends {
        match &end.code {
            Ok(0) => {}
            Ok(code) => failed.push(format!("{} (exit code {code})", end.host)),
            Err(error) => failed.push(format!("{} ({error})", end.host)),
        }
    }
    match failed.as_slice() {
        [] => Ok(0),
        failed => {
            let done = ends.len() - failed.len();
            eprintln!("It succeeded on {done} of {} hosts. It failed on:\n  {}", ends.len(), failed.join("\n  "));
            Ok(1)
        }
    }
}

fn put_off(app: &App, extend: &WorkshopExtend, manner: Manner) -> Result<i32> {
    let name = extend.name.parse()?;
    let shown = manner.begin(None);
    let result = crate::block_on(app.extend_workshop(&name, extend.by, &shown.reporter));
    shown.finish(&result);
    let (ends, missed) = result?;
    shown.say(&format!("{name} ends at {}.", ends.strftime("%Y-%m-%d %H:%M UTC")));
    for (host, error) in &missed {
        print_error(&Error::other(format!("{host} ends when it would have: {error}")));
    }
    Ok(i32::from(!missed.is_empty()))
}

/// `extend`, for machines.
pub fn extend(app: &App, extend: &Extend, manner: Manner) -> Result<i32> {
    let names = super::several::names(app, &extend.names)?;
    let manner = if names.len() > 1 { manner.for_several() } else { manner };
    super::several::each(names, |name| {
        let app = app.clone();
        let by = extend.by;
        async move {
            let shown = manner.begin(Some(name.as_str()));
            let result = app.extend(&name, by, &shown.reporter).await;
            shown.finish(&result);
            shown.say(&format!("{name} ends at {}.", result?.strftime("%Y-%m-%d %H:%M UTC")));
            Ok(())
        }
    })
}

fn hand_out(app: &App, handout: WorkshopHandout, manner: Manner) -> Result<i32> {
    let name = handout.name.parse()?;
    let words = HandoutWords { folder: handout.dir, new_passwords: handout.new_passwords };
    let shown = manner.begin(None);
    let result = crate::block_on(app.hand_out(&name, &words, &shown.reporter));
    shown.finish(&result);
    let written = result?;
    shown.say(&format!("{} pages are in {}, and the list hosts.csv.", written.pages, written.folder.display()));
    shown.say("Whoever has a page is let in: hand each to its person, and remove the folder afterwards.");
    if !written.kept.is_empty() {
        let kept: Vec<String> = written.kept.iter().map(ToString::to_string).collect();
        shown.say(&format!(
            "Handed out already, and left as it is: {}. --new-passwords makes new ones.",
            kept.join(", ")
        ));
    }
    for (host, error) in &written.missed {
        print_error(&Error::other(format!("{host} has no page: {error}")));
    }
    Ok(i32::from(!written.missed.is_empty()))
}

fn remove(app: &App, names: &[String], yes: bool, manner: Manner) -> Result<i32> {
    let names: Vec<MachineName> = names.iter().map(|name| name.parse()).collect::<Result<_>>()?;
    // Every one must exist, or nothing is asked.
    let known = app.workshop_names()?;
    for name in names.iter().filter(|name| !known.contains(name)) {
        app.workshop(name)?;
    }
    if !yes {
        let question = format!("Remove {} with all hosts and everything in them?", names_of(&names));
        if !confirmed(&question, "nothing was removed", "-y")? {
            return Ok(0);
        }
    }
    let mut code = 0;
    for name in &names {
        let shown = manner.begin(None);
        let result = crate::block_on(app.remove_workshop(name, &shown.reporter));
        shown.finish(&result);
        match result {
            Ok(()) => shown.say(&format!("Successfully removed the workshop {name}")),
            Err(error) if error.code() == Code::Interrupted => return Err(error),
            Err(error) => {
                print_error(&error);
                code = exit_code(&error);
            }
        }
    }
    Ok(code)
}

fn names_of(names: &[MachineName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn look(app: &App, status: &WorkshopStatus) -> Result<i32> {
    let found = crate::block_on(app.workshop_status(&status.name.parse()?, Duration::from_secs(status.timeout)))?;
    match status.format {
        Format::Json => print_json(&found),
        Format::Text => println!("{}", tables::status(&found)),
    }
    Ok(0)
}
