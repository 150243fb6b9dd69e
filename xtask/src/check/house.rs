//! The rules of the house: who may import whom, who prints, who reads the environment. Tests over the whole clone.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::Program;
use crate::places;

/// Which rooms a room may import, as docs/ARCHITECTURE.md has it. A room is the folder of a crate; `x/*` means any in `x`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("crates/core", &[]),
    ("crates/files", &["crates/core"]),
    ("crates/ssh", &["crates/core", "crates/files"]),
    ("crates/docker", &["crates/core", "crates/files"]),
    ("images", &["crates/core", "crates/files"]),
    ("crates/template", &[]),
    ("crates/sync", &["crates/core", "crates/files", "crates/ssh"]),
    ("crates/bridge", &["crates/core", "crates/files", "crates/ssh", "crates/docker", "images"]),
    ("provisioners/*", &["crates/core", "crates/files", "crates/ssh", "crates/docker", "images"]),
    (
        "crates/app",
        &[
            "crates/core",
            "crates/files",
            "crates/ssh",
            "crates/docker",
            "crates/bridge",
            "crates/sync",
            "images",
            "provisioners/*",
        ],
    ),
    ("cli", &["crates/app", "crates/core", "crates/template"]),
    ("src-tauri", &["crates/app", "crates/core"]),
    // The tests that cross rooms may look into every one of them; this tool is built before all and knows none.
    ("tests", &["crates/*", "images", "provisioners/*", "cli", "src-tauri"]),
    ("xtask", &[]),
];

/// The only file that reads the environment and finds folders.
const ENVIRONMENT: &str = "crates/app/src/environment.rs";

/// What reading the environment looks like.
const ENVIRONMENT_CALLS: &[&str] =
    &["env::var(", "env::var_os(", "env::vars(", "env::vars_os(", "env::home_dir(", "directories::"];

/// Lints that the workspace sets and that only the rooms with a terminal may lift.
const TERMINAL_LINTS: &[&str] = &["clippy::print_stdout", "clippy::print_stderr", "clippy::exit"];
const ROOMS_WITH_A_TERMINAL: &[&str] = &["cli", "tests", "xtask"];
/// One file holds nothing but code that Tauri generates, which does as it likes.
const GENERATED: &str = "src-tauri/src/context.rs";

fn matches(pattern: &str, room: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(folder) => {
            room.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| !rest.contains('/'))
        }
        None => pattern == room,
    }
}

/// Imports between rooms (importer, imported) that the table does not allow.
fn forbidden(imports: &[(String, String)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (importer, imported) in imports {
        match MAY_IMPORT.iter().find(|(pattern, _)| matches(pattern, importer)) {
            None => problems.push(format!("{importer} is a room that the table of rooms does not know")),
            Some((_, allowed)) if !allowed.iter().any(|pattern| matches(pattern, imported)) => {
                problems.push(format!("{importer} imports {imported}"));
            }
            Some(_) => {}
        }
    }
    problems
}

/// The rooms of the workspace, and every import between two of them, of whatever kind (build, test, one system only).
fn rooms_and_imports(metadata: &Value) -> (Vec<String>, Vec<(String, String)>) {
    let root = Path::new(metadata["workspace_root"].as_str().unwrap());
    let room = |folder: &Path| folder.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
    let mut rooms = Vec::new();
    let mut imports = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let importer = room(Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap());
        for dependency in package["dependencies"].as_array().unwrap() {
            if let Some(path) = dependency["path"].as_str() {
                imports.push((importer.clone(), room(Path::new(path))));
            }
        }
        rooms.push(importer);
    }
    (rooms, imports)
}

fn workspace() -> (PathBuf, Vec<String>, Vec<(String, String)>) {
    let root = places::root().unwrap();
    let text = Program::line("cargo metadata --format-version 1 --no-deps").folder(&root).read().unwrap();
    let (rooms, imports) = rooms_and_imports(&serde_json::from_str(&text).unwrap());
    (root, rooms, imports)
}

/// Lines (file, number, text) of a room's own code: neither its tests nor what is below `#[cfg(test)]`.
fn lines_of_code(root: &Path, room: &str) -> Vec<(String, usize, String)> {
    let mut lines = Vec::new();
    let mut folders = vec![root.join(room).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
                let text = fs::read_to_string(&path).unwrap();
                let file = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                let code = text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
                lines.extend(code.map(|(index, line)| (file.clone(), index + 1, line.to_owned())));
            }
        }
    }
    lines
}

/// Whether a line of a file reads the environment where that is not done.
fn reads_environment(file: &str, line: &str) -> bool {
    file != ENVIRONMENT
        && !line.trim_start().starts_with("//")
        && ENVIRONMENT_CALLS.iter().any(|call| line.contains(call))
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let (_, rooms, imports) = workspace();
    assert!(rooms.iter().any(|room| room == "crates/core"), "no rooms found: {rooms:?}");
    assert!(!imports.is_empty(), "no imports found");
    let unknown: Vec<_> =
        rooms.iter().filter(|room| !MAY_IMPORT.iter().any(|(pattern, _)| matches(pattern, room))).collect();
    assert!(unknown.is_empty(), "rooms that the table does not know: {unknown:?}");
    assert_eq!(forbidden(&imports), Vec::<String>::new());
}

#[test]
fn a_driver_that_imports_another_or_a_face_that_goes_past_app_is_refused() {
    let import = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let bad = [
        import("provisioners/ec2", "provisioners/qemu"),
        import("cli", "provisioners/qemu"),
        import("crates/core", "crates/ssh"),
        import("images", "crates/app"),
        import("attic", "crates/core"),
        import("crates/app", "cli"),
    ];
    assert_eq!(forbidden(&bad).len(), bad.len(), "{:?}", forbidden(&bad));
    let good = [import("cli", "crates/app"), import("crates/app", "provisioners/ec2"), import("images", "crates/core")];
    assert_eq!(forbidden(&good), Vec::<String>::new());
}

#[test]
fn imports_of_every_kind_are_seen() {
    let metadata = serde_json::json!({"workspace_root": "/w", "packages": [{
        "manifest_path": "/w/images/Cargo.toml",
        "dependencies": [
            {"path": "/w/crates/core", "kind": null}, {"path": "/w/cli", "kind": "dev"}, {"name": "serde"}],
    }]});
    let (rooms, imports) = rooms_and_imports(&metadata);
    assert_eq!(rooms, ["images"]);
    assert_eq!(forbidden(&imports), ["images imports cli"]);
}

#[test]
fn every_room_takes_the_lints_of_the_workspace_and_only_rooms_with_a_terminal_lift_those_on_printing() {
    let (root, rooms, _) = workspace();
    for room in &rooms {
        let manifest = fs::read_to_string(root.join(room).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{room}/Cargo.toml lacks `[lints] workspace = true`");
        if ROOMS_WITH_A_TERMINAL.contains(&room.as_str()) {
            continue;
        }
        for (file, number, line) in lines_of_code(&root, room).into_iter().filter(|line| line.0 != GENERATED) {
            let lifted = TERMINAL_LINTS.iter().any(|lint| line.contains(lint));
            assert!(!lifted, "{file}:{number}: only {ROOMS_WITH_A_TERMINAL:?} print or exit");
        }
    }
}

#[test]
fn only_one_file_reads_the_environment_and_finds_folders() {
    let (root, rooms, _) = workspace();
    let mut seen = 0;
    let mut problems = Vec::new();
    for room in rooms.iter().filter(|room| !["tests", "xtask"].contains(&room.as_str())) {
        for (file, number, line) in lines_of_code(&root, room) {
            seen += 1;
            if reads_environment(&file, &line) {
                problems.push(format!("{file}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(seen > 100, "hardly any code was found: {seen} lines");
    assert_eq!(problems, Vec::<String>::new(), "take it from the environment that {ENVIRONMENT} read");
}

#[test]
fn reading_the_environment_elsewhere_is_seen() {
    assert!(reads_environment("cli/src/main.rs", "let home = std::env::var_os(\"HOME\");"));
    assert!(reads_environment("crates/app/src/store.rs", "use directories::ProjectDirs;"));
    assert!(!reads_environment(ENVIRONMENT, "let home = std::env::var_os(\"HOME\");"));
    assert!(!reads_environment("cli/src/main.rs", "// as std::env::var() would"));
}
