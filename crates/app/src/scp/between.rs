//! From one machine to another, through this computer: neither needs a way or a key to the other.

use std::io::{self, Write as _};
use std::sync::mpsc::sync_channel;

use machine_core::{Error, Result};
use machine_ssh::{Account, FoundKind, Output, Session, Stream, complain, quote};
use machine_sync::Problem;

use super::carried::{Carried, Inlet, Outlet};
use super::copy::{COPY_LIMIT, Copying, LOOK_LIMIT, put, short_digest};
use super::words::Site;

/// Pieces that wait between the two: some 2 MiB.
const PIECES: usize = 64;

impl Copying<'_> {
    pub(super) fn between(&self, from: &Site, to: &Site) -> Result<Vec<Problem>> {
        let (Site::There { machine, user, place }, Site::There { machine: other, user: other_user, place: there }) =
            (from, to)
        else {
            return Err(Error::other("one of the two is not in a machine"));
        };
        let mut source = self.connect(machine, user.as_deref())?;
        let found = self.source(&mut source, machine, place)?;
        let mut target = self.connect(other, other_user.as_deref())?;
        let is_folder = found.kind == FoundKind::Folder;
        let to = self.target(&mut target, other, there, Site::last_name(place), is_folder)?;
        self.reporter
            .stage("copy", format!("Copying {machine}:{} to {other}:{}, through this computer", found.path, to.path));
        if let FoundKind::File { size, mode } = found.kind {
            let (inlet, outlet) = self.pipe(size);
            let result = std::thread::scope(|scope| {
                let reading = scope.spawn(|| {
                    let mut inlet = inlet;
                    source.download(&found.path, &mut inlet, Account::User, COPY_LIMIT)
                });
                let mut outlet = outlet;
                let written = put(&mut target, &mut outlet, size, &to, mode);
                drop(outlet);
                first_failure(reading.join(), written)
            });
            return result.map(|()| Vec::new()).map_err(unchanged);
        }
        self.folder_between(&mut source, &found.path, &mut target, &to.path)
    }

    fn pipe(&self, total: u64) -> (Carried<'_, Inlet>, Outlet) {
        let (sender, receiver) = sync_channel(PIECES);
        (Carried::new(Inlet(sender), total, self.stop, self.reporter), Outlet::new(receiver))
    }

    /// As one archive, unpacked beside the target; what is in it takes its place there when all of it has come.
    fn folder_between(&self, source: &mut Session, from: &str, target: &mut Session, to: &str) -> Result<Vec<Problem>> {
        let own =
            format!("{}/.machine-scp-{}", to.trim_end_matches('/'), short_digest(format!("{from}\0{to}").as_bytes()));
        let (own, to) = (quote(&own), quote(to));
        // GNU tar itself takes no name that leads out of where it unpacks, and makes such links last.
        let unpack = format!(
            "mkdir -p -- {to} && umask 077 && rm -rf -- {own} && mkdir -- {own} && exec tar -x -p --no-same-owner -C {own} -f -"
        );
        let place = format!(
            "set -e; own={own}; trap 'rm -rf -- \"$own\"' EXIT\n\
             place_by() {{ find \"$own\" -mindepth 1 -maxdepth 1 -exec cp -dR --remove-destination \"$@\" -t {to} -- {{}} +; }}\n\
             place_by -l --preserve=mode 2>/dev/null || place_by --preserve=mode,timestamps"
        );
        let pack = format!(
            "exec tar -c --format=posix --one-file-system --exclude='.machine-scp-*' -C {} -f - .",
            quote(from)
        );
        let (inlet, outlet) = self.pipe(0);
        let copied = std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut inlet = inlet;
                let mut stderr = Vec::new();
                let status =
                    source.exec_streaming(&pack, &mut io::empty(), COPY_LIMIT, &mut |stream, bytes| match stream {
                        Stream::Stdout => inlet.write_all(bytes),
                        Stream::Stderr => {
                            complain(&mut stderr, bytes);
                            Ok(())
                        }
                    })?;
                Output { status, stdout: Vec::new(), stderr }.text(&format!("cannot read {from}")).map(drop)
            });
            let mut outlet = outlet;
            let written = target.exec_with_input(&shell(&unpack), &mut outlet, COPY_LIMIT);
            drop(outlet);
            first_failure(reading.join(), written.and_then(|output| output.text("cannot unpack it there").map(drop)))
        });
        if let Err(error) = copied {
            // As far as the connection is still good; else the next copy to that place does it.
            let _ = target.exec(&format!("rm -rf -- {own}"), LOOK_LIMIT);
            return Err(unchanged(error));
        }
        target.exec(&shell(&place), COPY_LIMIT)?.text("cannot put it in place").map(|_| Vec::new())
    }
}

/// What people wonder at first.
fn unchanged(error: Error) -> Error {
    error.hint("the target has what it had before")
}

fn shell(script: &str) -> String {
    format!("exec sh -c {}", quote(script))
}

/// What went wrong first: a source that fails ends the target's input too, and the other way round.
fn first_failure(reading: std::thread::Result<Result<()>>, written: Result<()>) -> Result<()> {
    let read = reading.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    match (read, written) {
        (Err(read), Err(written)) if read.to_string().contains("takes no more") => Err(written),
        (read, written) => read.and(written),
    }
}
