//! provision, upgrade, set.

use std::time::Duration;

use machine_app::engine::{Outcome, StepState};
use machine_app::{App, EngineChanges, SizeChanges, Upgraded};
use machine_core::{Code, Error, Result};

use super::create::registry_authorities;
use super::power::each;
use super::several;
use crate::arguments::{Provision, Set};
use crate::progress::Manner;

pub fn run(app: &App, provision: &Provision, manner: Manner) -> Result<i32> {
    if provision.plan {
        return plan(app, provision, manner);
    }
    let limit = Duration::from_secs(provision.timeout);
    each(app, &provision.names, manner, move |app, name, shown| async move {
        let result = app.provision(&name, limit, &shown.reporter).await;
        shown.finish(&result);
        match result? {
            Some(outcome) if !outcome.changes() => {
                shown.say(&format!("Machine \"{name}\" was as it should be: nothing was changed."));
            }
            _ => shown.say(&format!("Machine \"{name}\" was provisioned.")),
        }
        Ok(())
    })
}

fn plan(app: &App, provision: &Provision, manner: Manner) -> Result<i32> {
    for name in several::names(app, &provision.names)? {
        let shown = manner.begin(Some(name.as_str()));
        let result = crate::block_on(app.provision_plan(&name, &shown.reporter));
        shown.finish(&result);
        println!("{}", text(&result?, manner.is_verbose()));
    }
    Ok(0)
}

/// A line for each step; all of it when everything shall be shown.
fn text(outcome: &Outcome, verbose: bool) -> String {
    let mut lines = vec![outcome.distribution.clone()];
    for (step, state) in &outcome.steps {
        let mark = if *state == StepState::Satisfied { "done " } else { "to do" };
        lines.push(format!("{mark}   {:<15} {}", step.id, step.title));
        if verbose {
            lines.push(step.to_string().trim_end().to_owned());
        }
    }
    lines.join("\n")
}

pub fn upgrade(app: &App, names: &[String], manner: Manner) -> Result<i32> {
    each(app, names, manner, move |app, name, shown| async move {
        let result = app.upgrade(&name, &shown.reporter).await;
        shown.finish(&result);
        match result? {
            Upgraded::Engine => shown.say(&format!("Machine \"{name}\" has the newest engine of its package source.")),
            Upgraded::Image(image) => shown.say(&format!("Machine \"{name}\" has the system of {image}.")),
            Upgraded::Newest(image) => shown.say(&format!(
                "Machine \"{name}\" is made from the newest image here, {image}; `machine image build` builds a newer one."
            )),
        }
        Ok(())
    })
}

pub fn set(app: &App, set: Set, manner: Manner) -> Result<i32> {
    let name = app.resolve(set.name.as_deref())?;
    let said = set.engine;
    let list = |said: Vec<String>| Some(said).filter(|said| !said.is_empty());
    let authorities = said
        .engine_authorities
        .iter()
        .map(|path| if path.as_os_str().is_empty() { Ok(String::new()) } else { App::authority(path) })
        .collect::<Result<Vec<_>>>()?;
    let changes = EngineChanges {
        proxy_from_host: said.engine_proxy_from_host,
        options: list(said.engine_options),
        labels: list(said.engine_labels),
        insecure_registries: list(said.engine_insecure_registries),
        registry_mirrors: list(said.engine_registry_mirrors),
        storage_driver: said.engine_storage_driver,
        env: Some(said.engine_environment).filter(|said| !said.is_empty()),
        address_pools: list(said.engine_address_pools),
        users: list(said.docker_users),
        authorities: list(authorities),
        registry_authorities: Some(registry_authorities(said.engine_registry_authorities)?)
            .filter(|said| !said.is_empty()),
    };
    let size = SizeChanges { cpus: set.cpus, memory_mib: set.memory, disk_mib: set.disk };
    if changes.is_empty() && size.is_empty() && set.publish.is_none() {
        return Err(Error::new(Code::Usage, "nothing to set was named")
            .hint("such as `--memory 4g` or `--engine-registry-mirror URL`; `machine set --help` shows all"));
    }
    if size.cpus == Some(0) {
        return Err(Error::new(Code::Usage, "a machine needs at least one CPU"));
    }
    let shown = manner.begin(Some(name.as_str()));
    let work = async {
        // What may be refused comes first.
        if !size.is_empty() {
            app.set_size(&name, size, &shown.reporter).await?;
            shown.say(&format!("Machine \"{name}\" has its new size from its next start on."));
        }
        if let Some(publish) = set.publish {
            let now = app.set_publish(&name, publish.into(), &shown.reporter).await?;
            let when = if now { "now" } else { "from its next start on" };
            shown.say(&format!("Ports of \"{name}\" are published there {when}."));
        }
        if !changes.is_empty() {
            let now = app.set_engine(&name, changes, &shown.reporter).await?;
            let when = if now { "has its new settings" } else { "gets its new settings at the next start" };
            shown.say(&format!("The engine of \"{name}\" {when}."));
        }
        Ok(())
    };
    let result = crate::block_on(work);
    shown.finish(&result);
    result?;
    Ok(0)
}
