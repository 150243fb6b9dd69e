//! Pointing a Docker client at a machine: variables, flags, a context. The engine is played, the client is Docker's own.

use machine_tests::Scene;

#[test]
fn env_prints_docker_machines_lines() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let url = scene.run("url dev").line().to_owned();
    let folder = scene.folder("dev");
    let run = scene.command(["env", "--shell", "bash", "dev"]).run();
    assert_eq!(run.ok().stderr, "");
    let hint = run.text().lines().last().unwrap().to_owned();
    assert_eq!(
        run.text(),
        format!(
            "export DOCKER_TLS_VERIFY=\"1\"\nexport DOCKER_HOST=\"{url}\"\nexport DOCKER_CERT_PATH=\"{}\"\n\
             export DOCKER_MACHINE_NAME=\"dev\"\n# Run this command to configure your shell: \n{hint}\n",
            folder.display()
        )
    );
    assert!(hint.starts_with("# eval $(") && hint.ends_with("machine env --shell bash dev)"), "{hint}");
    let config = scene.run("config dev");
    let file = |name: &str| folder.join(name).display().to_string();
    assert_eq!(
        config.ok().text(),
        format!(
            "--tlsverify\n--tlscacert=\"{}\"\n--tlscert=\"{}\"\n--tlskey=\"{}\"\n-H={url}\n",
            file("ca.pem"),
            file("cert.pem"),
            file("key.pem")
        )
    );
}

#[test]
fn no_proxy_keeps_what_is_there_in_the_variable_that_has_it() {
    let scene = Scene::new();
    scene.run("create dev --no-wait").ok();
    let env = |name: &str, value: &str| {
        scene.command(["env", "--no-proxy", "--shell", "sh", "dev"]).env(name, value).run().ok().text().to_owned()
    };
    assert!(env("NO_PROXY", "a.example,b").contains("export NO_PROXY=\"a.example,b,127.0.0.1\"\n"));
    assert!(env("no_proxy", "127.0.0.1,b").contains("export no_proxy=\"127.0.0.1,b\"\n"));
    let unset = scene.command(["env", "-u", "--no-proxy", "--shell", "sh"]).run();
    assert!(unset.ok().text().contains("unset NO_PROXY\n"), "{unset}");
}

#[test]
fn the_docker_client_reaches_the_engine_by_env_by_config_and_by_context() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    for script in [
        "eval \"$(machine env dev)\" && docker version --format '{{.Server.Version}}'",
        "eval $(machine env dev) && docker version --format '{{.Server.Version}}'",
        "docker $(machine config dev) version --format '{{.Server.Version}}'",
        "docker --context dev version --format '{{.Server.Version}}'",
    ] {
        assert_eq!(scene.shell("bash", script).run().ok().line(), "26.1.5", "{script}");
    }
    let active = scene.shell("bash", "eval \"$(machine env dev)\" && machine active && machine ls").run();
    let text = active.ok().text();
    assert!(text.starts_with("dev\n") && text.lines().last().unwrap().starts_with("dev    *"), "{text}");
    let contexts = scene.shell("bash", "docker context ls --format '{{.Name}} {{.Current}}'").run();
    assert_eq!(contexts.ok().text(), "default true\ndev false\n", "nothing is made current unasked");
    scene.run("rm -y dev").ok();
    assert_eq!(scene.shell("bash", "docker context ls --format '{{.Name}}'").run().ok().line(), "default");
}

#[test]
fn a_client_without_the_stores_certificate_is_turned_away() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    let stranger = Scene::new();
    stranger.run("create dev").ok();
    let url = scene.run("url dev").line().to_owned();
    let script = format!("eval \"$(machine env dev)\"; DOCKER_HOST={url} docker version");
    let run = stranger.shell("bash", &script).run();
    run.exits(1);
    assert!(run.stderr.contains("certificate"), "{run}");
}

#[test]
fn a_context_of_the_users_own_is_neither_overwritten_nor_removed() {
    let scene = Scene::new();
    let theirs = "docker context create dev --description mine --docker host=tcp://192.0.2.1:2375";
    scene.shell("sh", theirs).run().ok();
    let run = scene.run("create dev");
    run.ok().says("no Docker context for \"dev\"");
    let host = || {
        scene
            .shell("sh", "docker context inspect dev --format '{{.Endpoints.docker.Host}}'")
            .run()
            .ok()
            .line()
            .to_owned()
    };
    assert_eq!(host(), "tcp://192.0.2.1:2375");
    scene.run("rm -y dev").ok();
    assert_eq!(host(), "tcp://192.0.2.1:2375");
}

#[test]
fn certificates_are_renewed_when_asked_and_the_authority_stays() {
    let scene = Scene::new();
    scene.run("create dev").ok();
    scene.run("stop dev").ok();
    let read = |file: &str| std::fs::read_to_string(scene.folder("dev").join(file)).unwrap();
    let (authority, server) = (read("ca.pem"), read("server.pem"));
    scene.run("regenerate-certs dev").exits(2).prints_nothing().says("-f").fails_clearly();
    assert_eq!(read("server.pem"), server, "not without an answer");
    scene.run("regenerate-certs -f dev").ok().prints_nothing();
    assert_ne!(read("server.pem"), server);
    assert_eq!(read("ca.pem"), authority, "other machines would be cut off");
    scene.run("start dev").ok();
    let version = scene.shell("bash", "docker --context dev version --format '{{.Server.Version}}'").run();
    assert_eq!(version.ok().line(), "26.1.5");
}
