//! The other side, as far as the tests need it.

use std::path::Path;
use std::sync::Arc;

use super::super::exports::Exports;
use super::super::folder::{Access, Folder};
use super::super::server;
use super::super::session::Session;
use super::super::wire::{Framed, Packet, Replies, frame};

pub const OPEN: u8 = 3;
pub const CLOSE: u8 = 4;
pub const READ: u8 = 5;
pub const WRITE: u8 = 6;
pub const LSTAT: u8 = 7;
pub const FSTAT: u8 = 8;
pub const SETSTAT: u8 = 9;
pub const FSETSTAT: u8 = 10;
pub const OPENDIR: u8 = 11;
pub const READDIR: u8 = 12;
pub const REMOVE: u8 = 13;
pub const MKDIR: u8 = 14;
pub const RMDIR: u8 = 15;
pub const STAT: u8 = 17;
pub const RENAME: u8 = 18;
pub const READLINK: u8 = 19;
pub const SYMLINK: u8 = 20;
pub const EXTENDED: u8 = 200;

/// One field of a packet.
#[derive(Clone, Debug)]
pub enum Field {
    Word(u32),
    Long(u64),
    Text(Vec<u8>),
}

pub fn text(text: impl AsRef<[u8]>) -> Field {
    Field::Text(text.as_ref().to_vec())
}

pub use Field::{Long, Word};

/// A packet's bytes.
pub fn packet(kind: u8, id: u32, fields: &[Field]) -> Vec<u8> {
    let mut body = vec![kind];
    body.extend_from_slice(&id.to_be_bytes());
    for field in fields {
        match field {
            Word(word) => body.extend_from_slice(&word.to_be_bytes()),
            Long(long) => body.extend_from_slice(&long.to_be_bytes()),
            Field::Text(bytes) => {
                body.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
                body.extend_from_slice(bytes);
            }
        }
    }
    let mut packet = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    packet.extend_from_slice(&body);
    packet
}

/// A connection to one folder that is exported as `/s`, without the connection.
pub struct Client {
    session: Session,
    pub folder: Arc<Folder>,
}

/// An answer, as far as it is told apart.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Status(u32, String),
    Handle(Vec<u8>),
    Data(Vec<u8>),
    /// Names with the attributes of each, raw.
    Names(Vec<Vec<u8>>),
    /// Flags and what follows them.
    Attributes {
        size: u64,
        owner: (u32, u32),
        mode: u32,
        times: (u32, u32),
    },
    Other(Vec<u8>),
}

impl Client {
    pub fn of(path: &Path, access: Access) -> Self {
        let folder = Arc::new(Folder::open(path, access).unwrap());
        let exports = Exports::default();
        exports.add("s".into(), Arc::clone(&folder));
        let session = Session { exports: Arc::new(exports), handles: Default::default(), next_handle: 0 };
        Self { session, folder }
    }

    pub fn exports(&self) -> &Exports {
        &self.session.exports
    }

    /// The answer, in bytes.
    pub fn raw(&mut self, kind: u8, fields: &[Field]) -> Vec<u8> {
        let bytes = packet(kind, 7, fields);
        let Framed::Packet(Packet::Request { id, request }, length) = frame(&bytes) else { panic!("kind {kind}") };
        assert_eq!((id, length), (7, bytes.len()));
        let mut replies = Replies::default();
        server::answer(&mut self.session, id, request, &mut replies);
        replies.0
    }

    pub fn ask(&mut self, kind: u8, fields: &[Field]) -> Reply {
        let raw = self.raw(kind, fields);
        let word = |at: usize| u32::from_be_bytes(raw[at..at + 4].try_into().unwrap());
        let bytes = |at: usize| raw[at + 4..at + 4 + word(at) as usize].to_vec();
        assert_eq!(word(0) as usize, raw.len() - 4, "one packet, whole");
        assert_eq!(word(5), 7, "to the request that was made");
        match raw[4] {
            101 => Reply::Status(word(9), String::from_utf8(bytes(13)).unwrap()),
            102 => Reply::Handle(bytes(9)),
            103 => Reply::Data(bytes(9)),
            104 => {
                let mut at = 13;
                let mut names = Vec::new();
                for _ in 0..word(9) {
                    let name = bytes(at);
                    at += 2 * (4 + name.len());
                    let flags = word(at);
                    at += 4 + if flags == 0 { 0 } else { 8 + 8 + 4 + 8 };
                    names.push(name);
                }
                assert_eq!(at, raw.len());
                Reply::Names(names)
            }
            105 => Reply::Attributes {
                size: u64::from_be_bytes(raw[13..21].try_into().unwrap()),
                owner: (word(21), word(25)),
                mode: word(29),
                times: (word(33), word(37)),
            },
            _ => Reply::Other(raw),
        }
    }

    pub fn done(&mut self, kind: u8, fields: &[Field]) {
        assert_eq!(self.ask(kind, fields), Reply::Status(0, String::new()), "{kind} {fields:?}");
    }

    /// The status code of a request that is not done.
    pub fn refused(&mut self, kind: u8, fields: &[Field]) -> u32 {
        match self.ask(kind, fields) {
            Reply::Status(code, _) if code != 0 => code,
            other => panic!("{kind} {fields:?}: {other:?}"),
        }
    }

    /// OPEN: `r`, `w`, `a`, `c`reate, `t`runcate, e`x`clusive.
    pub fn open(&mut self, path: &str, how: &str, mode: u32) -> Vec<u8> {
        match self.ask(OPEN, &[text(path), Word(flags(how)), Word(4), Word(mode)]) {
            Reply::Handle(handle) => handle,
            other => panic!("{path} {how}: {other:?}"),
        }
    }

    pub fn write(&mut self, path: &str, bytes: &[u8]) {
        let handle = self.open(path, "wct", 0o644);
        for (number, piece) in bytes.chunks(64 * 1024).enumerate() {
            self.done(WRITE, &[text(&handle), Long(number as u64 * 64 * 1024), text(piece)]);
        }
        self.done(CLOSE, &[text(&handle)]);
    }

    pub fn read(&mut self, path: &str) -> Vec<u8> {
        let handle = self.open(path, "r", 0);
        let mut all = Vec::new();
        loop {
            match self.ask(READ, &[text(&handle), Long(all.len() as u64), Word(u32::MAX)]) {
                Reply::Data(data) => all.extend_from_slice(&data),
                Reply::Status(1, _) => break,
                other => panic!("{other:?}"),
            }
        }
        self.done(CLOSE, &[text(&handle)]);
        all
    }

    pub fn names(&mut self, path: &str) -> Vec<String> {
        let Reply::Handle(handle) = self.ask(OPENDIR, &[text(path)]) else { panic!("{path}") };
        let mut all = Vec::new();
        while let Reply::Names(names) = self.ask(READDIR, &[text(&handle)]) {
            all.extend(names.into_iter().map(|name| String::from_utf8(name).unwrap()));
        }
        self.done(CLOSE, &[text(&handle)]);
        all.sort();
        all
    }
}

pub fn flags(how: &str) -> u32 {
    how.chars()
        .map(|c| match c {
            'r' => 1,
            'w' => 2,
            'a' => 4,
            'c' => 8,
            't' => 16,
            'x' => 32,
            other => panic!("{other}"),
        })
        .sum()
}
