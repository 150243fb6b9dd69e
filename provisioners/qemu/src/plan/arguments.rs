//! QEMU's command line.

use machine_core::{Carrier, Error, Result, SharedFolder};
use machine_images::{Arch, Boot};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{PlanInput, folders};
use crate::facts::{Accelerator, HostOs, QemuFacts};
use crate::option_string::{escaped, text};

/// The arguments, complete.
pub fn arguments(
    input: &PlanInput<'_>,
    qemu: &QemuFacts,
    accelerator: Accelerator,
    cpu_model: &str,
    memory_mib: u64,
    shared: &[SharedFolder],
) -> Result<Vec<String>> {
    let guest = input.image.arch;
    let host = input.facts.os;
    let paths = input.paths;
    let token = Uuid::parse_str(input.token)
        .map_err(|error| Error::other(format!("the token {:?} is no UUID", input.token)).because(error))?;
    let mut line = Line(Vec::new());

    // Nothing but what is listed here: no devices by default, no configuration of the distribution or the user.
    line.flag("-nodefaults");
    line.flag("-no-user-config");
    line.add("-name", format!("guest={}", escaped(input.machine)));
    line.add("-uuid", token.to_string());
    line.add("-msg", "timestamp=on");
    // The user's own arguments may ask for what this forbids (a bridge, a helper program).
    if qemu.sandbox && input.extra_arguments.is_empty() {
        line.add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny");
    }

    let by_virtiofs = input.carrier == Carrier::Virtiofs && !shared.is_empty();
    // Whoever serves folders by virtiofs reads and writes the guest's memory itself.
    line.add("-machine", if by_virtiofs { format!("{},memory-backend=ram", machine(input)) } else { machine(input) });
    if guest == Arch::Amd64 {
        // A guest that suspends itself could not be woken: nobody has a keyboard on it.
        line.add("-global", "ICH9-LPC.disable_s3=1");
        line.add("-global", "ICH9-LPC.disable_s4=1");
    }
    line.add("-accel", acceleration(input, accelerator));
    line.add("-cpu", cpu_model);
    line.add("-smp", format!("{0},sockets=1,cores={0},threads=1", input.cpus));
    line.add("-m", format!("{memory_mib}M"));
    if by_virtiofs {
        line.add("-object", format!("memory-backend-memfd,id=ram,size={memory_mib}M,share=on"));
    }
    // The guest's hardware clock follows this computer's through sleep; chrony inside corrects the rest.
    line.add("-rtc", "base=utc,clock=host");
    line.add("-display", "none");

    match &input.image.boot {
        Boot::Direct { kernel, initrd, args } => {
            line.add("-kernel", text(kernel)?);
            line.add("-initrd", text(initrd)?);
            line.add("-append", kernel_arguments(args, guest, accelerator));
        }
        // Amd64 boots with QEMU's own BIOS, whichever it finds in its data folder.
        Boot::Firmware if guest == Arch::Arm64 => {
            let firmware = qemu.firmware.as_ref().ok_or_else(|| {
                Error::new(machine_core::Code::PreCreate, "no UEFI firmware for arm64 guests was found")
                    .hint("it comes with QEMU on macOS and Windows; on Linux install qemu-efi-aarch64 (apt) or edk2-aarch64 (dnf)")
            })?;
            // As a read-only image in memory: `-drive if=pflash` wants exactly 64 MiB, and a writable flash prevents
            // snapshots and triggers EXC_GUARD on macOS 26.3.
            line.add("-bios", text(firmware)?);
            if let Some(vars) = &paths.vars {
                line.add("-blockdev", disk("vars", "qcow2", text(vars)?, false, &Wear::default()));
            }
        }
        Boot::Firmware => {}
    }

    // No `aio` or `cache`: the host's page cache with the guest's flushes honoured is safe on every system, and `native` or
    // `io_uring` need what not every host has. Freed blocks are given back to the host; on the disk of containers blocks
    // of zeroes are not kept at all, or a fresh ext4's inode tables alone would take 1.5 % of it.
    let bootindex = if matches!(input.image.boot, Boot::Firmware) { ",bootindex=1" } else { "" };
    line.add("-blockdev", disk("os", "qcow2", text(&paths.os_disk)?, false, &Wear { discard: true, zeroes: false }));
    line.add("-device", format!("virtio-blk-pci,drive=os,serial=os{bootindex}"));
    line.add("-blockdev", disk("data", "qcow2", text(&paths.data_disk)?, false, &Wear { discard: true, zeroes: true }));
    line.add("-device", "virtio-blk-pci,drive=data,serial=data");
    line.add("-blockdev", disk("seed", "raw", text(&paths.seed)?, true, &Wear::default()));
    line.add("-device", "virtio-blk-pci,drive=seed,serial=seed");

    // Ports are forwarded later, over QMP: port 0 and asking which one it became leaves no race. No IPv6: the user network
    // would announce a route that leads nowhere where the host has none.
    line.add("-netdev", "user,id=net0,net=10.0.2.0/24,dhcpstart=10.0.2.15,ipv6=off");
    line.add("-device", format!("virtio-net-pci,netdev=net0,mac={},romfile=", mac(token)));

    line.add("-device", "virtio-rng-pci");
    // Gives memory that the guest frees back to the host. Linux only: elsewhere QEMU has no way to discard guest memory.
    if host == HostOs::Linux {
        line.add("-device", "virtio-balloon-pci,free-page-reporting=on");
    }
    // Tells the guest that it was started from a saved state, so that it reseeds its random numbers. QEMU has it on x86.
    if guest == Arch::Amd64 {
        line.add("-device", "vmgenid,guid=auto");
    }

    // What the guest service is asked over. A console, not a bare port: that would look closed to the guest whenever nobody
    // is connected here.
    let channel = escaped(text(&paths.channel_socket)?);
    line.add("-chardev", format!("socket,id=channel,path={channel},server=on,wait=off"));
    line.add("-device", "virtio-serial-pci,max_ports=2");
    line.add("-device", "virtconsole,chardev=channel");

    folders::add(&mut line, input, shared)?;

    line.add("-chardev", format!("file,id=serial,path={},append=on", escaped(text(&paths.serial_log)?)));
    line.add("-serial", "chardev:serial");
    line.add("-chardev", format!("socket,id=qmp,path={},server=on,wait=off", escaped(text(&paths.qmp_socket)?)));
    line.add("-mon", "chardev=qmp,mode=control");

    line.0.extend(input.extra_arguments.iter().cloned());
    Ok(line.0)
}

/// A command line that is being written.
pub struct Line(Vec<String>);

impl Line {
    fn flag(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    /// Adds an option with its value.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(name.to_owned());
        self.0.push(value.into());
    }
}

fn machine(input: &PlanInput<'_>) -> String {
    match input.image.arch {
        // No VMware port: nobody asks for it, and it is one more device for the guest to reach the host by.
        Arch::Amd64 => "q35,vmport=off".to_owned(),
        Arch::Arm64 if input.paths.vars.is_some() && input.image.boot == Boot::Firmware => {
            "virt,pflash1=vars".to_owned()
        }
        Arch::Arm64 => "virt".to_owned(),
    }
}

/// The kernel's command line.
///
/// An emulated x86 guest on a busy host may get its first timer ticks so late that the kernel takes the timer for broken and
/// panics ("IO-APIC + timer doesn't work!": 3 of 9 boots of Linux 6.12 on two cores with a load of 15, QEMU 10.0.2; 0 of 4
/// with the option). `no_timer_check` leaves that test out, as Linux does by itself under KVM and Hyper-V.
fn kernel_arguments(args: &str, guest: Arch, accelerator: Accelerator) -> String {
    const UNTESTED_TIMER: &str = "no_timer_check";
    if guest == Arch::Amd64
        && accelerator == Accelerator::Tcg
        && !args.split_whitespace().any(|arg| arg == UNTESTED_TIMER)
    {
        return format!("{} {UNTESTED_TIMER}", args.trim_end());
    }
    args.to_owned()
}

fn acceleration(input: &PlanInput<'_>, accelerator: Accelerator) -> String {
    match accelerator {
        Accelerator::Tcg => {
            // Each virtual CPU on a thread of its own. Not for x86 guests on Arm, whose memory order is weaker: there QEMU
            // knows best. 512 MiB of translated code hold a whole Linux userland; pages are used only as they fill.
            let threads =
                if input.image.arch == Arch::Amd64 && input.facts.arch == Arch::Arm64 { "" } else { ",thread=multi" };
            format!("tcg{threads},tb-size=512")
        }
        Accelerator::Kvm | Accelerator::Hvf | Accelerator::Whpx => accelerator.name().to_owned(),
    }
}

/// What a disk does with blocks that are no longer used.
#[derive(Default)]
struct Wear {
    discard: bool,
    zeroes: bool,
}

/// A block device as JSON: any path is safe in it.
fn disk(node: &str, format: &str, path: &str, read_only: bool, wear: &Wear) -> String {
    let mut file = json!({ "driver": "file", "filename": path });
    let mut disk = json!({ "driver": format, "node-name": node, "read-only": read_only });
    if wear.discard {
        // Both layers pass it on only when told to.
        file["discard"] = Value::from("unmap");
        disk["discard"] = Value::from("unmap");
    }
    if wear.zeroes {
        disk["detect-zeroes"] = Value::from("unmap");
    }
    disk["file"] = file;
    disk.to_string()
}

/// A locally administered address in QEMU's own range (52:54:00), the rest from the token: the same at each start.
fn mac(token: Uuid) -> String {
    let bytes = token.as_bytes();
    format!("52:54:00:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2])
}
