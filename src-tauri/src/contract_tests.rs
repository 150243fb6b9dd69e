//! What goes over to the window, in every form that it has, written as TypeScript: the compiler there refuses a field too many,
//! one too few, or one of another type.

use std::path::Path;
use std::time::Duration;

use machine_app::{
    Action, Card, Check, Container, ContainerAction, ContainerVerb, LogKind, Outcome, PortRow, PortState, Range, Row,
    Share, SizeBounds, Source, Told, Verb,
};
use machine_core::{Event, EventKind, Level, MachineName, Protocol, Stage};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::session::News;

fn cards() -> Vec<Card> {
    let row = |name: &str, text: Option<&str>| Row {
        name: name.to_owned(),
        active: text.is_some(),
        driver: text.map(str::to_owned),
        state: "Running".to_owned(),
        url: text.map(str::to_owned),
        docker_version: text.map(str::to_owned),
        cpus: 2,
        memory_mib: 2048,
        disk_mib: 20480,
        error: text.map(str::to_owned),
        warnings: text.into_iter().map(str::to_owned).collect(),
        labels: Vec::new(),
    };
    let can = vec![
        Verb::Start,
        Verb::Stop,
        Verb::Restart,
        Verb::Pause,
        Verb::Resume,
        Verb::Suspend,
        Verb::Kill,
        Verb::Remove,
    ];
    let share = Share { cpu_percent: Some(1), memory_mib: Some(1), disk_mib: 1 };
    let off = Share { cpu_percent: None, memory_mib: None, disk_mib: 1 };
    vec![
        Card { row: row("off", None), can: Vec::new(), unreadable: false, env_line: None, usage: Some(off) },
        Card {
            row: row("all", Some("text")),
            can,
            unreadable: false,
            env_line: Some("text".to_owned()),
            usage: Some(share),
        },
        Card { row: row("none", None), can: Vec::new(), unreadable: true, env_line: None, usage: None },
    ]
}

fn events() -> Vec<Event> {
    let message = |level| EventKind::Message { level, text: "text".to_owned() };
    let kinds = [
        EventKind::Stage(Stage { id: "boot", title: "Booting".to_owned() }),
        EventKind::Progress { done: 1, total: Some(2), unit: "bytes" },
        EventKind::Progress { done: 1, total: None, unit: "packages" },
        message(Level::Detail),
        message(Level::Info),
        message(Level::Warning),
        EventKind::Checkpoint { name: "created" },
    ];
    let event = |kind| Event { machine: Some("dev".to_owned()), elapsed: Duration::from_millis(1), kind };
    kinds.into_iter().map(event).collect()
}

fn actions() -> Vec<Action> {
    let name = || "dev".parse::<MachineName>().unwrap();
    vec![
        Action::Create { name: name(), cpus: None, memory_mib: None, disk_mib: None },
        Action::Create { name: name(), cpus: Some(2), memory_mib: Some(2048), disk_mib: Some(20480) },
        Action::Start { name: name() },
        Action::Stop { name: name() },
        Action::Restart { name: name() },
        Action::Pause { name: name() },
        Action::Resume { name: name() },
        Action::Suspend { name: name() },
        Action::Kill { name: name() },
        Action::Remove { name: name(), force: true },
    ]
}

fn sources() -> Vec<Source> {
    let machine = || "dev".parse::<MachineName>().unwrap();
    let id = "0123456789ab".parse().unwrap();
    let mut sources = vec![
        Source::Containers { machine: machine() },
        Source::Ports { machine: machine() },
        Source::ContainerLog { machine: machine(), id },
    ];
    for kind in [LogKind::Serial, LogKind::Supervisor, LogKind::Qemu, LogKind::Events] {
        sources.push(Source::MachineLog { machine: machine(), kind });
    }
    sources
}

fn ports() -> Vec<PortRow> {
    let address = "127.0.0.1:80".parse().unwrap();
    let states = [
        PortState::Open { addresses: vec![address] },
        PortState::Opening,
        PortState::Taken { address, holder: Some("text".to_owned()) },
        PortState::Taken { address, holder: None },
        PortState::Refused { reason: "text".to_owned() },
    ];
    let row =
        |state| PortRow { protocol: Protocol::Tcp, port: 80, container: "web".to_owned(), container_port: 80, state };
    states.map(row).to_vec()
}

fn container_action(verb: ContainerVerb) -> ContainerAction {
    ContainerAction { machine: "dev".parse().unwrap(), id: "0123456789ab".parse().unwrap(), verb }
}

fn contract() -> Value {
    let failure = || Failure { message: "text".to_owned(), hints: vec!["text".to_owned()], cancelled: false };
    let news = [
        News::Machines { machines: cards() },
        News::Trouble { failure: failure() },
        News::Closing { working: vec!["dev".to_owned()] },
    ];
    let check = |outcome| Check {
        id: "id",
        title: "title",
        outcome,
        detail: "text".into(),
        hints: vec!["text".into()],
        // Of this computer, or of a machine.
        machine: (outcome == Outcome::Warning).then(|| "dev".to_owned()),
    };
    let container = |text: Option<&str>, can: Vec<ContainerVerb>| Container {
        id: "0123456789ab".to_owned(),
        name: "web".to_owned(),
        image: "nginx".to_owned(),
        state: "running".to_owned(),
        status: "Up".to_owned(),
        project: text.map(str::to_owned),
        ports: text.into_iter().map(str::to_owned).collect(),
        can,
    };
    let all = [
        ContainerVerb::Start,
        ContainerVerb::Stop,
        ContainerVerb::Restart,
        ContainerVerb::Pause,
        ContainerVerb::Unpause,
        ContainerVerb::Rm,
    ];
    let told = [
        Told::Containers {
            docker: "docker --context dev".to_owned(),
            containers: vec![container(Some("text"), all.to_vec()), container(None, Vec::new())],
        },
        Told::Ports { ports: ports() },
        Told::Lines { lines: vec!["text".to_owned()] },
        Told::End,
        Told::Waiting { reason: "text".to_owned() },
    ];
    let checks = [Outcome::Ok, Outcome::Warning, Outcome::Failed].map(check);
    let range = Range { least: 1, most: 3, usual: 2 };
    json!({
        "actions": actions(),
        "checks": checks,
        "events": events(),
        "failure": failure(),
        "news": news,
        "sources": sources(),
        "told": told,
        "containerActions": all.map(container_action),
        "sizeBounds": SizeBounds { cpus: range, memory_mib: range, disk_mib: range },
    })
}

#[test]
fn what_goes_to_the_window_is_what_its_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/backend/contract.ts");
    let contract = serde_json::to_string_pretty(&contract()).unwrap();
    let text = format!(
        "// Written by a test of src-tauri: everything that goes over, in every form that it has. Do not edit.\n\
         import type {{ Action, Check, ContainerAction, Failure, News, SizeBounds, Source, Told, WorkEvent }} from './backend.ts';\n\n\
         interface Contract {{\n  actions: Action[];\n  checks: Check[];\n  containerActions: ContainerAction[];\n  events: WorkEvent[];\n  failure: Failure;\n  \
         news: News[];\n  sizeBounds: SizeBounds;\n  sources: Source[];\n  told: Told[];\n}}\n\nexport const contract: Contract = {contract};\n"
    );
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    if present != text {
        std::fs::write(&path, text).unwrap();
        panic!("{} was out of date and is written anew: run `npm run check`, look at it and commit it", path.display());
    }
}

#[test]
fn every_action_comes_back_as_it_was_sent() {
    for action in actions() {
        let text = serde_json::to_string(&action).unwrap();
        assert_eq!(serde_json::from_str::<Action>(&text).unwrap(), action, "{text}");
    }
}
