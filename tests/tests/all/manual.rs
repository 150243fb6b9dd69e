//! Manual pages and topics.

use std::fs;

use machine_tests::{Scene, find_program};

#[test]
fn every_command_and_topic_has_a_manual_page_that_man_and_mandoc_read() {
    let scene = Scene::new();
    let folder = scene.path("pages");
    scene.machine(["manual".as_ref(), folder.as_os_str()]).ok().prints_nothing();
    let mut pages: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let names: Vec<_> = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap()).collect();
    for name in ["machine.1", "machine-create.1", "machine-image-pull.1", "machine-exit-codes.7"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let hidden = ["machine-supervise.1", "machine-complete.1", "machine-manual.1"];
    assert!(names.iter().all(|name| !hidden.contains(name)), "{names:?}");
    let lint = scene.program(find_program("mandoc")).args(["-Tlint", "-W", "error"]).args(&pages).run();
    assert_eq!((lint.ok().text(), lint.stderr.as_str()), ("", ""));
    for page in &pages {
        let man = scene.program(find_program("man")).args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8"]).args([page]);
        let read = man.env("MANPAGER", "cat").env("MANWIDTH", "80").run();
        assert_eq!(read.ok().stderr, "", "{}", page.display());
        assert!(read.text().lines().count() > 10, "{}: {read}", page.display());
    }
}

#[test]
fn topics_are_explained_and_listed_and_unknown_ones_lead_on() {
    let scene = Scene::new();
    let listed = scene.run("help topics");
    insta::assert_snapshot!("help_topics", listed.ok().text());
    for topic in listed.text().lines().map(|line| line.split_whitespace().next().unwrap()) {
        let run = scene.machine(["help", topic]);
        assert!(run.ok().text().lines().count() > 5, "{topic}");
    }
    assert_eq!(scene.run("help certificates").ok().text(), scene.run("help trust").ok().text());
    scene.run("help abacus").exits(2).prints_nothing().fails_clearly();
    assert_eq!(scene.run("help share add").ok().text(), scene.run("share add --help").ok().text());
}

#[test]
fn the_exit_codes_that_are_documented_are_those_that_come() {
    let scene = Scene::new();
    let text = scene.run("help exit-codes").ok().text().to_owned();
    let documented: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with(' ')).collect();
    let codes: Vec<&str> = documented.iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(codes, ["0", "1", "2", "3", "130"]);
    scene.run("ls").exits(0);
    scene.run("status nope").exits(1);
    scene.run("status --nope").exits(2);
    scene.run("create dev --memory 900g --no-wait").exits(3);
}
