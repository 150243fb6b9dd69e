//! The shell in the guest that raises events there: one for as long as the connection lasts, and one process for each batch.

use std::collections::BTreeMap;
use std::time::Duration;

use machine_core::{Code, Error, Result};
use machine_ssh::Tunnel;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};

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
        let knows = guest
            .say("touch -cmhd @0 /run/machine-signs/none >/dev/null 2>&1 </dev/null && echo yes || echo no")
            .await?;
        if knows != "yes" {
            return Err(Error::other("the machine's `touch` cannot raise file events")
                .hint("install coreutils in it, or share the folder without `events`"));
        }
        Ok(guest)
    }

    /// Raises the events of some paths. Returns when watchers there have them.
    ///
    /// # Errors
    /// A connection that is lost, or a guest that does not answer.
    pub(super) async fn tell(&mut self, changed: &[Vec<u8>], gone: &[Gone]) -> Result<()> {
        self.told += 1;
        let mut script = signs(changed, gone, self.told);
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

/// The line for some paths: one process for what is gone, one for the rest. What is gone has to leave before its folder is told of.
fn signs(changed: &[Vec<u8>], gone: &[Gone], batch: u64) -> Vec<u8> {
    // Into one folder each name goes once.
    let mut named = BTreeMap::new();
    let mut moves: BTreeMap<(&str, usize), Vec<&[u8]>> = BTreeMap::new();
    for gone in gone {
        let name = (gone.share.as_str(), gone.place.file_name());
        let before = named.entry(name).or_insert(0);
        moves.entry((gone.share.as_str(), *before)).or_default().push(&gone.path);
        *before += 1;
    }
    let mut line = Vec::new();
    for ((share, number), paths) in moves {
        line.extend_from_slice(b"mv -f");
        for path in paths {
            line.push(b' ');
            quote(&mut line, path);
        }
        line.push(b' ');
        quote(&mut line, format!("{share}/{AWAY}/{batch}.{number}/").as_bytes());
        line.extend_from_slice(QUIETLY);
    }
    if !changed.is_empty() {
        line.extend_from_slice(format!("touch -cmhd @{SIGN}").as_bytes());
        for path in changed {
            line.push(b' ');
            quote(&mut line, path);
        }
        line.extend_from_slice(QUIETLY);
    }
    line
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
        let line = signs(&changed, &[gone("-x"), gone("d/y"), gone("d/-x")], 7);
        let expected = [
            &b"mv -f '/s/-x' '/s/d/y' '/s/.machine-signs/7.0/' </dev/null >/dev/null 2>&1; "[..],
            b"mv -f '/s/d/-x' '/s/.machine-signs/7.1/' </dev/null >/dev/null 2>&1; ",
            b"touch -cmhd @86486513 '/s/it'\\''s; $(reboot)\n\xff' '/s/b' </dev/null >/dev/null 2>&1; ",
        ];
        assert_eq!(line, expected.concat());
        assert!(signs(&[], &[], 1).is_empty());
    }
}
