//! The packets, from bytes and to bytes.
//!
//! Names are bytes: what they mean as text is this computer's business.

/// The longest packet that is taken, bytes: OpenSSH's limit (`SFTP_MAX_MSG_LENGTH` in its sftp.h).
pub(super) const LONGEST: usize = 256 * 1024;

/// The most that one READ brings, bytes. With its head it stays below what `sshfs` takes (`MAX_REPLY_LEN`, 128 KiB).
pub(super) const LONGEST_READ: u32 = 64 * 1024;

/// What OPEN asks for (section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenFlags(pub u32);

impl OpenFlags {
    pub(super) const READ: Self = Self(0x01);
    pub(super) const WRITE: Self = Self(0x02);
    pub(super) const APPEND: Self = Self(0x04);
    pub(super) const CREATE: Self = Self(0x08);
    pub(super) const TRUNCATE: Self = Self(0x10);
    pub(super) const EXCLUSIVE: Self = Self(0x20);

    pub(super) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }
}

/// File attributes (section 5); what is not given is not to be changed, or not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub size: Option<u64>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Type and permissions, as `st_mode`.
    pub mode: Option<u32>,
    /// Access and modification, seconds since 1970.
    pub times: Option<(u32, u32)>,
}

impl Attributes {
    const SIZE: u32 = 0x01;
    const OWNER: u32 = 0x02;
    const MODE: u32 = 0x04;
    const TIMES: u32 = 0x08;
    const EXTENDED: u32 = 0x8000_0000;
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    Open {
        path: &'a [u8],
        flags: OpenFlags,
        attributes: Attributes,
    },
    Close {
        handle: &'a [u8],
    },
    Read {
        handle: &'a [u8],
        offset: u64,
        length: u32,
    },
    Write {
        handle: &'a [u8],
        offset: u64,
        data: &'a [u8],
    },
    Status {
        path: &'a [u8],
        follow: bool,
    },
    HandleStatus {
        handle: &'a [u8],
    },
    Change {
        path: &'a [u8],
        attributes: Attributes,
    },
    HandleChange {
        handle: &'a [u8],
        attributes: Attributes,
    },
    OpenFolder {
        path: &'a [u8],
    },
    ReadFolder {
        handle: &'a [u8],
    },
    Remove {
        path: &'a [u8],
    },
    MakeFolder {
        path: &'a [u8],
        attributes: Attributes,
    },
    RemoveFolder {
        path: &'a [u8],
    },
    RealPath {
        path: &'a [u8],
    },
    Rename {
        from: &'a [u8],
        to: &'a [u8],
        replace: bool,
    },
    ReadLink {
        path: &'a [u8],
    },
    Link {
        target: &'a [u8],
        path: &'a [u8],
    },
    HardLink {
        from: &'a [u8],
        to: &'a [u8],
    },
    FileSystem {
        path: &'a [u8],
    },
    Flush {
        handle: &'a [u8],
    },
    /// Nothing that this side knows.
    Unknown,
}

/// One packet from the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Init {
        version: u32,
    },
    /// A request; `None` for one whose content makes no sense.
    Request {
        id: u32,
        request: Option<Request<'a>>,
    },
}

/// What is read off the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framed<'a> {
    /// A packet, and how many bytes it took.
    Packet(Packet<'a>, usize),
    /// More must come.
    Incomplete,
    /// What follows cannot be told from noise: the connection is of no use any more.
    Broken,
}

/// Reads one packet off the front.
pub(super) fn frame(bytes: &[u8]) -> Framed<'_> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Framed::Incomplete };
    let length = u32::from_be_bytes(*length) as usize;
    if length == 0 || length > LONGEST {
        return Framed::Broken;
    }
    let Some(body) = rest.get(..length) else { return Framed::Incomplete };
    let mut fields = Fields(&body[1..]);
    let Some(number) = fields.u32() else { return Framed::Broken };
    let packet = match body[0] {
        // SSH_FXP_INIT has a version where others have an id.
        1 => Packet::Init { version: number },
        kind => Packet::Request { id: number, request: request(kind, &mut fields) },
    };
    Framed::Packet(packet, 4 + length)
}

fn request<'a>(kind: u8, fields: &mut Fields<'a>) -> Option<Request<'a>> {
    Some(match kind {
        3 => Request::Open { path: fields.bytes()?, flags: OpenFlags(fields.u32()?), attributes: fields.attributes()? },
        4 => Request::Close { handle: fields.bytes()? },
        5 => Request::Read { handle: fields.bytes()?, offset: fields.u64()?, length: fields.u32()? },
        6 => Request::Write { handle: fields.bytes()?, offset: fields.u64()?, data: fields.bytes()? },
        7 => Request::Status { path: fields.bytes()?, follow: false },
        8 => Request::HandleStatus { handle: fields.bytes()? },
        9 => Request::Change { path: fields.bytes()?, attributes: fields.attributes()? },
        10 => Request::HandleChange { handle: fields.bytes()?, attributes: fields.attributes()? },
        11 => Request::OpenFolder { path: fields.bytes()? },
        12 => Request::ReadFolder { handle: fields.bytes()? },
        13 => Request::Remove { path: fields.bytes()? },
        14 => Request::MakeFolder { path: fields.bytes()?, attributes: fields.attributes()? },
        15 => Request::RemoveFolder { path: fields.bytes()? },
        16 => Request::RealPath { path: fields.bytes()? },
        17 => Request::Status { path: fields.bytes()?, follow: true },
        18 => Request::Rename { from: fields.bytes()?, to: fields.bytes()?, replace: false },
        19 => Request::ReadLink { path: fields.bytes()? },
        // OpenSSH's server has the two the other way round than the draft, and so have its clients (PROTOCOL, 4.1).
        20 => Request::Link { target: fields.bytes()?, path: fields.bytes()? },
        200 => match fields.bytes()? {
            b"posix-rename@openssh.com" => {
                Request::Rename { from: fields.bytes()?, to: fields.bytes()?, replace: true }
            }
            b"hardlink@openssh.com" => Request::HardLink { from: fields.bytes()?, to: fields.bytes()? },
            b"statvfs@openssh.com" => Request::FileSystem { path: fields.bytes()? },
            b"fsync@openssh.com" => Request::Flush { handle: fields.bytes()? },
            _ => Request::Unknown,
        },
        _ => Request::Unknown,
    })
}

/// The fields of a packet, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u32(&mut self) -> Option<u32> {
        let (value, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*value))
    }

    fn u64(&mut self) -> Option<u64> {
        let (value, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*value))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn attributes(&mut self) -> Option<Attributes> {
        let flags = self.u32()?;
        let mut attributes = Attributes::default();
        if flags & Attributes::SIZE != 0 {
            attributes.size = Some(self.u64()?);
        }
        if flags & Attributes::OWNER != 0 {
            attributes.owner = Some((self.u32()?, self.u32()?));
        }
        if flags & Attributes::MODE != 0 {
            attributes.mode = Some(self.u32()?);
        }
        if flags & Attributes::TIMES != 0 {
            attributes.times = Some((self.u32()?, self.u32()?));
        }
        if flags & Attributes::EXTENDED != 0 {
            for _ in 0..self.u32()? {
                self.bytes()?;
                self.bytes()?;
            }
        }
        Some(attributes)
    }
}

/// Status codes (section 7); the last two are of version 5 and 6, and an input/output error to `sshfs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 0,
    EndOfFile = 1,
    NoSuchFile = 2,
    PermissionDenied = 3,
    Failure = 4,
    BadMessage = 5,
    Unsupported = 8,
    NoSpace = 14,
    QuotaExceeded = 15,
}

/// Packets on their way out, one after the other.
#[derive(Default)]
pub(super) struct Replies(pub Vec<u8>);

impl Replies {
    /// The answer to INIT: our version, and what we know besides.
    pub(super) fn version(&mut self) {
        self.packet(2, |out| {
            out.u32(3);
            for (name, version) in [
                ("posix-rename@openssh.com", "1"),
                ("statvfs@openssh.com", "2"),
                ("hardlink@openssh.com", "1"),
                ("fsync@openssh.com", "1"),
            ] {
                out.bytes(name.as_bytes());
                out.bytes(version.as_bytes());
            }
        });
    }

    pub(super) fn status(&mut self, id: u32, status: Status, why: &str) {
        self.packet(101, |out| {
            out.u32(id);
            out.u32(status as u32);
            out.bytes(why.as_bytes());
            out.bytes(b"en");
        });
    }

    pub(super) fn handle(&mut self, id: u32, handle: u32) {
        self.packet(102, |out| {
            out.u32(id);
            out.bytes(&handle.to_be_bytes());
        });
    }

    /// DATA, written by `fill` into a buffer of `length` bytes; it returns how many of them count. Nothing is sent when that is
    /// an error or 0.
    pub(super) fn data<E>(
        &mut self,
        id: u32,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let start = self.0.len();
        let at = start + 4 + 1 + 4 + 4;
        self.0.resize(at + length, 0);
        match fill(&mut self.0[at..]) {
            Ok(count) if count > 0 => {
                self.0.truncate(at + count);
                let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
                self.0[start..start + 4].copy_from_slice(&word(at + count - start - 4));
                self.0[start + 4] = 103;
                self.0[start + 5..start + 9].copy_from_slice(&id.to_be_bytes());
                self.0[start + 9..at].copy_from_slice(&word(count));
                Ok(count)
            }
            nothing => {
                self.0.truncate(start);
                nothing
            }
        }
    }

    /// NAME with these names; the long form, which people would read, is the name itself.
    pub(super) fn names(&mut self, id: u32, names: &[(Vec<u8>, Attributes)]) {
        self.packet(104, |out| {
            out.u32(id);
            out.u32(u32::try_from(names.len()).unwrap_or(u32::MAX));
            for (name, attributes) in names {
                out.bytes(name);
                out.bytes(name);
                out.attributes(attributes);
            }
        });
    }

    pub(super) fn attributes(&mut self, id: u32, attributes: &Attributes) {
        self.packet(105, |out| {
            out.u32(id);
            out.attributes(attributes);
        });
    }

    /// The answer to `statvfs@openssh.com` (OpenSSH's PROTOCOL, 4.4).
    pub(super) fn file_system(&mut self, id: u32, fields: [u64; 11]) {
        self.packet(201, |out| {
            out.u32(id);
            for field in fields {
                out.0.extend_from_slice(&field.to_be_bytes());
            }
        });
    }

    fn packet(&mut self, kind: u8, content: impl FnOnce(&mut Out<'_>)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0, 0, 0, 0, kind]);
        content(&mut Out(&mut self.0));
        let length = u32::try_from(self.0.len() - start - 4).unwrap_or(u32::MAX);
        self.0[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

struct Out<'a>(&'a mut Vec<u8>);

impl Out<'_> {
    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
    }

    fn attributes(&mut self, attributes: &Attributes) {
        let Attributes { size, owner, mode, times } = attributes;
        let mut flags = 0;
        for (there, flag) in [
            (size.is_some(), Attributes::SIZE),
            (owner.is_some(), Attributes::OWNER),
            (mode.is_some(), Attributes::MODE),
            (times.is_some(), Attributes::TIMES),
        ] {
            flags |= if there { flag } else { 0 };
        }
        self.u32(flags);
        if let Some(size) = size {
            self.0.extend_from_slice(&size.to_be_bytes());
        }
        if let Some((user, group)) = owner {
            self.u32(*user);
            self.u32(*group);
        }
        if let Some(mode) = mode {
            self.u32(*mode);
        }
        if let Some((access, modification)) = times {
            self.u32(*access);
            self.u32(*modification);
        }
    }
}
