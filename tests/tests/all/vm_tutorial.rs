//! The everyday steps of Docker's tutorials, typed as there. Docker Hub is a registry of the tests' own, behind
//! `--engine-registry-mirror`.

use std::fs;
use std::time::Duration;

use machine_tests::{Registry, Run, Scene, Terminal};

use crate::vm_life::{BOOT, docker, import_busybox};

#[test]
fn vm_what_tutorials_type_works_as_they_say() {
    let (hub, private) = (Registry::open(), Registry::private());
    let (mirror, private) = (hub.seen_from_a_machine(), private.seen_from_a_machine());
    let scene = Scene::real();
    let created = scene
        .command(["create", "--cpus", "2", "--memory", "1g", "--engine-registry-mirror", &format!("http://{mirror}")])
        .args(["--engine-insecure-registry", &mirror, "--engine-insecure-registry", &private, "dev"])
        .limit(BOOT)
        .run();
    created.ok();
    fill(&scene, &mirror);

    let hello = typed(&scene, "docker run hello-world");
    assert!(hello.ok().text().contains("Hello from Docker!"), "{hello}");
    hello.says("Unable to find image 'hello-world:latest' locally");
    a_web_server_is_published(&scene);
    an_image_is_built_and_run(&scene);
    compose_brings_up_services_that_find_each_other(&scene);
    links_and_networks_connect_containers(&scene);
    volumes_and_bound_folders_keep_files(&scene);
    one_sits_in_a_container(&scene);
    an_image_is_pushed_to_a_private_registry(&scene, &private);

    // Settings of a machine of our own image go by its seed.
    let mirrors = || typed(&scene, "docker info --format '{{json .RegistryConfig.Mirrors}}'").ok().line().to_owned();
    assert_eq!(mirrors(), format!("[\"http://{mirror}/\"]"));
    scene.command(["set", "dev", "--engine-registry-mirror", "", "--engine-label", "a=b"]).limit(BOOT).run().ok();
    assert_eq!(mirrors(), "null");
    scene.command(["provision", "dev"]).limit(BOOT).run().ok();
    scene.command(["set", "dev", "--engine-ca", "/etc/passwd"]).run().exits(2).fails_clearly();
    scene.command(["set", "dev", "--docker-user", "ann"]).run().exits(2).says("the image brings the engine");
}

/// A line as a tutorial has it, at a terminal whose Docker points at the machine.
fn typed(scene: &Scene, line: &str) -> Run {
    docker(scene, "dev", line)
}

/// A line that needs tools which come with the machine, inside it.
fn inside(scene: &Scene, line: &str) -> Run {
    scene.command(["ssh", "dev", line]).limit(Duration::from_secs(180)).run()
}

/// Puts what tutorials pull into the registry, and out of the engine.
fn fill(scene: &Scene, mirror: &str) {
    import_busybox(scene, "dev");
    let commit = |name: &str, change: &str| {
        let file = scene.path(name);
        fs::create_dir(&file).unwrap();
        fs::write(file.join("Dockerfile"), format!("FROM box\n{change}\n")).unwrap();
        let tag = format!("{mirror}/library/{name}:latest");
        typed(
            scene,
            &format!("docker build -q -t {tag} {} && docker push -q {tag} && docker rmi {tag}", file.display()),
        )
        .ok();
    };
    commit("hello-world", "CMD [\"echo\", \"Hello from Docker!\"]");
    commit("busybox", "CMD [\"sh\"]");
    commit(
        "webserver",
        "RUN [\"/bin/busybox\", \"mkdir\", \"/www\"]\nRUN echo 'It works' > /www/index.html\nCMD [\"/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"8000\", \"-h\", \"/www\"]",
    );
    typed(scene, "docker rmi box").ok();
    assert_eq!(typed(scene, "docker images -q").ok().text(), "", "everything comes from the registry from now on");
}

fn a_web_server_is_published(scene: &Scene) {
    typed(scene, "docker run -d -p 8000:8000 --name web webserver").ok();
    let ports = typed(scene, "docker port web 8000").ok().text().to_owned();
    assert!(ports.lines().any(|line| line == "0.0.0.0:8000"), "{ports}");
    assert_eq!(
        inside(scene, "curl --silent --retry 10 --retry-connrefused http://localhost:8000/").ok().text(),
        "It works\n"
    );
    assert!(typed(scene, "docker ps").ok().text().contains("webserver"));
    typed(scene, "docker logs web").ok();
    typed(scene, "docker stop -t 1 web && docker rm web").ok();
}

fn an_image_is_built_and_run(scene: &Scene) {
    let folder = scene.path("getting-started");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("app.sh"), "echo \"Hello, $NAME\"\n").unwrap();
    let file = "FROM busybox\nENV NAME=World\nWORKDIR /app\nCOPY . .\nRUN chmod +x app.sh\nCMD [\"sh\", \"app.sh\"]\n";
    fs::write(folder.join("Dockerfile"), file).unwrap();
    typed(scene, &format!("cd {} && docker build -t getting-started .", folder.display())).ok();
    assert_eq!(typed(scene, "docker run --rm getting-started").ok().line(), "Hello, World");
    assert_eq!(typed(scene, "docker run --rm -e NAME='a b' getting-started").ok().line(), "Hello, a b");
}

fn compose_brings_up_services_that_find_each_other(scene: &Scene) {
    let file = "services:\n  web:\n    image: webserver\n    ports:\n      - \"8001:8000\"\n  client:\n    image: busybox\n    \
                depends_on: [web]\n    command: sh -c 'until wget -q -O - http://web:8000/; do sleep 1; done'\n";
    let write = format!("mkdir -p app && cat >app/compose.yaml <<'END'\n{file}END\n");
    inside(scene, &write).ok();
    inside(scene, "cd app && docker compose up -d").ok();
    let answer =
        inside(scene, "cd app && docker compose wait client >/dev/null; docker compose logs --no-log-prefix client");
    assert!(answer.ok().text().contains("It works"), "{answer}");
    assert_eq!(inside(scene, "curl --silent http://localhost:8001/").ok().text(), "It works\n");
    // As the tutorials have it, from this computer.
    let from_here = typed(scene, "curl --silent --retry 10 --retry-connrefused http://$(machine ip dev):8001/");
    assert_eq!(from_here.ok().text(), "It works\n");
    assert!(inside(scene, "cd app && docker-compose ps").ok().text().contains("web"), "the old name works, too");
    inside(scene, "cd app && docker compose down -t 1").ok();
}

fn links_and_networks_connect_containers(scene: &Scene) {
    let fetch = "sh -c 'for i in 1 2 3 4 5 6 7 8 9; do wget -q -O - http://HOST:8000/ && break; sleep 1; done'";
    typed(scene, "docker run -d --name linked webserver").ok();
    let through_link =
        typed(scene, &format!("docker run --rm --link linked:db busybox {}", fetch.replace("HOST", "db")));
    assert_eq!(through_link.ok().line(), "It works");
    typed(scene, "docker network create my-net && docker run -d --name named --network my-net webserver").ok();
    let by_name = typed(scene, &format!("docker run --rm --network my-net busybox {}", fetch.replace("HOST", "named")));
    assert_eq!(by_name.ok().line(), "It works");
    typed(scene, "docker rm -f linked named && docker network rm my-net").ok();
}

fn volumes_and_bound_folders_keep_files(scene: &Scene) {
    typed(scene, "docker volume create todo-db").ok();
    typed(scene, "docker run --rm -v todo-db:/etc/todos busybox sh -c 'echo kept > /etc/todos/todo'").ok();
    assert_eq!(typed(scene, "docker run --rm -v todo-db:/etc/todos busybox cat /etc/todos/todo").ok().line(), "kept");
    inside(scene, "mkdir -p bound && echo from the host >bound/file").ok();
    let bound = inside(
        scene,
        "docker run --rm -v \"$PWD/bound:/work\" busybox sh -c 'cat /work/file; echo back > /work/other'; cat bound/other",
    );
    assert_eq!(bound.ok().text(), "from the host\nback\n");
}

fn one_sits_in_a_container(scene: &Scene) {
    typed(scene, "docker run -d --name sit busybox sleep 10000").ok();
    let line = "eval \"$(machine env dev)\"; docker exec -it sit sh; echo left=$?";
    let mut terminal = Terminal::open(scene, 30, 90, line);
    terminal.shows("/ # ");
    terminal.types("echo in=$((40+2))\n");
    terminal.shows("in=42");
    terminal.types("exit 3\n");
    terminal.shows("left=3");
    terminal.ends().ok();
    typed(scene, "docker rm -f sit").ok();
}

fn an_image_is_pushed_to_a_private_registry(scene: &Scene, private: &str) {
    typed(scene, &format!("docker tag getting-started {private}/ann/app:1.0")).ok();
    assert_ne!(typed(scene, &format!("docker push -q {private}/ann/app:1.0")).code(), 0, "nobody has logged in");
    assert_ne!(typed(scene, &format!("echo wrong | docker login -u ann --password-stdin {private}")).code(), 0);
    typed(scene, &format!("echo secret | docker login -u ann --password-stdin {private}")).ok();
    typed(scene, &format!("docker push -q {private}/ann/app:1.0 && docker rmi {private}/ann/app:1.0 getting-started"))
        .ok();
    assert_eq!(typed(scene, &format!("docker run --rm {private}/ann/app:1.0")).ok().line(), "Hello, World");
    typed(scene, &format!("docker logout {private}")).ok();
}
