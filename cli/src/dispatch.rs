//! From a parsed command to the one that runs it. Each returns the exit code.

use machine_app::App;
use machine_core::Result;

use crate::arguments::{Arguments, Command};
use crate::commands::{
    chosen, connection, create, doctor, ec2, image, list, logs, ports, power, provision, remove, share, ssh, supervise,
    sync, tunnel, user, version, workshop,
};
use crate::progress::Manner;

pub fn run(app: &App, arguments: Arguments) -> Result<i32> {
    let manner = Manner::of(&arguments.global);
    match arguments.command {
        Command::Active => connection::active(app),
        Command::Config(one) => connection::config(app, one.name.as_deref()),
        Command::Create(create) => create::run(app, *create, manner),
        Command::Doctor(doctor) => doctor::run(app, doctor.format),
        Command::Ec2 { command } => ec2::run(app, command, manner),
        Command::Env(env) => connection::env(app, &env),
        Command::Extend(words) => workshop::extend(app, &words, manner),
        Command::Image { command } => image::run(app, command, manner),
        Command::Inspect(inspect) => list::inspect(app, &inspect),
        Command::Ip(some) => connection::ip(app, &some.names),
        Command::Kill(some) => power::kill(app, &some.names, manner),
        Command::Logs(logs) => logs::run(app, &logs),
        Command::Ls(ls) if arguments.global.quiet => list::names(app, &ls),
        Command::Ls(ls) => list::run(app, &ls),
        Command::Pause(some) => power::pause(app, &some.names, manner),
        Command::Ports(ports) => ports::run(app, &ports),
        Command::Provision(provision) => provision::run(app, &provision, manner),
        Command::RegenerateCerts(certs) => power::regenerate_certificates(app, &certs, manner),
        Command::Restart(power) => power::restart(app, &power, manner),
        Command::Resume(some) => power::resume(app, &some.names, manner),
        Command::Rm(rm) => remove::run(app, &rm, manner),
        Command::Set(set) => provision::set(app, *set, manner),
        Command::Share { command } => share::run(app, command, manner),
        Command::Ssh(ssh) => ssh::run(app, ssh.words),
        Command::Start(power) => power::start(app, &power, manner),
        Command::Status(one) => list::status(app, one.name.as_deref()),
        Command::Stop(stop) => power::stop(app, &stop, manner),
        Command::Suspend(some) => power::suspend(app, &some.names, manner),
        Command::Sync(words) => sync::run(app, words, manner),
        Command::Tunnel(one) => tunnel::run(app, &one, manner),
        Command::Upgrade(some) => provision::upgrade(app, &some.names, manner),
        Command::Url(one) => connection::url(app, one.name.as_deref()),
        Command::Use(words) => chosen::run(app, &words, manner),
        Command::User { command } => user::run(app, command, manner),
        Command::Version(version) => version::run(app, &version),
        Command::Workshop { command } => workshop::run(app, command, manner),
        Command::Completions { shell } => version::completions(shell),
        Command::Supervise { name, adopt } => supervise::run(app, &name, adopt),
    }
}
