//! `env`, read by the shells themselves.

use std::fmt::Write as _;

use machine_tests::Scene;

/// A folder whose name has what shells treat specially.
const HARD: &str = "sp ace, \"quoted\" 'single' $HOME `tick` back\\slash %h% ünï";

/// How a shell takes in the lines of `machine env`, and how it prints a variable with nothing around it.
struct Reader {
    program: &'static str,
    eval: &'static str,
    undo: &'static str,
}

const READERS: &[Reader] = &[
    Reader { program: "bash", eval: "eval \"$(machine env dev)\"", undo: "eval \"$(machine env -u)\"" },
    Reader { program: "bash", eval: "eval $(machine env dev)", undo: "eval $(machine env -u)" },
    Reader { program: "zsh", eval: "eval \"$(machine env dev)\"", undo: "eval \"$(machine env -u)\"" },
    Reader { program: "sh", eval: "eval \"$(machine env dev)\"", undo: "eval \"$(machine env -u)\"" },
    Reader { program: "fish", eval: "machine env dev | source", undo: "machine env -u | source" },
    Reader { program: "fish", eval: "eval (machine env dev)", undo: "eval (machine env -u)" },
    Reader { program: "tcsh", eval: "eval `machine env dev`", undo: "eval `machine env -u`" },
];

/// Asks `printenv`, a program and not the shell: what it prints is what a Docker client would see.
fn script(reader: &Reader) -> String {
    let mut script = String::new();
    let ask = "env printenv DOCKER_HOST DOCKER_CERT_PATH DOCKER_TLS_VERIFY DOCKER_MACHINE_NAME";
    writeln!(script, "{}\n{ask}\n{}\necho undone\n{ask}\necho end", reader.eval, reader.undo).unwrap();
    script
}

fn check(scene: &Scene, reader: &Reader) {
    let url = scene.run("url dev").ok().line().to_owned();
    let run = scene.shell(reader.program, &script(reader)).run();
    assert_eq!(run.stderr, "", "{} has something to say: {run}", reader.program);
    let expected = format!("{url}\n{}\n1\ndev\nundone\nend\n", scene.folder("dev").display());
    assert_eq!(run.text(), expected, "`{}` in {}", reader.eval, reader.program);
}

#[test]
fn every_shell_reads_its_own_lines() {
    let scene = Scene::new();
    scene.run("create dev --no-wait").ok();
    for reader in READERS {
        check(&scene, reader);
    }
}

#[test]
fn a_store_that_is_hard_to_quote_arrives_intact_in_every_shell() {
    let scene = Scene::with_store(HARD);
    scene.run("create dev --no-wait").ok();
    // Unquoted, a POSIX shell splits at spaces before it reads the quotes: nothing that we print can mend that.
    for reader in READERS.iter().filter(|reader| !reader.eval.contains("eval $(")) {
        check(&scene, reader);
    }
}

#[test]
fn the_hint_is_the_line_that_does_it() {
    let scene = Scene::new();
    scene.run("create dev --no-wait").ok();
    for (shell, prefix) in [("bash", "# "), ("zsh", "# "), ("fish", "# "), ("tcsh", ": ")] {
        let printed = scene.shell(shell, "machine env dev").run();
        let hint = printed.ok().text().lines().last().unwrap().strip_prefix(prefix).unwrap().to_owned();
        let run = scene.shell(shell, &format!("{hint}\nenv printenv DOCKER_MACHINE_NAME")).run();
        assert_eq!(run.ok().line(), "dev", "{shell}: {hint}");
    }
}

#[test]
fn a_failing_env_sets_nothing_and_says_why() {
    let scene = Scene::new();
    let run = scene.shell("bash", "eval \"$(machine env nope)\"; printenv DOCKER_HOST || echo unset").run();
    run.ok().says("\"nope\" does not exist");
    assert_eq!(run.line(), "unset");
}
