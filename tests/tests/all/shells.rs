//! `env`, read by the shells themselves.

use std::fmt::Write as _;

use machine_tests::{Scene, find_program, nushell};

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

/// What the four variables are in a Nushell that did `before`; one that is not there is "gone".
fn in_nushell(scene: &Scene, before: &str) -> String {
    let script = format!(
        "{before}\nfor name in [DOCKER_HOST DOCKER_CERT_PATH DOCKER_TLS_VERIFY DOCKER_MACHINE_NAME] {{ \
         print (^sh -c $'printenv ($name) || echo gone') }}"
    );
    let run = scene.shell_at(&nushell(), &["-n", "-c", &script]).run();
    assert_eq!(run.ok().stderr, "", "{run}");
    run.text().to_owned()
}

#[test]
fn nushell_reads_a_record_and_a_list_of_names() {
    for store in ["store", HARD] {
        let scene = Scene::with_store(store);
        scene.run("create dev --no-wait").ok();
        let url = scene.run("url dev").ok().line().to_owned();
        let set = format!("{url}\n{}\n1\ndev\n", scene.folder("dev").display());
        assert_eq!(in_nushell(&scene, "machine env dev | from nuon | load-env"), set);
        let undone = "machine env dev | from nuon | load-env; hide-env -i ...(machine env -u | from nuon)";
        assert_eq!(in_nushell(&scene, undone), "gone\n".repeat(4));
        let socket = in_nushell(
            &scene,
            "machine env dev | from nuon | load-env; machine env --socket dev | from nuon | load-env",
        );
        assert!(socket.starts_with("unix://") && socket.ends_with("\n\n\ndev\n"), "empty is off: {socket}");
        // The hints are the lines that do it.
        for (command, before) in
            [("machine env dev", ""), ("machine env -u", "machine env dev | from nuon | load-env; ")]
        {
            let printed = scene.shell_at(&nushell(), &["-n", "-c", command]).run();
            let hint = printed.ok().text().lines().last().unwrap().strip_prefix("# ").unwrap().to_owned();
            let expected = if before.is_empty() { set.clone() } else { "gone\n".repeat(4) };
            assert_eq!(in_nushell(&scene, &format!("{before}{hint}")), expected, "{hint}");
        }
    }
}

#[test]
fn emacs_evaluates_its_lines() {
    for store in ["store", HARD] {
        let scene = Scene::with_store(store);
        scene.run("create dev --no-wait").ok();
        let url = scene.run("url dev").ok().line().to_owned();
        let call = |words: &str| {
            format!(
                "(with-temp-buffer (shell-command \"machine env --shell emacs {words}\" (current-buffer)) (eval-buffer))"
            )
        };
        let ask = "(dolist (name '(\"DOCKER_HOST\" \"DOCKER_CERT_PATH\" \"DOCKER_MACHINE_NAME\")) \
                   (princ (format \"%s\\n\" (getenv name))))";
        let script = format!("(progn (setq inhibit-message t) {} {ask} {} {ask})", call("dev"), call("-u"));
        let run = scene.shell_at(&find_program("emacs"), &["--batch", "-Q", "--eval", &script]).run();
        let expected = format!("{url}\n{}\ndev\nnil\nnil\nnil\n", scene.folder("dev").display());
        assert_eq!(run.ok().text(), expected);
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

/// A shell, what it evaluates when it starts, and how it tells which machine it has.
const STARTING: &[(&str, &str)] = &[
    ("bash", "eval \"$(machine shell-init bash)\""),
    ("zsh", "eval \"$(machine shell-init zsh)\""),
    ("sh", "eval \"$(machine shell-init sh)\""),
    ("fish", "machine shell-init fish | source"),
    ("tcsh", "eval \"`machine shell-init tcsh`\""),
];

const ASK: &str = "sh -c 'echo ${DOCKER_MACHINE_NAME:-none}'";

#[test]
fn a_new_terminal_has_the_machine_that_use_chose() {
    let scene = Scene::new();
    scene.run("create dev --no-wait").ok();
    let asked = |expected: &str| {
        for (shell, start) in STARTING {
            let run = scene.shell(shell, &format!("{start}\n{ASK}")).run();
            assert_eq!((run.ok().line(), run.stderr.as_str()), (expected, ""), "{shell}");
        }
        let nu = format!("machine shell-init nushell | from nuon | load-env; ^{ASK}");
        assert_eq!(scene.shell_at(&nushell(), &["-n", "-c", &nu]).run().ok().line(), expected);
    };
    asked("none");
    scene.run("use dev").ok();
    asked("dev");
    // What the terminal has already goes before it.
    let own = scene.shell("bash", &format!("export DOCKER_HOST=tcp://x:1\n{}\n{ASK}", STARTING[0].1)).run();
    assert_eq!(own.ok().line(), "none");
    // A machine that is off is no reason for words in a new terminal; neither is a store that cannot be read.
    scene.run("stop dev").ok();
    asked("none");
    scene.run("rm -f dev").ok();
    asked("none");
    for (shell, start) in STARTING {
        let run = scene.shell(shell, &format!("{start}\n{ASK}")).env("MACHINE_STORAGE_PATH", "/dev/null/x").run();
        assert_eq!((run.ok().line(), run.stderr.as_str()), ("none", ""), "{shell}");
    }
}

#[test]
fn use_in_a_terminal_with_the_hook_changes_that_terminal() {
    let scene = Scene::new();
    for name in ["dev", "web"] {
        scene.machine(["create", name, "--no-wait"]).ok();
    }
    for (shell, start) in &STARTING[..4] {
        scene.run("use dev").ok();
        let script = format!(
            "{start}\n{ASK}\nmachine -q ls\nmachine use web 2>/dev/null\n{ASK}\nmachine use -u 2>/dev/null\n{ASK}"
        );
        assert_eq!(scene.shell(shell, &script).run().ok().text(), "dev\ndev\nweb\nweb\nnone\n", "{shell}");
    }
    let fails = scene.shell("bash", &format!("{}\nmachine status nope", STARTING[0].1)).run();
    fails.exits(1).says("does not exist");
    scene.run("shell-init cmd").exits(2).prints_nothing().fails_clearly();
}
