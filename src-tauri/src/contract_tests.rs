//! What goes over to the window, in every form that it has, written as TypeScript: the compiler there refuses a field too many,
//! one too few, or one of another type.

use std::path::Path;
use std::time::Duration;

use machine_app::{
    Action, Answered, Card, Check, ChosenFolder, Container, ContainerAction, ContainerVerb, EngineAction, EngineAnswer,
    EngineQuestion, Figures, FolderRow, Image, Language, Layer, LogKind, Member, NetworkRow, NewContainer, Outcome,
    PortRow, PortState, Publish, Range, Restart, Row, Share, ShareState, SizeBounds, Source, Step, TerminalRequest,
    Theme, Told, Typed, Variable, Verb, VolumeMount, VolumeRow, WindowSettings,
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
        response_time: Duration::ZERO,
    };
    let can = vec![
        Verb::Start,
        Verb::Stop,
        Verb::Restart,
        Verb::Pause,
        Verb::Resume,
        Verb::Suspend,
        Verb::Kill,
        Verb::Resize,
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
        Action::Resize { name: name(), cpus: Some(2), memory_mib: Some(2048), disk_mib: Some(20480) },
        Action::Resize { name: name(), cpus: None, memory_mib: None, disk_mib: None },
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
        Source::Images { machine: machine() },
        Source::Volumes { machine: machine() },
        Source::Networks { machine: machine() },
        Source::Folders { machine: machine() },
        Source::Figures { machine: machine(), id: "0123456789ab".parse().unwrap() },
        Source::Pull { machine: machine(), image: "alpine".parse().unwrap() },
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

fn engine_actions() -> Vec<EngineAction> {
    let machine = || "dev".parse::<MachineName>().unwrap();
    let name = || "web".parse().unwrap();
    let image = || "nginx:1".parse().unwrap();
    let id = || format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let run = |name, restart| EngineAction::Run {
        machine: machine(),
        new: NewContainer {
            image: image(),
            name,
            ports: [Protocol::Tcp, Protocol::Udp]
                .map(|protocol| Publish { port: 80, container_port: 80, protocol })
                .into(),
            volumes: vec![VolumeMount { volume: "data".parse().unwrap(), target: "/data".into() }],
            environment: vec![Variable { name: "A".into(), value: "b".into() }],
            restart,
        },
    };
    let mut actions = vec![
        EngineAction::Pull { machine: machine(), image: image() },
        EngineAction::Tag { machine: machine(), image: id(), name: image() },
        EngineAction::RemoveImage { machine: machine(), name: image() },
        EngineAction::RemoveUnnamedImage { machine: machine(), image: id() },
        EngineAction::PruneImages { machine: machine(), all: true },
        EngineAction::RemoveVolumes { machine: machine(), names: vec![name()] },
        EngineAction::CreateNetwork { machine: machine(), name: name(), internal: true },
        EngineAction::RemoveNetwork { machine: machine(), name: name() },
        run(None, Restart::No),
    ];
    actions.extend(
        [Restart::OnFailure, Restart::UnlessStopped, Restart::Always].map(|restart| run(Some(name()), restart)),
    );
    actions
}

fn engine_questions() -> Vec<EngineQuestion> {
    let machine = || "dev".parse::<MachineName>().unwrap();
    let id = || "0123456789ab".parse().unwrap();
    let image = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    vec![
        EngineQuestion::Container { machine: machine(), id: id() },
        EngineQuestion::Processes { machine: machine(), id: id() },
        EngineQuestion::History { machine: machine(), image },
        EngineQuestion::UnusedImages { machine: machine(), all: true },
        EngineQuestion::VolumeSizes { machine: machine() },
    ]
}

fn engine_answers() -> Vec<Answered> {
    let text = || "text".to_owned();
    let answers = vec![
        EngineAnswer::Container { inspected: json!({"Id": "text"}) },
        EngineAnswer::Processes { titles: vec![text()], rows: vec![vec![text()]] },
        EngineAnswer::History { steps: vec![Step { made_by: text(), size_bytes: 1, created: 1 }] },
        EngineAnswer::Unused { names: vec![text()], at_most_bytes: 1 },
        EngineAnswer::VolumeSizes { sizes: [(text(), 1)].into() },
    ];
    answers.into_iter().map(|answer| Answered { line: text(), answer }).collect()
}

/// What is told of an engine beside its containers.
fn engine_told() -> Vec<Told> {
    let text = || "text".to_owned();
    let image = |reference| Image { id: text(), reference, size_bytes: 1, created: 1, used_by: vec![text()] };
    let volume = |known: Option<String>| VolumeRow {
        name: text(),
        driver: text(),
        created: known.clone(),
        project: known,
        anonymous: true,
        used_by: vec![text()],
    };
    let members = [None, Some(text())].map(|address| Member { container: text(), address }).into();
    let network =
        NetworkRow { name: text(), driver: text(), subnets: vec![text()], internal: true, built_in: true, members };
    let layers = [None, Some(1)].map(|bytes| Layer { id: text(), status: text(), done: bytes, total: bytes }).into();
    vec![
        Told::Images { images: vec![image(None), image(Some(text()))] },
        Told::Volumes { volumes: vec![volume(None), volume(Some(text()))] },
        Told::Networks { networks: vec![network] },
        Told::Folders { folders: folder_rows(), warnings: vec![text()] },
        Told::Figures { figures: None },
        Told::Figures { figures: Some(Figures::default()) },
        Told::Pull { status: text(), layers },
        Told::Output { text: text() },
    ]
}

fn folder_rows() -> Vec<FolderRow> {
    let text = || "text".to_owned();
    let row =
        |state, carrier| FolderRow { folder: text(), guest: text(), read_only: true, events: true, state, carrier };
    vec![
        row(None, None),
        row(Some(ShareState::Mounting), None),
        row(Some(ShareState::Mounted), Some(text())),
        row(Some(ShareState::Waiting { reason: text() }), None),
    ]
}

fn settings() -> Vec<WindowSettings> {
    vec![
        WindowSettings::default(),
        WindowSettings {
            theme: Theme::Light,
            language: Language::English,
            cpus: Some(1),
            memory_mib: Some(1024),
            disk_mib: Some(1024),
        },
        WindowSettings { theme: Theme::Dark, language: Language::French, ..WindowSettings::default() },
    ]
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
    let mut told = vec![
        Told::Containers {
            docker: "docker --context dev".to_owned(),
            containers: vec![container(Some("text"), all.to_vec()), container(None, Vec::new())],
        },
        Told::Ports { ports: ports() },
        Told::Lines { lines: vec!["text".to_owned()] },
        Told::End,
        Told::Waiting { reason: "text".to_owned() },
    ];
    told.extend(engine_told());
    let terminal =
        TerminalRequest { machine: "dev".parse().unwrap(), id: "0123456789ab".parse().unwrap(), columns: 80, rows: 24 };
    let typed = [Typed::Text { text: "text".to_owned() }, Typed::Size { columns: 80, rows: 24 }];
    let checks = [Outcome::Ok, Outcome::Warning, Outcome::Failed].map(check);
    let range = Range { least: 1, most: 3, usual: 2 };
    json!({
        "actions": actions(),
        "checks": checks,
        "engineActions": engine_actions(),
        "engineAnswers": engine_answers(),
        "engineQuestions": engine_questions(),
        "events": events(),
        "failure": failure(),
        "news": news,
        "sources": sources(),
        "told": told,
        "chosenFolder": ChosenFolder {
            folder: "text".to_owned(),
            line: "text".to_owned(),
            read_only_line: "text".to_owned(),
            warnings: vec!["text".to_owned()],
        },
        "settings": settings(),
        "terminal": terminal,
        "typed": typed,
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
         import type {{\n  Action,\n  Answered,\n  Check,\n  ChosenFolder,\n  ContainerAction,\n  EngineAction,\n  EngineQuestion,\n  Failure,\n  News,\n  Settings,\n  \
         SizeBounds,\n  Source,\n  TerminalRequest,\n  Told,\n  Typed,\n  WorkEvent,\n}} from './backend.ts';\n\n\
         interface Contract {{\n  actions: Action[];\n  checks: Check[];\n  chosenFolder: ChosenFolder;\n  containerActions: ContainerAction[];\n  \
         engineActions: EngineAction[];\n  engineAnswers: Answered[];\n  engineQuestions: EngineQuestion[];\n  events: WorkEvent[];\n  \
         failure: Failure;\n  news: News[];\n  settings: Settings[];\n  sizeBounds: SizeBounds;\n  sources: Source[];\n  \
         terminal: TerminalRequest;\n  told: Told[];\n  typed: Typed[];\n}}\n\nexport const contract: Contract = {contract};\n"
    );
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    if present != text {
        std::fs::write(&path, text).unwrap();
        panic!("{} was out of date and is written anew: run `npm run check`, look at it and commit it", path.display());
    }
}

#[test]
fn every_action_on_an_engine_and_every_question_comes_back_as_it_was_sent() {
    for action in engine_actions() {
        let text = serde_json::to_string(&action).unwrap();
        assert_eq!(serde_json::from_str::<EngineAction>(&text).unwrap(), action, "{text}");
    }
    for question in engine_questions() {
        let text = serde_json::to_string(&question).unwrap();
        assert_eq!(serde_json::from_str::<EngineQuestion>(&text).unwrap(), question, "{text}");
    }
}

#[test]
fn every_action_comes_back_as_it_was_sent() {
    for action in actions() {
        let text = serde_json::to_string(&action).unwrap();
        assert_eq!(serde_json::from_str::<Action>(&text).unwrap(), action, "{text}");
    }
}
