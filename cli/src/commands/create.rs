//! create

use std::time::Duration;

use machine_app::{App, CreateRequest, CreateWords, DriverWords};
use machine_core::{Code, EngineSource, EngineSpec, Error, Result, ShareType};

use crate::arguments::{self, Create, EngineSettings, ShareBy};
use crate::confirm::confirmed;
use crate::progress::{Manner, took};

pub fn run(app: &App, create: Create, manner: Manner) -> Result<i32> {
    if create.cpus == Some(0) {
        return Err(
            Error::new(Code::Usage, "a machine needs at least one CPU").hint("leave --cpus out for a good choice")
        );
    }
    if let Some(warning) = create.swarm.warning() {
        manner.begin(None).reporter.warn(warning);
    }
    let mut request = app.create_request(words(create)?)?;
    if let Some(host) = crate::block_on(app.unconfirmed_host(&request))? {
        // ssh(1)'s words.
        eprintln!("The authenticity of host {:?} can't be established.", host.host);
        eprintln!("{} key fingerprint is {}.", host.key.algorithm(), host.key.fingerprint());
        let flag = format!("--generic-host-key '{}', once you know that this is its key,", host.key);
        if !confirmed("Adopt it, and trust this key and no other from now on?", "nothing was made", &flag)? {
            return Ok(0);
        }
        request = request.trusting(&host);
    }
    make(app, &request, manner)
}

fn make(app: &App, request: &CreateRequest, manner: Manner) -> Result<i32> {
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
        None if !created.booting => {}
        None => shown.say(&format!("Machine \"{name}\" is booting; `machine start {name}` waits for its engine.")),
    }
    shown.say(&format!(
        "To see how to connect your Docker Client to the Docker Engine running on this virtual machine, run: machine env {name}"
    ));
    Ok(0)
}

fn words(create: Create) -> Result<CreateWords> {
    let source = create.engine_source.map(|source| match source {
        arguments::EngineSource::Docker => EngineSource::Docker,
        arguments::EngineSource::Distro => EngineSource::Distro,
    });
    let proxy_from_host = create.engine.engine_proxy_from_host;
    Ok(CreateWords {
        proxy_from_host,
        name: create.name.parse()?,
        driver: create.driver,
        // Zero means "not said": the driver fills it in.
        cpus: create.cpus.unwrap_or(0),
        memory_mib: create.memory.unwrap_or(0),
        disk_mib: create.disk.unwrap_or(0),
        image: create.image,
        tls_san: create.tls_san,
        publish: create.publish.into(),
        shares: create.shares,
        share_type: match create.share_type {
            ShareBy::Auto => ShareType::Auto,
            ShareBy::Sftp => ShareType::Sftp,
            ShareBy::NineP => ShareType::NineP,
            ShareBy::Virtiofs => ShareType::Virtiofs,
        },
        engine: EngineSpec {
            source,
            version: create.engine_version,
            install_url: create.engine_install_url,
            ..engine(create.engine)?
        },
        to_driver: DriverWords {
            accelerator: create.accelerator,
            qemu_arguments: create.qemu_arguments,
            no_warm: create.no_warm,
            no_host_access: create.no_host_access,
            generic_ip_address: create.generic_ip_address,
            generic_ssh_port: create.generic_ssh_port,
            generic_ssh_user: create.generic_ssh_user,
            generic_ssh_key: create.generic_ssh_key,
            generic_engine_port: create.generic_engine_port,
            generic_host_key: create.generic_host_key,
            url: create.url,
            tls_files: create
                .tls_ca_cert
                .zip(create.tls_client_cert)
                .zip(create.tls_client_key)
                .map(|((a, b), c)| [a, b, c]),
            ssh_user: create.ssh_user,
            ec2: Box::new(create.ec2.words()),
        },
        wait: !create.no_wait,
        timeout: Duration::from_secs(create.timeout),
    })
}

/// The settings that the flags name, with the files that they name read.
fn engine(said: EngineSettings) -> Result<EngineSpec> {
    Ok(EngineSpec {
        options: said.engine_options,
        labels: said.engine_labels,
        insecure_registries: said.engine_insecure_registries,
        registry_mirrors: said.engine_registry_mirrors,
        storage_driver: said.engine_storage_driver,
        env: said.engine_environment.into_iter().collect(),
        address_pools: said.engine_address_pools,
        users: said.docker_users,
        authorities: said.engine_authorities.iter().map(|path| App::authority(path)).collect::<Result<_>>()?,
        registry_authorities: registry_authorities(said.engine_registry_authorities)?.into_iter().collect(),
        ..EngineSpec::default()
    })
}

/// Reads the files of `HOST=FILE`; an empty one stays so.
pub fn registry_authorities(said: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
    let read = |(host, file): (String, String)| match host.is_empty() && file.is_empty() {
        true => Ok((host, file)),
        false => App::authority(file.as_ref()).map(|pem| (host, pem)),
    };
    said.into_iter().map(read).collect()
}
