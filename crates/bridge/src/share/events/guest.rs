//! The shell in the guest that raises events there: one for as long as the connection lasts, and one process for each batch.

use std::collections::BTreeMap;
use std::time::Duration;

use machine_core::{Code, Error, Result};
use machine_ssh::Tunnel;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};

use crate::share::mounts::mangled;
use crate::share::sftp::{AWAY, SIGN};

use super::news::Gone;

/// How long a batch may take: each path is a few requests to us, through a guest that may be slow.
const LIMIT: Duration = Duration::from_secs(120);

/// A root shell that reads its script as it comes.
pub(super) struct Guest {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    writer: WriteHalf<DuplexStream>,
    /// Batches so far.
    told: u64,
}

impl Guest {
    /// Starts it, and sees whether it can do what is asked of it.
    ///
    /// # Errors
    /// A connection that is lost, or a machine whose `touch` cannot do it.
    pub(super) async fn start(tunnel: &Tunnel) -> Result<Self> {
        let (stream, _end) = tunnel.exec("exec sudo -n sh -s").await?.into_parts();
        let (reader, writer) = tokio::io::split(stream);
        let mut guest = Self { lines: BufReader::new(reader).lines(), writer, told: 0 };
        // What is not there is not touched: this tells whether the words are known (BusyBox before 1.35 knows no `-m`).
        let begin = "touch -cmhd @0 /run/machine-signs/none >/dev/null 2>&1 </dev/null && echo yes || echo no";
        let knows = guest.say(format!("{IS_OURS}\n{begin}")).await?;
        if knows != "yes" {
            return Err(Error::other("the machine's `touch` cannot raise file events")
                .hint("install coreutils in it, or share the folder without `events`"));
        }
        Ok(guest)
    }

    /// Raises the events of some paths in the shares at `places`. Returns when watchers there have them.
    ///
    /// # Errors
    /// A connection that is lost, or a guest that does not answer.
    pub(super) async fn tell(&mut self, places: &[String], changed: &[Vec<u8>], gone: &[Gone]) -> Result<()> {
        self.told += 1;
        let mut script = signs(places, changed, gone, self.told);
        let answer = self.told.to_string();
        script.extend_from_slice(format!("echo {answer}").as_bytes());
        let said = self.say(script).await?;
        if said == answer { Ok(()) } else { Err(Error::other(format!("the machine's shell answers {said:?}"))) }
    }

    /// Says a line, and waits for one.
    async fn say(&mut self, line: impl AsRef<[u8]>) -> Result<String> {
        let lost = |error| Error::other("file events: the connection was lost").because(error);
        let work = async {
            self.writer.write_all(line.as_ref()).await.map_err(lost)?;
            self.writer.write_all(b"\n").await.map_err(lost)?;
            let answer = self.lines.next_line().await.map_err(lost)?;
            answer.ok_or_else(|| Error::other("file events: the machine's shell has ended"))
        };
        tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| {
            Err(Error::new(Code::TimedOut, format!("file events: no answer within {} s", LIMIT.as_secs())))
        })
    }
}

/// Whether a place is served by us. A sign that went elsewhere (9p, a folder of the guest) would be taken at its word.
const IS_OURS: &str = "is_ours() { kind=; while read -r from at type rest; do [ \"$at\" = \"$1\" ] && kind=$type; done </proc/mounts; \
                       [ \"$kind\" = fuse.sshfs ]; }";

/// The line for some paths: per share one process for what is gone, and one for the rest. What is gone has to leave before its folder
/// is told of.
fn signs(places: &[String], changed: &[Vec<u8>], gone: &[Gone], batch: u64) -> Vec<u8> {
    // Into one folder each name goes once.
    let mut named = BTreeMap::new();
    let mut moves: BTreeMap<(&str, usize), Vec<&[u8]>> = BTreeMap::new();
    for gone in gone {
        let name = (gone.share.as_str(), gone.place.file_name());
        let before = named.entry(name).or_insert(0);
        moves.entry((gone.share.as_str(), *before)).or_default().push(&gone.path);
        *before += 1;
    }
    let mut touched: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for path in changed {
        let holds = |place: &&String| {
            path.strip_prefix(place.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        // One share may be mounted in another.
        if let Some(place) = places.iter().filter(holds).max_by_key(|place| place.len()) {
            touched.entry(place).or_default().push(path);
        }
    }
    let mut line = Vec::new();
    for ((share, number), paths) in moves {
        let to = format!("{share}/{AWAY}/{batch}.{number}/");
        command(&mut line, share, "mv -f", paths.into_iter().chain([to.as_bytes()]));
    }
    for (share, paths) in touched {
        command(&mut line, share, &format!("touch -cmhd @{SIGN}"), paths.into_iter());
    }
    line
}

fn command<'a>(line: &mut Vec<u8>, share: &str, words: &str, paths: impl Iterator<Item = &'a [u8]>) {
    line.extend_from_slice(b"is_ours ");
    quote(line, mangled(share).as_bytes());
    line.extend_from_slice(format!(" && {words}").as_bytes());
    for path in paths {
        line.push(b' ');
        quote(line, path);
    }
    line.extend_from_slice(QUIETLY);
}

/// Of what is gone by now nobody needs to hear; and the shell's input is its script.
const QUIETLY: &[u8] = b" </dev/null >/dev/null 2>&1; ";

/// One word for the shell, whatever bytes a name has. Paths are absolute: none is taken for an option.
fn quote(line: &mut Vec<u8>, word: &[u8]) {
    line.push(b'\'');
    for byte in word {
        match byte {
            b'\'' => line.extend_from_slice(br"'\''"),
            other => line.push(*other),
        }
    }
    line.push(b'\'');
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::share::sftp::{Access, Folder};

    #[test]
    fn any_name_is_one_word_of_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open(dir.path(), Access::ReadWrite).unwrap());
        let gone = |place: &str| Gone {
            path: format!("/s/{place}").into_bytes(),
            share: "/s".into(),
            folder: Arc::clone(&folder),
            place: Path::new(place).into(),
        };
        let changed = [b"/s/it's; $(reboot)\n\xff".to_vec(), b"/s/b".to_vec()];
        let places = ["/s".to_owned(), "/s/in it".to_owned(), "/sb".to_owned()];
        let changed = [&changed[..], &[b"/s/in it/x".to_vec(), b"/sc".to_vec()]].concat();
        let line = signs(&places, &changed, &[gone("-x"), gone("d/y"), gone("d/-x")], 7);
        let expected = [
            &b"is_ours '/s' && mv -f '/s/-x' '/s/d/y' '/s/.machine-signs/7.0/' </dev/null >/dev/null 2>&1; "[..],
            b"is_ours '/s' && mv -f '/s/d/-x' '/s/.machine-signs/7.1/' </dev/null >/dev/null 2>&1; ",
            b"is_ours '/s' && touch -cmhd @86486513 '/s/it'\\''s; $(reboot)\n\xff' '/s/b' </dev/null >/dev/null 2>&1; ",
            br"is_ours '/s/in\040it' && touch -cmhd @86486513 '/s/in it/x' </dev/null >/dev/null 2>&1; ",
        ];
        assert_eq!(line, expected.concat());
        assert!(signs(&places, &[], &[], 1).is_empty());
    }
}
