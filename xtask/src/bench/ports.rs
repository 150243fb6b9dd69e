//! A port that a container publishes, against QEMU's own forwarding of the same port.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::containers::{docker, import_busybox};
use super::{Bench, median, ratio, timed};
use crate::Result;

/// The machine.
const NAME: &str = "ports";
/// What a client waits for at most: longer than TCP repeats a lost beginning.
const LIMIT: Duration = Duration::from_secs(60);
/// Bytes of the large file.
const LARGE: usize = 64 << 20;
/// A small answer, asked for again and again.
const REQUESTS: usize = 200;
/// Clients that come at once.
const CROWD: usize = 500;

/// Needs no machine and leaves none.
pub fn measure(bench: &Bench, rounds: usize) -> Result<()> {
    let monitor = bench.store.join("qmp");
    let server = format!("unix:{},server=on,wait=off", monitor.display());
    let words = ["--quiet", "create", "--no-warm", "--qemu-arg=-qmp", &format!("--qemu-arg={server}"), NAME];
    bench.machine(&words).read()?;
    let (ours, direct) = (free_port()?, free_port()?);
    import_busybox(bench, NAME)?;
    let serve = format!(
        "cd /tmp && /bin/busybox dd if=/dev/zero of=large bs=1M count={} && echo small >small && exec /bin/busybox httpd -f -p 80 -h /tmp",
        LARGE >> 20
    );
    let run = format!("docker run -d --name web -p {ours}:80 box /bin/busybox sh -c '{serve}' >/dev/null");
    docker(bench, NAME, &run)?;
    forward(&monitor, direct, ours)?;
    let (ours, direct) = (here(ours), here(direct));
    for address in [ours, direct] {
        until_answered(address)?;
    }

    let mut rates: [Vec<Duration>; 6] = Default::default();
    for _ in 0..rounds.max(1) {
        for (index, address) in [direct, ours].into_iter().enumerate() {
            rates[index].push(timed(|| get(address, "large"))?.1);
            rates[2 + index].push(timed(|| (0..REQUESTS).try_for_each(|_| get(address, "small").map(drop)))?.1);
            rates[4 + index].push(timed(|| at_once(address))?.1);
        }
    }
    println!("\n| a container's port, software emulation | QEMU's forwarding | ours | ratio of rates | goal |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let [large, large_ours, small, small_ours, many, many_ours] = rates.each_mut().map(|times| median(times));
    let row = |what: &str, base: Duration, ours: Duration, amount: f64, unit: &str, goal: &str| {
        let rate = |time: Duration| format!("{:.1} {unit}", amount / time.as_secs_f64());
        println!("| {what} | {} | {} | {} | {goal} |", rate(base), rate(ours), ratio(base, ours));
    };
    row("one large download", large, large_ours, LARGE as f64 / 1e6, "MB/s", "0.80");
    row("requests, one after the other", small, small_ours, REQUESTS as f64, "/s", "");
    row("requests, 8 at a time", many, many_ours, REQUESTS as f64, "/s", "");
    for (who, address) in [("QEMU's forwarding", direct), ("ours", ours)] {
        let (lost, slowest) = crowd(address);
        println!(
            "\n{CROWD} clients at once, {who}: {lost} lost, the slowest connected after {:.2} s",
            slowest.as_secs_f64()
        );
    }
    memory(bench, ours)?;
    appears(bench, ours.port(), rounds)
}

fn here(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn free_port() -> Result<u16> {
    let found = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    found.map(|address| address.port()).map_err(|error| format!("no port is free: {error}"))
}

/// Has QEMU itself lead `from` to the guest's port `to`.
fn forward(monitor: &std::path::Path, from: u16, to: u16) -> Result<()> {
    let said = |error: std::io::Error| format!("QEMU's monitor: {error}");
    let stream = UnixStream::connect(monitor).map_err(said)?;
    let mut lines = BufReader::new(stream.try_clone().map_err(said)?).lines();
    let mut answer = |request: Option<Value>| -> Result<Value> {
        if let Some(request) = request {
            (&stream).write_all(format!("{request}\n").as_bytes()).map_err(said)?;
        }
        loop {
            let line = lines.next().ok_or("QEMU's monitor ended")?.map_err(said)?;
            let value: Value = serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
            if value.get("event").is_none() {
                return Ok(value);
            }
        }
    };
    answer(None)?;
    answer(Some(json!({ "execute": "qmp_capabilities" })))?;
    let line = format!("hostfwd_add tcp:127.0.0.1:{from}-:{to}");
    let done = answer(Some(json!({ "execute": "human-monitor-command", "arguments": { "command-line": line } })))?;
    if done["return"] == "" { Ok(()) } else { Err(format!("{line}: {done}")) }
}

/// Bytes of an answer, its head included.
fn get(address: SocketAddr, path: &str) -> Result<usize> {
    let asked = || {
        let mut client = TcpStream::connect_timeout(&address, LIMIT)?;
        client.set_read_timeout(Some(LIMIT))?;
        client.write_all(format!("GET /{path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut buffer = vec![0; 1 << 18];
        let mut all = 0;
        loop {
            match client.read(&mut buffer)? {
                0 => return Ok(all),
                some => all += some,
            }
        }
    };
    let wanted = if path == "large" { LARGE } else { 1 };
    match asked() {
        Ok(bytes) if bytes >= wanted => Ok(bytes),
        Ok(bytes) => Err(format!("{address} /{path}: {bytes} bytes only")),
        Err(error) => Err::<_, std::io::Error>(error).map_err(|error| format!("{address} /{path}: {error}")),
    }
}

fn until_answered(address: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    while let Err(error) = get(address, "small") {
        if begun.elapsed() > LIMIT {
            return Err(error);
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// [`REQUESTS`], by eight clients.
fn at_once(address: SocketAddr) -> Result<()> {
    let clients: Vec<_> = (0..8)
        .map(|_| thread::spawn(move || (0..REQUESTS / 8).try_for_each(|_| get(address, "small").map(drop))))
        .collect();
    clients.into_iter().try_for_each(|client| client.join().unwrap_or_else(|_| Err("a client panicked".to_owned())))
}

/// How many of [`CROWD`] got no answer, and after what time the last was connected.
fn crowd(address: SocketAddr) -> (usize, Duration) {
    let client = move || {
        let begun = Instant::now();
        let connected = TcpStream::connect_timeout(&address, LIMIT).map(|mut client| {
            let took = begun.elapsed();
            let mut answer = Vec::new();
            let asked = client
                .set_read_timeout(Some(LIMIT))
                .and_then(|()| client.write_all(b"GET /small HTTP/1.0\r\n\r\n"))
                .and_then(|()| client.read_to_end(&mut answer));
            (took, asked.is_ok() && answer.ends_with(b"small\n"))
        });
        connected.unwrap_or((begun.elapsed(), false))
    };
    let clients: Vec<_> = (0..CROWD).map(|_| thread::spawn(client)).collect();
    let results: Vec<_> = clients.into_iter().map(|client| client.join().unwrap_or((LIMIT, false))).collect();
    let lost = results.iter().filter(|(_, answered)| !answered).count();
    (lost, results.iter().map(|(took, _)| *took).max().unwrap_or_default())
}

/// What the supervisor holds before, under, and after 200 idle and 50 busy connections.
fn memory(bench: &Bench, address: SocketAddr) -> Result<()> {
    let before = bench.resident(NAME)?;
    let idle: Vec<_> = (0..200).filter_map(|_| TcpStream::connect_timeout(&address, LIMIT).ok()).collect();
    let ends = Instant::now() + Duration::from_secs(20);
    let busy: Vec<_> = (0..50)
        .map(|_| {
            thread::spawn(move || {
                while Instant::now() < ends {
                    // A slow guest may drop one of so many; the others go on.
                    if let Ok(mut client) = TcpStream::connect_timeout(&address, LIMIT) {
                        let _asked = client
                            .set_read_timeout(Some(LIMIT))
                            .and_then(|()| client.write_all(b"GET /large HTTP/1.0\r\n\r\n"));
                        let mut buffer = vec![0; 1 << 16];
                        while Instant::now() < ends && client.read(&mut buffer).is_ok_and(|some| some > 0) {}
                        let _gone = client.shutdown(Shutdown::Both);
                    }
                }
            })
        })
        .collect();
    let mut during = before;
    while Instant::now() < ends {
        during = during.max(bench.resident(NAME)?);
        thread::sleep(Duration::from_millis(250));
    }
    for client in busy {
        client.join().map_err(|_| "a client panicked")?;
    }
    let open = idle.len();
    drop(idle);
    thread::sleep(Duration::from_secs(2));
    println!(
        "\nsupervisor, MB resident: {before:.1} before, {during:.1} at most with {open} idle and 50 busy connections, {:.1} after",
        bench.resident(NAME)?
    );
    Ok(())
}

/// From the engine's word that the container has started to the port's being open.
fn appears(bench: &Bench, port: u16, rounds: usize) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..rounds.max(3) {
        docker(bench, NAME, "docker stop -t 0 web >/dev/null")?;
        let begun = Instant::now();
        while TcpStream::connect(here(port)).is_ok() {
            if begun.elapsed() > LIMIT {
                return Err("the port of a stopped container stays open".to_owned());
            }
            thread::sleep(Duration::from_millis(5));
        }
        let line = format!(
            "eval \"$('{}' env --shell bash {NAME})\" && exec docker events --filter event=start",
            bench.program.display()
        );
        let mut events = Command::new("bash")
            .args(["-c", &line])
            .envs(bench.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot follow the engine: {error}"))?;
        let said = events.stdout.take().ok_or("no output")?;
        let told = thread::spawn(move || {
            let mut line = String::new();
            BufReader::new(said).read_line(&mut line).map(|_| Instant::now())
        });
        // The follower takes a moment to begin.
        thread::sleep(Duration::from_secs(3));
        let opened = thread::spawn(move || {
            let begun = Instant::now();
            while begun.elapsed() < LIMIT {
                if TcpStream::connect(here(port)).is_ok() {
                    return Some(Instant::now());
                }
                thread::sleep(Duration::from_millis(2));
            }
            None
        });
        docker(bench, NAME, "docker start web >/dev/null")?;
        let opened = opened.join().ok().flatten().ok_or("the port did not open")?;
        let told = told.join().map_err(|_| "the follower panicked")?.map_err(|error| error.to_string())?;
        let _ended = events.kill().and_then(|()| events.wait().map(drop));
        // Zero: it was open before another follower of the engine's events had heard of it.
        times.push(opened.saturating_duration_since(told));
    }
    let slowest = times.iter().max().copied().unwrap_or_default();
    println!(
        "\na port opens {} ms after the container's start was told (median), {} ms at most (goal: 300)",
        median(&mut times).as_millis(),
        slowest.as_millis()
    );
    Ok(())
}
