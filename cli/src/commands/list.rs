//! ls, status, inspect.

use std::time::Duration;

use machine_app::{App, Filter, Row};
use machine_core::{Code, Error, Result};
use machine_template::{Missing, Template, TemplateError};
use serde_json::{Map, Value, json};

use crate::arguments::{Inspect, Ls};
use crate::go_duration::go_duration;
use crate::outcome::print_json;
use crate::table;

pub fn run(app: &App, ls: &Ls) -> Result<i32> {
    // Wrong words before any machine is asked.
    let form = Form::parse(&ls.format)?;
    let filter = Filter::parse(&ls.filters)?;
    let mut rows = crate::block_on(app.list(Duration::from_secs(ls.timeout)))?;
    rows.retain(|row| filter.takes(row));
    match form {
        Form::Json => print_json(&rows),
        Form::Text => println!("{}", text(&rows)),
        Form::Template { template, titles } => {
            let lines = rows.iter().map(|row| rendered(&template, &fields(row))).collect::<Result<Vec<_>>>()?;
            match titles {
                None => lines.iter().for_each(|line| println!("{line}")),
                Some(titles) => {
                    let cells = |line: &String| line.split('\t').map(str::to_owned).collect();
                    let titles: Vec<&str> = titles.split('\t').collect();
                    println!("{}", table::layout(&titles, &lines.iter().map(cells).collect::<Vec<_>>()));
                }
            }
        }
    }
    Ok(0)
}

/// `ls -q`: reads nothing but the store's folder, unless a filter asks for more.
pub fn names(app: &App, ls: &Ls) -> Result<i32> {
    let filter = Filter::parse(&ls.filters)?;
    let names: Vec<String> = if filter.is_about_names() {
        app.names()?.into_iter().filter(|name| filter.takes_name(name)).collect()
    } else {
        let rows = crate::block_on(app.list(Duration::from_secs(ls.timeout)))?;
        rows.into_iter().filter(|row| filter.takes(row)).map(|row| row.name).collect()
    };
    match Form::parse(&ls.format)? {
        Form::Json => print_json(&names),
        Form::Text | Form::Template { .. } => names.iter().for_each(|name| println!("{name}")),
    }
    Ok(0)
}

/// How `ls` prints.
enum Form {
    Text,
    Json,
    Template { template: Template, titles: Option<String> },
}

impl Form {
    fn parse(words: &str) -> Result<Self> {
        match words {
            "text" => return Ok(Self::Text),
            "json" => return Ok(Self::Json),
            _ => {}
        }
        // As docker-machine has it: a shell leaves them as they are typed.
        let words = words.replace("\\t", "\t").replace("\\n", "\n");
        let (is_table, words) = match words.strip_prefix("table") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, words.as_str()),
        };
        let template = Template::parse(words).map_err(wrong)?;
        let titles = is_table.then(|| rendered(&template, &titles())).transpose()?;
        Ok(Self::Template { template, titles })
    }
}

fn wrong(error: TemplateError) -> Error {
    Error::new(Code::Usage, "template parsing error")
        .because(error)
        .hint("such as '{{.Name}}'; the user guide lists fields and functions under \"Templates and filters\"")
}

fn rendered(template: &Template, value: &Value) -> Result<String> {
    template.render(value, Missing::Error).map_err(wrong)
}

/// The fields of `ls`, by docker-machine's names.
fn fields(row: &Row) -> Value {
    let version = row.docker_version.clone();
    json!({
        "Name": row.name,
        "Active": if row.active { "*" } else { "-" },
        "ActiveHost": row.active,
        "ActiveSwarm": false,
        "DriverName": row.driver.as_deref().unwrap_or("not found"),
        "State": row.state,
        "URL": row.url.clone().unwrap_or_default(),
        "Swarm": "",
        "DockerVersion": version.unwrap_or_else(|| if row.url.is_some() { "Unknown" } else { "" }.to_owned()),
        "Error": row.error.clone().unwrap_or_default(),
        "ResponseTime": go_duration(row.response_time),
        "EngineOptions": { "Labels": row.labels },
    })
}

/// What stands above them.
fn titles() -> Value {
    let titles = [
        ("Name", "NAME"),
        ("Active", "ACTIVE"),
        ("ActiveHost", "ACTIVE_HOST"),
        ("ActiveSwarm", "ACTIVE_SWARM"),
        ("DriverName", "DRIVER"),
        ("State", "STATE"),
        ("URL", "URL"),
        ("Swarm", "SWARM"),
        ("DockerVersion", "DOCKER"),
        ("Error", "ERRORS"),
        ("ResponseTime", "RESPONSE"),
    ];
    let mut titles: Map<String, Value> =
        titles.into_iter().map(|(name, title)| (name.to_owned(), title.into())).collect();
    titles.insert("EngineOptions".to_owned(), json!({ "Labels": "LABELS" }));
    Value::Object(titles)
}

pub fn status(app: &App, name: Option<&str>) -> Result<i32> {
    let seen = crate::block_on(app.status(&app.resolve(name)?))?;
    println!("{}", seen.state.name());
    if let machine_core::MachineState::Broken(reason) | machine_core::MachineState::Unknown(reason) = &seen.state {
        eprintln!("{reason}");
    }
    for warning in &seen.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(0)
}

pub fn inspect(app: &App, inspect: &Inspect) -> Result<i32> {
    let template = inspect.format.as_deref().map(Template::parse).transpose().map_err(wrong)?;
    let found = crate::block_on(app.inspect(&app.resolve(inspect.name.as_deref())?))?;
    match template {
        None => print_json(&found),
        Some(template) => {
            let value =
                serde_json::to_value(&found).map_err(|error| Error::other("cannot write it as JSON").because(error))?;
            println!("{}", template.render(&value, Missing::NoValue).map_err(wrong)?);
        }
    }
    Ok(0)
}

/// docker-machine's columns; SWARM is kept for scripts that count them, and always empty.
fn text(rows: &[Row]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.name.clone(),
                if row.active { "*" } else { "-" }.to_owned(),
                row.driver.clone().unwrap_or_else(|| "not found".to_owned()),
                row.state.clone(),
                row.url.clone().unwrap_or_default(),
                String::new(),
                row.docker_version.clone().unwrap_or_else(|| if row.url.is_some() { "Unknown" } else { "" }.to_owned()),
                // One row a machine, whatever a console's last lines looked like.
                row.error.as_deref().unwrap_or_default().lines().next().unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    table::layout(&["NAME", "ACTIVE", "DRIVER", "STATE", "URL", "SWARM", "DOCKER", "ERRORS"], &cells)
}
