use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use machine_core::Code;
use machine_docker::{Engine, EngineFailure, EngineTarget, engine_time};

use crate::authority::{Authority, Identity};
use crate::scripted_engine::{ScriptedEngine, response};

pub fn target(address: SocketAddr, ca: &Authority, client: &Identity) -> EngineTarget {
    EngineTarget {
        machine: "dev".into(),
        address,
        server_name: "127.0.0.1".into(),
        ca_pem: ca.pem(),
        client_cert_pem: client.cert.clone(),
        client_key_pem: client.key.clone(),
        timeout: Duration::from_secs(20),
    }
}

async fn ping_failure(target: &EngineTarget) -> EngineFailure {
    let error = Engine::connect(target).unwrap().ping().await.unwrap_err();
    assert!(error.to_string().contains("\"dev\""), "{error}");
    error.failure
}

fn ok(_: &str) -> String {
    response("200 OK", "OK")
}

#[tokio::test]
async fn the_calls_ask_unversioned_paths_and_read_dockers_answers() {
    let store = Authority::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let engine = ScriptedEngine::start(&store.server(&["127.0.0.1"]), &store, move |line| {
        heard.lock().unwrap().push(line.to_owned());
        match line.split(' ').nth(1).unwrap().split('?').next().unwrap() {
            "/_ping" => ok(line),
            "/version" => response("200 OK", r#"{"Version":"27.3.1","ApiVersion":"1.47","MinAPIVersion":"1.24"}"#),
            "/info" => response(
                "200 OK",
                r#"{"ContainersRunning":3,"Driver":"overlay2","SystemTime":"2026-11-22T01:02:03.5Z","LaterField":{}}"#,
            ),
            "/containers/json" => response("200 OK", r#"[{"Id":"abc","Names":["/web"],"State":"running"}]"#),
            _ => response("404 Not Found", r#"{"message":"page not found"}"#),
        }
    });
    let engine_of = Engine::connect(&target(engine.address, &store, &store.client())).unwrap();
    engine_of.ping().await.unwrap();
    assert_eq!(engine_of.version().await.unwrap().version.as_deref(), Some("27.3.1"));
    let info = engine_of.info().await.unwrap();
    assert_eq!((info.containers_running, info.driver.as_deref()), (Some(3), Some("overlay2")));
    assert_eq!(engine_time(&info).unwrap().to_string(), "2026-11-22T01:02:03.5Z");
    let containers = engine_of.containers(true).await.unwrap();
    assert_eq!(containers[0].names.as_deref().unwrap(), ["/web"]);
    let asked = asked.lock().unwrap();
    assert_eq!(asked[..3], ["GET /_ping HTTP/1.1", "GET /version HTTP/1.1", "GET /info HTTP/1.1"]);
    assert!(asked[3].starts_with("GET /containers/json?") && asked[3].contains("all=true"), "{}", asked[3]);
}

#[tokio::test]
async fn an_engine_of_another_store_is_refused() {
    let (store, other) = (Authority::new(), Authority::new());
    let engine = ScriptedEngine::start(&other.server(&["127.0.0.1"]), &store, ok);
    let failure = ping_failure(&target(engine.address, &store, &store.client())).await;
    assert_eq!(failure, EngineFailure::CertificateUntrusted);
    assert!(!failure.is_not_yet());
}

#[tokio::test]
async fn a_certificate_for_other_names_is_refused() {
    let store = Authority::new();
    let engine = ScriptedEngine::start(&store.server(&["127.0.0.2", "elsewhere"]), &store, ok);
    let failure = ping_failure(&target(engine.address, &store, &store.client())).await;
    assert_eq!(failure, EngineFailure::CertificateName);
}

#[tokio::test]
async fn certificates_of_another_time_are_told_apart() {
    let store = Authority::new();
    for (from, to, expected) in
        [(2089, 2090, EngineFailure::CertificateNotYetValid), (2001, 2002, EngineFailure::CertificateExpired)]
    {
        let engine = ScriptedEngine::start(&store.server_between(&["127.0.0.1"], from, to), &store, ok);
        let connected = Engine::connect(&target(engine.address, &store, &store.client())).unwrap();
        let error = connected.ping().await.unwrap_err();
        assert_eq!(error.failure, expected, "{error:?}");
        assert!(error.error.hints().iter().any(|hint| hint.contains("clock")), "{error:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_of_another_store_is_refused_by_the_engine_and_told_as_that() {
    let (store, other) = (Authority::new(), Authority::new());
    let engine = ScriptedEngine::start(&store.server(&["127.0.0.1"]), &store, ok);
    let failure = ping_failure(&target(engine.address, &store, &other.client())).await;
    assert_eq!(failure, EngineFailure::ClientRefused);
    assert!(!failure.is_not_yet());
}

#[tokio::test]
async fn a_connection_that_is_closed_or_reset_after_it_was_accepted_is_not_yet() {
    let store = Authority::new();
    let closing = ScriptedEngine::listen(drop);
    let failure = ping_failure(&target(closing.address, &store, &store.client())).await;
    assert_eq!(failure, EngineFailure::NotUp);
    assert!(failure.is_not_yet());

    // Closing with unread bytes resets: the client's first message is there once one byte can be seen.
    let resetting = ScriptedEngine::listen(|stream| {
        let _ = stream.peek(&mut [0]);
    });
    assert_eq!(ping_failure(&target(resetting.address, &store, &store.client())).await, EngineFailure::NotUp);

    // TLS up, and then gone without an answer.
    let silent = ScriptedEngine::start(&store.server(&["127.0.0.1"]), &store, |_| String::new());
    assert_eq!(ping_failure(&target(silent.address, &store, &store.client())).await, EngineFailure::NotUp);
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_refused_and_not_yet() {
    let store = Authority::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = ping_failure(&target(address, &store, &store.client())).await;
    assert_eq!(failure, EngineFailure::Refused);
    assert!(failure.is_not_yet());
}

#[tokio::test]
async fn a_server_that_says_nothing_ends_within_the_limit() {
    let store = Authority::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = target(silent.local_addr().unwrap(), &store, &store.client());
    target.timeout = Duration::from_millis(300);
    let began = Instant::now();
    let error = Engine::connect(&target).unwrap().ping().await.unwrap_err();
    assert!(began.elapsed() >= target.timeout && began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((error.failure, error.error.code()), (EngineFailure::TimedOut, Code::TimedOut));
}

#[tokio::test]
async fn an_answer_that_never_ends_is_bounded_too() {
    let store = Authority::new();
    let engine = ScriptedEngine::start(&store.server(&["127.0.0.1"]), &store, |_| {
        std::thread::sleep(Duration::from_secs(2));
        response("200 OK", "{}")
    });
    let mut target = target(engine.address, &store, &store.client());
    target.timeout = Duration::from_millis(500);
    let error = Engine::connect(&target).unwrap().info().await.unwrap_err();
    assert_eq!(error.failure, EngineFailure::TimedOut);
}

#[tokio::test]
async fn dockers_own_error_message_comes_through() {
    let store = Authority::new();
    let engine = ScriptedEngine::start(&store.server(&["127.0.0.1"]), &store, |_| {
        response("500 Internal Server Error", r#"{"message":"the graph driver is broken"}"#)
    });
    let error = Engine::connect(&target(engine.address, &store, &store.client())).unwrap().info().await.unwrap_err();
    assert_eq!(error.failure, EngineFailure::Http(500));
    assert!(error.to_string().contains("500: the graph driver is broken"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_not_dockers_is_told_as_that() {
    let store = Authority::new();
    let engine = ScriptedEngine::start(&store.server(&["127.0.0.1"]), &store, |_| response("200 OK", "<html>"));
    let error = Engine::connect(&target(engine.address, &store, &store.client())).unwrap().info().await.unwrap_err();
    assert_eq!(error.failure, EngineFailure::Protocol, "{error:?}");
}

#[test]
fn certificates_that_cannot_be_used_are_told_before_anything_is_sent() {
    let store = Authority::new();
    let good = target("127.0.0.1:1".parse().unwrap(), &store, &store.client());
    let broken = [
        EngineTarget { ca_pem: "nothing".into(), ..good.clone() },
        EngineTarget { client_key_pem: String::new(), ..good.clone() },
        EngineTarget { client_key_pem: store.client().key, ..good.clone() },
        EngineTarget { server_name: "not a name".into(), ..good.clone() },
    ];
    for (case, target) in broken.iter().enumerate() {
        let error = Engine::connect(target).unwrap_err();
        assert_eq!(error.failure, EngineFailure::Local, "case {case}: {error:?}");
    }
    assert!(!format!("{good:?}").contains("PRIVATE"));
}
