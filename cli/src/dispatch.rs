//! From a parsed command to the one that runs it. Each returns the exit code.

use machine_app::App;
use machine_core::Result;

use crate::arguments::{Arguments, Command};
use crate::commands::{
    chosen, connection, create, disk_usage, docker, doctor, ec2, help, image, import_docker_machine, list, logs, mount,
    moving, ports, power, provision, remove, rename, scp, share, shell_init, ssh, ssh_config, supervise,
    support_bundle, sync, tunnel, user, version,
};
use crate::progress::Manner;

pub fn run(app: &App, arguments: Arguments) -> Result<i32> {
    let manner = Manner::of(&arguments.global);
    let shown = manner.begin(None);
    arguments.global.foreign.warnings().into_iter().for_each(|warning| shown.reporter.warn(warning));
    match arguments.command {
        Command::Active { .. } => connection::active(app),
        Command::Config(words) => connection::config(app, &words),
        Command::Create(create) => create::run(app, *create, manner),
        Command::Df(df) => disk_usage::df(app, &df),
        Command::Docker(words) => docker::run(app, words),
        Command::Doctor(doctor) => doctor::run(app, doctor.format),
        Command::Ec2 { command } => ec2::run(app, command, manner),
        Command::Env(env) => connection::env(app, &env),
        Command::Help { words } => help::run(&words),
        Command::Manual { folder } => help::write_manual(&folder),
        Command::Export(words) => moving::export(app, &words, manner),
        Command::Image { command } => image::run(app, command, manner),
        Command::Import(words) => moving::import(app, &words, manner),
        Command::ImportDockerMachine(words) => import_docker_machine::run(app, &words, manner),
        Command::Inspect(inspect) => list::inspect(app, &inspect),
        Command::Ip(some) => connection::ip(app, &some.names),
        Command::Kill(some) => power::kill(app, &some.names, manner),
        Command::Logs(logs) => logs::run(app, &logs),
        Command::Ls(ls) if arguments.global.quiet => list::names(app, &ls),
        Command::Ls(ls) => list::run(app, &ls),
        Command::Mount(words) => mount::run(app, words, manner),
        Command::Pause(some) => power::pause(app, &some.names, manner),
        Command::Ports(ports) => ports::run(app, &ports),
        Command::Provision(provision) => provision::run(app, &provision, manner),
        Command::Reclaim(reclaim) => disk_usage::reclaim(app, &reclaim, manner),
        Command::RegenerateCerts(certs) => power::regenerate_certificates(app, &certs, manner),
        Command::Rename(words) => rename::run(app, &words, manner),
        Command::Restart(power) => power::restart(app, &power, manner),
        Command::Resume(some) => power::resume(app, &some.names, manner),
        Command::Rm(rm) => remove::run(app, &rm, manner),
        Command::Scp(words) => scp::run(app, words, arguments.global.quiet, manner),
        Command::Set(set) => provision::set(app, *set, manner),
        Command::Share { command } => share::run(app, command, manner),
        Command::ShellInit(init) => shell_init::run(app, &init),
        Command::Ssh(ssh) => ssh::run(app, ssh.words),
        Command::SshConfig(words) => ssh_config::run(app, &words, manner),
        Command::Start(power) => power::start(app, &power, manner),
        Command::Status(one) => list::status(app, one.name.as_deref()),
        Command::Stop(stop) => power::stop(app, &stop, manner),
        Command::SupportBundle(words) => support_bundle::run(app, &words),
        Command::Suspend(some) => power::suspend(app, &some.names, manner),
        Command::Sync(words) => sync::run(app, words, manner),
        Command::Tunnel(one) => tunnel::run(app, &one, manner),
        Command::Upgrade(some) => provision::upgrade(app, &some.names, manner),
        Command::Url(one) => connection::url(app, one.name.as_deref()),
        Command::Use(words) => chosen::run(app, &words, manner),
        Command::User { command } => user::run(app, command, manner),
        Command::Version(version) => version::run(app, &version),
        Command::Completion { shell } => version::completion(shell),
        Command::Complete(asked) => version::complete(asked),
        Command::Supervise { name, adopt } => supervise::run(app, &name, adopt),
    }
}
