//! The driver `none`: an engine that is known by its URL alone.

use std::fs;

use machine_tests::Scene;

#[test]
fn a_url_is_all_that_a_machine_without_a_driver_has() {
    let scene = Scene::new();
    scene
        .run("create -d none far")
        .exits(2)
        .prints_nothing()
        .says("--url option is required when no driver is selected");
    scene
        .run("create -d none --url http://localhost:9 far")
        .exits(2)
        .fails_clearly()
        .says("it looks like tcp://HOST:2376");
    scene.run("create -d none --url tcp://no-such-host.invalid far").exits(3).fails_clearly();
    scene.run("create --url tcp://localhost:9 far").exits(2).says("belong to the driver \"none\"");
    scene.nothing_is_left_of("far");

    let run = scene.run("create far -d none --url tcp://localhost:9");
    run.ok().prints_nothing().says("run: machine env far").does_not_say("booting");
    scene.run("create far -d none --url tcp://localhost:9").exits(1).says("already exists");
    assert_eq!(scene.status("far"), "Running");
    assert_eq!(scene.run("url far").ok().line(), "tcp://localhost:9");
    assert_eq!(scene.run("ip far").ok().line(), "127.0.0.1");
    let env = scene.run("env --shell bash far");
    assert!(env.ok().text().contains("export DOCKER_HOST=\"tcp://localhost:9\"\n"), "{env}");
    assert!(scene.run("config far").ok().text().contains("-H=tcp://localhost:9"));
    let row = scene.run("ls --format json").ok().json()[0].clone();
    assert_eq!((row["driver"].as_str(), row["url"].as_str()), (Some("none"), Some("tcp://localhost:9")), "{row}");
    assert!(row["error"].as_str().unwrap().contains("the engine does not answer"), "{row}");
    let time = scene.machine(["ls", "--format", "{{.Name}} {{.ResponseTime}}"]);
    let (name, time) = time.ok().line().split_once(' ').unwrap();
    assert!(name == "far" && time.ends_with('s') && time.starts_with(|c: char| c.is_ascii_digit()), "{time}");
    let context = scene.program("grep").args(["-rl", "tcp://localhost:9"]).args([scene.path("docker")]).run();
    assert_eq!(context.ok().text().lines().count(), 1, "its Docker context: {context}");

    for (line, what) in [
        ("start far", "hosts without a driver cannot be started"),
        ("stop far", "hosts without a driver cannot be stopped"),
        ("kill far", "hosts without a driver cannot be killed"),
        ("restart far", "hosts without a driver cannot be restarted"),
        ("ssh far true", "known by its URL alone"),
        ("scp far:x .", "known by its URL alone"),
        ("sync home far:x", "known by its URL alone"),
        ("ssh-config far", "known by its URL alone"),
        ("provision far", "known by its URL alone"),
        ("set far --engine-label a=b", "known by its URL alone"),
        ("upgrade far", "known by its URL alone"),
        ("regenerate-certs -f far", "known by its URL alone"),
        ("user ls far", "known by its URL alone"),
        ("tunnel far", "known by its URL alone"),
        ("suspend far", "the driver \"none\" cannot"),
        ("share add far .", "see no folders"),
    ] {
        let run = scene.run(line);
        assert_ne!(run.code(), 0, "{run}");
        run.prints_nothing().says(what);
    }
    scene.run("rm -y far").ok();
    scene.nothing_is_left_of("far");
}

#[test]
fn an_engine_with_an_authority_of_its_own_is_reached_with_what_its_owner_gave() {
    let scene = Scene::new();
    for name in ["ca", "cert", "key"] {
        fs::write(scene.path(name), format!("the {name} of another")).unwrap();
    }
    scene.run("create -d none --url tcp://localhost:9 --tls-ca-cert ca far").exits(2).says("--tls-client-cert");
    scene
        .run("create -d none --url tcp://localhost:9 --tls-ca-cert ca --tls-client-cert cert --tls-client-key key far")
        .ok();
    for name in ["ca", "cert", "key"] {
        let kept = fs::read_to_string(scene.folder("far").join(format!("{name}.pem"))).unwrap();
        assert_eq!(kept, format!("the {name} of another"));
    }
    scene
        .run("create -d none --url tcp://localhost:9 --tls-ca-cert ca --tls-client-cert cert --tls-client-key gone x")
        .exits(3);
    scene.nothing_is_left_of("x");
}

#[test]
fn words_of_docker_machine_that_mean_nothing_here_are_taken_with_a_warning() {
    let scene = Scene::new();
    let run = scene.run("--native-ssh --github-api-token x create -d none --url tcp://localhost:9 --swarm --swarm-master --swarm-discovery token://x far");
    run.ok()
        .says("--native-ssh does nothing")
        .says("--github-api-token does nothing")
        .says("the --swarm flags do nothing");
    scene.run("ls --native-ssh").ok().says("--native-ssh does nothing");
    scene.run("config --swarm far").exits(1).prints_nothing().says("\"far\" is not a swarm master");
    scene.run("env --swarm --shell sh far").exits(1).prints_nothing().says("\"far\" is not a swarm master");
    scene
        .run("env --check --shell sh far")
        .exits(1)
        .prints_nothing()
        .fails_clearly()
        .says("Error checking TLS connection");
    scene.run("config --check far").exits(1).prints_nothing().fails_clearly().says("Error checking TLS connection");
    let url = scene.run("url far").ok().line().to_owned();
    assert_eq!(scene.command(["active", "-t", "3"]).env("DOCKER_HOST", url).run().ok().line(), "far");
    scene.run("rm -y far").ok();
}
