use std::sync::{Arc, Mutex};

use machine_core::EventKind;

use super::*;
use crate::{Arch, RECIPE};

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

#[test]
fn every_file_that_the_recipe_needs_is_embedded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipe");
    let mut names: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // People read it; a build does not need it.
    names.retain(|name| name != "README.md");
    names.sort();
    let mut embedded: Vec<&str> = RECIPE.iter().map(|file| file.name).collect();
    embedded.sort_unstable();
    assert_eq!(names, embedded);
}

#[test]
fn stages_of_the_recipe_are_the_stages_that_are_shown() {
    let script = RECIPE.iter().find(|file| file.name == "build.sh").unwrap().text;
    let stages: Vec<&str> = script.lines().filter_map(|line| line.trim().strip_prefix("stage ")).collect();
    assert_eq!(stages, crate::recipe::STAGES.iter().map(|(id, _)| *id).collect::<Vec<_>>());
}

#[test]
fn a_list_of_mirrors_becomes_its_first_mirror() {
    let script = RECIPE.iter().find(|file| file.name == "build.sh").unwrap().text;
    let function = &script[script.find("without_mirror_lists() {").unwrap()..];
    let function = &function[..function.find("\n}\n").unwrap() + 3];
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("debian.list");
    fs::write(&list, "# mirrors\n\nhttp://127.0.0.1/debian\tpriority:1\nhttp://127.0.0.2/debian\n").unwrap();
    let sources = format!(
        "mirror+file://{} trixie key\nhttp://127.0.0.3/x trixie\nmirror+file:/nowhere trixie\n",
        list.display()
    );
    let script = format!("set -eu\n{function}\nprintf %s '{sources}' | without_mirror_lists 2>/dev/null");
    let mut said = Vec::new();
    let status =
        run(shell(&script), &Reporter::silent(), &Cancel::new(), &mut |line| said.push(line.to_owned())).unwrap();
    assert!(status.success());
    assert_eq!(said, ["http://127.0.0.1/debian trixie key", "http://127.0.0.3/x trixie"]);
}

#[test]
fn stage_lines_become_stages_and_the_rest_is_detail_and_log() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = events.clone();
    let reporter = Reporter::new(move |event| sink.lock().unwrap().push(event));
    let mut log = Vec::new();
    let script = "echo 'stage: kernel'; printf '1%%\\r100%%\\n' >&2; echo 'stage: unknown'; exit 3";
    let status = run(shell(script), &reporter, &Cancel::new(), &mut |line| log.push(line.to_owned())).unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(log, ["stage: kernel", "100%", "stage: unknown"]);
    let events = events.lock().unwrap();
    assert!(matches!(&events[0], EventKind::Stage(stage) if stage.id == "kernel"), "{events:?}");
    assert!(matches!(&events[1], EventKind::Message { text, .. } if text == "100%"), "{events:?}");
    assert_eq!(events.len(), 3);
}

#[test]
fn cancelling_ends_the_recipe_and_its_children_and_lets_it_clean_up() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    let (cleaned, pid_file) = (folder.path().join("cleaned"), folder.path().join("pid"));
    let script = format!(
        "trap 'touch {}; exit 143' TERM; sleep 600 & echo $! >{}; echo started; wait",
        cleaned.display(),
        pid_file.display()
    );
    let asked = cancel.clone();
    let error = run(shell(&script), &Reporter::silent(), &cancel, &mut |line| {
        if line == "started" {
            asked.cancel();
        }
    })
    .unwrap_err();
    assert_eq!(error.code(), Code::Interrupted);
    assert!(cleaned.exists());
    let pid: i32 = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    // Gone, or a zombie that somebody else has yet to reap; a signal takes effect a moment after it was sent.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{state}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_failure_says_the_recipes_own_words_or_the_end_of_the_log() {
    let status = run(shell("exit 1"), &Reporter::silent(), &Cancel::new(), &mut |_| {}).unwrap();
    let lines = |text: &[&str]| text.iter().map(|line| (*line).to_owned()).collect::<VecDeque<_>>();
    let missing =
        lines(&["build.sh: missing Debian packages on this computer: apt-get install mmdebstrap zstd", "other"]);
    let error = failure(status, &missing, Path::new("build.log"));
    assert!(error.to_string().contains("missing Debian packages"), "{error}");
    assert_eq!(error.hints()[0], "install them: `sudo apt-get install mmdebstrap zstd`, then try again");
    assert!(error.hints()[1].contains("--in-machine"), "{error:?}");

    let foreign = lines(&["build.sh: this recipe needs a Debian or Ubuntu host (no dpkg here)"]);
    assert!(failure(status, &foreign, Path::new("build.log")).hints()[1].contains("--in-machine"));

    let error = failure(status, &lines(&["E: no such package", "giving up"]), Path::new("build.log"));
    assert!(error.to_string().contains("exit status: 1"), "{error}");
    assert!(error.hints()[0].contains("build.log:\nE: no such package\ngiving up"), "{error:?}");
}

#[test]
fn a_failed_build_leaves_its_log_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::open(folder.path().join("store")).unwrap();
    let work = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    let options = RecipeOptions {
        arch: Arch::of_this_computer(),
        name: None,
        // Refused by apt or by the recipe's own look at the tools: nothing is asked over any network.
        package_source: Some(format!("file://{}/no-such-archive", folder.path().display())),
        work: Some(work.clone()),
    };
    let error = store.build(&options, &Reporter::silent(), &Cancel::new()).unwrap_err();
    assert!(error.to_string().contains("cannot build the image"), "{error:?}");
    assert!(!error.hints().is_empty(), "{error:?}");
    assert!(fs::metadata(store.build_log(options.arch)).unwrap().len() > 0);
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0, "{error:?}");
    assert!(store.list().unwrap().is_empty());
}
