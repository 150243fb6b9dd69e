//! The folder of the machine, by tools that every distribution has: GNU find, tar, cp, and a shell.

use std::io::{self, Read};
use std::time::Duration;

use flate2::Compression;
use flate2::read::{GzEncoder, MultiGzDecoder};
use machine_core::{Code, Error, Result};
use machine_ssh::{ExitStatus, Output, Session, Stream, quote};

use crate::archive::Archive;
use crate::listing::{FORMAT, Listing, read};
use crate::place::{OWN, Place};
use crate::stop::Stop;
use crate::unpack::{Arrival, Unpacked, unpack};

/// How long looking at everything may take: a minute for a million files, under emulation some more.
const LIST_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long any copy may take; a connection that is silent for two minutes ends it before.
const COPY_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);
/// What is taken of what a tool prints, bytes: names and facts of some ten million files. The machine is not to fill this computer's memory.
const LONGEST: usize = 1 << 30;
/// What is kept of its complaints, of which a person is shown the last.
const COMPLAINTS: usize = 1 << 20;
/// What the script says when there is nothing, or no folder.
const ABSENT: i32 = 44;
const NOT_A_FOLDER: i32 = 45;

/// A folder in a machine.
pub(crate) struct Remote<'a> {
    pub(crate) session: &'a mut Session,
    pub(crate) machine: &'a str,
    /// As the user said it.
    pub(crate) said: &'a str,
    /// What unfinished things are called.
    pub(crate) own: &'a str,
    /// Whether to compress what goes over the connection.
    pub(crate) compress: bool,
    pub(crate) stop: &'a Stop,
}

/// What is there.
pub(crate) struct Found {
    pub(crate) listing: Listing,
    /// Its path, and that of the login user's home; none when there is no such folder.
    pub(crate) whereabouts: Option<(String, String)>,
}

impl Remote<'_> {
    fn script(&self, body: &str) -> String {
        let place = if self.said.is_empty() { "." } else { self.said };
        // sshd begins in the home folder, unless the administrator has it do something else first.
        let begin = "export LC_ALL=C; unset CDPATH; cd -P 2>/dev/null; home=$PWD";
        let script = format!("{begin}; place={}; own={}\n{body}", quote(place), quote(self.own));
        format!("exec sh -c {}", quote(&script))
    }

    fn named(&self) -> String {
        format!("{}:{}", self.machine, self.said)
    }

    fn run(&mut self, body: &str, input: &mut dyn Read) -> Result<Output> {
        let command = self.script(body);
        let (mut stdout, mut stderr, mut too_much) = (Vec::new(), Vec::new(), false);
        let status = self.session.exec_streaming(&command, input, LIST_LIMIT, &mut |stream, bytes| {
            self.stop.check()?;
            match stream {
                Stream::Stdout if stdout.len() + bytes.len() > LONGEST => {
                    too_much = true;
                    return Err(io::Error::from(io::ErrorKind::FileTooLarge));
                }
                Stream::Stdout => stdout.extend_from_slice(bytes),
                Stream::Stderr => keep_last(&mut stderr, bytes),
            }
            Ok(())
        });
        if too_much {
            let why = format!("what is in {} cannot be listed: it takes more than 1 GiB to name it", self.named());
            return Err(Error::other(why).hint("copy the folders in it one by one"));
        }
        // The command is long, and nobody typed it.
        let status = status.map_err(|error| self.stop.error().unwrap_or_else(|| self.cut(&error)))?;
        Ok(Output { status, stdout, stderr })
    }

    fn cut(&self, error: &Error) -> Error {
        let again = "another run carries on where this one ended";
        Error::new(error.code(), format!("the connection to machine {:?} was lost", self.machine)).hint(again)
    }

    /// Looks at all that is there.
    pub(crate) fn list(&mut self) -> Result<Found> {
        let body = format!(
            "[ -d \"$place\" ] || {{ [ -e \"$place\" ] || [ -L \"$place\" ] || exit {ABSENT}; exit {NOT_A_FOLDER}; }}\n\
             cd -P -- \"$place\" || exit 1\n\
             printf '%s\\0%s\\0' \"$PWD\" \"$home\"\n\
             exec find . -ignore_readdir_race -mindepth 1 -name '{OWN}*' -prune -o -printf '{FORMAT}'"
        );
        let output = self.run(&body, &mut io::empty())?;
        match output.status {
            ExitStatus::Code(ABSENT) => return Ok(Found { listing: Listing::default(), whereabouts: None }),
            ExitStatus::Code(NOT_A_FOLDER) => {
                return Err(Error::new(Code::Usage, format!("{} is a file, and `sync` copies folders", self.named()))
                    .hint("name the folder that it is in, and leave others out with --exclude"));
            }
            _ => {}
        }
        let output = self.succeeded(output, "cannot list")?;
        let mut parts = output.stdout.splitn(3, |byte| *byte == 0);
        let mut text = || parts.next().map(|part| String::from_utf8_lossy(part).into_owned()).unwrap_or_default();
        let whereabouts = (text(), text());
        Ok(Found { listing: read(parts.next().unwrap_or_default())?, whereabouts: Some(whereabouts) })
    }

    /// Gives things other names. What has such a name already keeps it.
    pub(crate) fn rename(&mut self, moves: &[(Place, Place)]) -> Result<()> {
        if moves.is_empty() {
            return Ok(());
        }
        let names: Vec<&Place> = moves.iter().flat_map(|(from, to)| [from, to]).collect();
        let body = "cd -P -- \"$place\" && exec xargs -0 -r -n 2 mv -nT --";
        let output = self.run(body, &mut &*list(names))?;
        self.succeeded(output, "cannot rename files in").map(drop)
    }

    /// Removes what is named, folders only when nothing is in them.
    pub(crate) fn remove(&mut self, removals: &[(Place, crate::entry::Entry)]) -> Result<()> {
        let of_kind = |folders: bool| {
            list(removals.iter().filter(|(_, entry)| entry.is_folder() == folders).map(|(place, _)| place))
        };
        for (names, tool) in [(of_kind(false), "rm -f"), (of_kind(true), "rmdir --ignore-fail-on-non-empty")] {
            if !names.is_empty() {
                let output = self.run(&format!("cd -P -- \"$place\" && exec xargs -0 -r {tool} --"), &mut &*names)?;
                self.succeeded(output, "cannot remove files from")?;
            }
        }
        Ok(())
    }

    /// The SHA-256 of files, in their order; one that cannot be read has none.
    pub(crate) fn digests(&mut self, places: &[Place]) -> Result<Vec<Option<String>>> {
        let body = "cd -P -- \"$place\" && exec xargs -0 -r sha256sum -z -b --";
        let output = self.run(body, &mut &*list(places))?;
        let mut known = std::collections::BTreeMap::new();
        for record in output.stdout.split(|byte| *byte == 0) {
            // `DIGEST *./PLACE` (coreutils manual, "md5sum invocation").
            if let Some((digest, name)) = record.split_at_checked(64)
                && let Some(name) = name.strip_prefix(b" *./")
            {
                known.insert(name.to_vec(), String::from_utf8_lossy(digest).into_owned());
            }
        }
        Ok(places.iter().map(|place| known.remove(place.as_bytes())).collect())
    }

    /// Makes the folder, if there is none.
    pub(crate) fn make(&mut self) -> Result<()> {
        let output = self.run("exec mkdir -p -- \"$place\"", &mut io::empty())?;
        self.succeeded(output, "cannot make the folder").map(drop)
    }

    /// Unpacks an archive there. Files are written beside the folder's own ones, and take their place when all of them are whole: what
    /// breaks off changes nothing.
    pub(crate) fn send(&mut self, archive: &mut Archive<'_>) -> Result<()> {
        let unpack = if self.compress { "gzip -dc | tar -x" } else { "tar -x" };
        // A folder of this run alone: the end of an earlier one, whose connection was lost, must not take it away. In place by links
        // where the file system has them, without a second copy.
        let body = format!(
            "set -e; cd -P -- \"$place\"; rm -rf -- \"$own\"-*; own=$own-$$; mkdir -m 700 -- \"$own\"; trap 'rm -rf -- \"$own\"' EXIT\n\
             {unpack} -p --no-same-owner -C \"$own\" -f -\n\
             place_by() {{ find \"$own\" -mindepth 1 -maxdepth 1 -exec cp -dR --remove-destination \"$@\" -t . -- {{}} +; }}\n\
             place_by -l --preserve=mode 2>/dev/null || place_by --preserve=mode,timestamps"
        );
        let command = self.script(&body);
        let mut output = Vec::new();
        let mut sink = |_, bytes: &[u8]| {
            keep_last(&mut output, bytes);
            Ok(())
        };
        let status = if self.compress {
            self.session.exec_streaming(
                &command,
                &mut GzEncoder::new(archive, Compression::fast()),
                COPY_LIMIT,
                &mut sink,
            )
        } else {
            self.session.exec_streaming(&command, archive, COPY_LIMIT, &mut sink)
        };
        let status = status.map_err(|error| self.stop.error().unwrap_or_else(|| self.cut(&error)))?;
        self.succeeded(Output { status, stdout: Vec::new(), stderr: output }, "cannot write to").map(drop)
    }

    /// Fetches files, and hands each on as it comes.
    pub(crate) fn fetch(&mut self, places: &[Place], arrival: &mut (dyn Arrival + Send)) -> Result<()> {
        let pack = "tar -c --format=posix --pax-option=delete=atime,delete=ctime --hard-dereference --ignore-failed-read --no-recursion --null -T - -f -";
        let body = if self.compress {
            // The shell tells of the last of a pipe alone.
            format!("cd -P -- \"$place\" || exit 1; {{ {pack}; echo $? >&3; }} 3>&2 | gzip -1c")
        } else {
            format!("cd -P -- \"$place\" || exit 1; {pack}; echo $? >&2")
        };
        let command = self.script(&body);
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<u8>>(64);
        let compress = self.compress;
        let mut stderr = Vec::new();
        let (status, unpacked) = std::thread::scope(|scope| {
            let unpacking = scope.spawn(move || {
                let pieces = Pieces { receiver, piece: Vec::new(), at: 0 };
                if compress { unpack(MultiGzDecoder::new(pieces), arrival) } else { unpack(pieces, arrival) }
            });
            let names = list(places);
            let status = self.session.exec_streaming(&command, &mut &*names, COPY_LIMIT, &mut |stream, bytes| {
                self.stop.check()?;
                match stream {
                    // Whoever takes no more has failed, and says so.
                    Stream::Stdout => sender.send(bytes.to_vec()).map_err(|_| io::Error::other("not wanted any more")),
                    Stream::Stderr => {
                        keep_last(&mut stderr, bytes);
                        Ok(())
                    }
                }
            });
            drop(sender);
            (status, unpacking.join())
        });
        let unpacked: Result<Unpacked> = match unpacked {
            Ok(unpacked) => unpacked,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        if let Some(interrupted) = self.stop.error() {
            return Err(interrupted);
        }
        match (status, unpacked) {
            (Ok(status), unpacked) => {
                let said = String::from_utf8_lossy(&stderr).into_owned();
                let (said, code) = said.trim_end().rsplit_once('\n').unwrap_or(("", said.trim_end()));
                // 1: a file changed while it was read ("GNU tar", Return Codes); it came with its new time, and is looked at again.
                let complete = status.success() && matches!(code, "0" | "1");
                match unpacked {
                    Ok(Unpacked::Whole) if complete => Ok(()),
                    Err(error) if complete => Err(error),
                    _ => {
                        let output = Output { status: ExitStatus::Code(1), stdout: Vec::new(), stderr: said.into() };
                        self.succeeded(output, "cannot read").map(drop)
                    }
                }
            }
            // What arrived was refused: that is why the connection was broken off.
            (Err(_), Err(refused)) => Err(refused),
            (Err(error), Ok(_)) => Err(self.cut(&error)),
        }
    }

    fn succeeded(&self, output: Output, doing: &str) -> Result<Output> {
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let shown = lines[lines.len().saturating_sub(3)..].join(" | ");
        // Whatever it is, it must not move the cursor.
        let shown: String = shown.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let why = if shown.is_empty() { output.status.to_string() } else { shown };
        let error = Error::other(format!("{doing} {}: {why}", self.named()));
        Err(if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
            error.hint("the machine's disk is full: free some space there")
        } else if said.contains("not found") || said.contains("unrecognized") || said.contains("unknown predicate") {
            error.hint(
                "`sync` needs GNU find, tar, cp and xargs in the machine: install findutils, tar and coreutils there",
            )
        } else if said.contains("Permission denied") {
            error.hint(
                "it is done as the machine's login user; name a folder of that user, or give it this one with chown",
            )
        } else {
            error
        })
    }
}

/// Adds to what a tool complains of; the beginning goes when it becomes too much.
fn keep_last(said: &mut Vec<u8>, more: &[u8]) {
    said.extend_from_slice(more);
    if said.len() > 2 * COMPLAINTS {
        said.drain(..said.len() - COMPLAINTS);
    }
}

/// Places, each with a zero byte at its end and nothing at its beginning that a tool could take for an option.
fn list<'a>(places: impl IntoIterator<Item = &'a Place>) -> Vec<u8> {
    places.into_iter().flat_map(|place| [b"./", place.as_bytes(), b"\0"].concat()).collect()
}

/// What comes in pieces, as one.
struct Pieces {
    receiver: std::sync::mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            match self.receiver.recv() {
                Ok(piece) => (self.piece, self.at) = (piece, 0),
                Err(_) => return Ok(0),
            }
        }
        let count = (self.piece.len() - self.at).min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
