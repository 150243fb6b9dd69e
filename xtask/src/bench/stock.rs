//! What our machines are compared with: bare QEMU with Debian's own kernel, initrd, network and engine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::boot::Running;
use crate::Result;
use crate::command::Program;

/// What the stock image writes on its console when its engine answers.
const LISTENING: &str = "stock: engine listening";
/// No boot takes longer.
const LIMIT: Duration = Duration::from_secs(400);

/// Boots the image in `stock` once on a new overlay in `scratch`, with two CPUs and `memory` MiB; returns the time from
/// QEMU's start to an answering engine.
pub fn boot(stock: &Path, scratch: &Path, memory: u64) -> Result<Duration> {
    let file = |name: &str| stock.join(name).display().to_string();
    let overlay = scratch.join("stock.qcow2");
    let console = scratch.join("stock.serial");
    let _none_the_first_time = fs::remove_file(&console);
    Program::line("qemu-img create -q -f qcow2 -F qcow2 -b").arg(file("disk.qcow2")).arg(&overlay).read()?;
    let said = |error: &dyn std::fmt::Display| format!("the stock image: {error}");
    let text = fs::read_to_string(stock.join("manifest.json")).map_err(|error| said(&error))?;
    let manifest: serde_json::Value = serde_json::from_str(&text).map_err(|error| said(&error))?;
    let arguments = manifest["kernel_args"].as_str().ok_or("the stock image has no kernel arguments")?;
    let begun = Instant::now();
    let child = Command::new("qemu-system-x86_64")
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-cpu", "max", "-smp", "2"])
        .args(["-accel", "tcg,thread=multi,tb-size=512", "-m", &format!("{memory}M")])
        .args(["-kernel", &file("vmlinuz"), "-initrd", &file("initrd.img")])
        .args(["-append", &format!("{arguments} no_timer_check")])
        .args(["-drive", &format!("if=none,id=os,format=qcow2,file={}", overlay.display())])
        .args(["-device", "virtio-blk-pci,drive=os", "-device", "virtio-rng-pci"])
        .args(["-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="])
        .args(["-serial", &format!("file:{}", console.display())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start QEMU: {error}"))?;
    let mut running = Running(child);
    loop {
        let text = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
        if text.contains(LISTENING) {
            return Ok(begun.elapsed());
        }
        if let Ok(Some(status)) = running.0.try_wait() {
            return Err(format!("QEMU with the stock image ended ({status}); its console:\n{text}"));
        }
        if begun.elapsed() > LIMIT {
            return Err(format!("the stock image had no engine after {} s; its console:\n{text}", LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
