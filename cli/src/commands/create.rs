//! create

use std::time::Duration;

use machine_app::{App, CreateRequest};
use machine_core::{Code, EngineSpec, Error, MachineSpec, Result};
use serde_json::{Map, json};

use crate::arguments::Create;
use crate::progress::{Manner, took};

pub fn run(app: &App, create: Create, manner: Manner) -> Result<i32> {
    let name = create.name.parse()?;
    if create.cpus == Some(0) {
        return Err(
            Error::new(Code::Usage, "a machine needs at least one CPU").hint("leave --cpus out for a good choice")
        );
    }
    let mut options = Map::new();
    options.insert("accelerator".into(), json!(create.accelerator));
    if !create.qemu_arguments.is_empty() {
        options.insert("arguments".into(), json!(create.qemu_arguments));
    }
    if create.no_warm {
        options.insert("warm".into(), json!(false));
    }
    let environment = app.environment();
    let mut registry_mirrors = create.engine_registry_mirrors;
    if registry_mirrors.is_empty() {
        registry_mirrors.extend(environment.registry_mirror.clone());
    }
    let request = CreateRequest {
        name,
        driver: create.driver.or_else(|| environment.driver.clone()).unwrap_or_else(|| "qemu".to_owned()),
        wait: !create.no_wait,
        timeout: Duration::from_secs(create.timeout),
        spec: MachineSpec {
            // Zero means "not said": the driver fills it in.
            cpus: create.cpus.unwrap_or(0),
            memory_mib: create.memory.unwrap_or(0),
            disk_mib: create.disk.unwrap_or(0),
            image: create.image,
            ssh_user: create.ssh_user,
            tls_san: create.tls_san,
            engine: EngineSpec {
                options: create.engine_options,
                labels: create.engine_labels,
                insecure_registries: create.engine_insecure_registries,
                registry_mirrors,
                storage_driver: create.engine_storage_driver,
                env: create.engine_environment.into_iter().collect(),
            },
            options,
        },
    };
    let shown = manner.begin(Some(request.name.as_str()));
    let result = crate::block_on(app.create(request.clone(), &shown.reporter));
    shown.finish(&result);
    let created = result.map_err(|error| {
        if error.code() == Code::Interrupted {
            let name = &request.name;
            error.hint(format!(
                "`machine create {name}` carries on or begins anew, `machine rm {name}` removes what was made"
            ))
        } else {
            error
        }
    })?;
    let name = created.name;
    match created.engine_version {
        Some(version) => shown.say(&format!("Docker is up and running! (engine {version}, {})", took(shown.elapsed()))),
        None => shown.say(&format!("Machine \"{name}\" is booting; `machine start {name}` waits for its engine.")),
    }
    shown.say(&format!(
        "To see how to connect your Docker Client to the Docker Engine running on this virtual machine, run: machine env {name}"
    ));
    Ok(0)
}
