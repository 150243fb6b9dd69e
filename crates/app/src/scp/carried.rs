//! Bytes on their way: counted, shown, and ended when nobody waits for them any more.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender};

use machine_core::Reporter;
use machine_sync::Stop;

/// How many bytes go by between two reports.
const REPORT_EVERY: u64 = 1 << 20;

/// What passes bytes on while it counts them.
pub(super) struct Carried<'a, T> {
    inner: T,
    done: u64,
    told: u64,
    total: u64,
    stop: &'a Stop,
    reporter: &'a Reporter,
}

impl<'a, T> Carried<'a, T> {
    pub(super) fn new(inner: T, total: u64, stop: &'a Stop, reporter: &'a Reporter) -> Self {
        Self { inner, done: 0, told: 0, total, stop, reporter }
    }

    pub(super) fn into_inner(self) -> T {
        self.inner
    }

    fn count(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.done >= self.told + REPORT_EVERY {
            self.told = self.done;
            self.reporter.progress(self.done, (self.total > 0).then_some(self.total), "bytes");
        }
    }

    fn check(&self) -> io::Result<()> {
        // Not `ErrorKind::Interrupted`: it would be tried again.
        if self.stop.is_told() { Err(io::Error::other("interrupted")) } else { Ok(()) }
    }
}

impl<T: Read> Read for Carried<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let count = self.inner.read(buffer)?;
        self.count(count);
        Ok(count)
    }
}

impl<T: Write> Write for Carried<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let count = self.inner.write(bytes)?;
        self.count(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The end of a pipe between two threads into which is written.
pub(super) struct Inlet(pub(super) SyncSender<Vec<u8>>);

impl Write for Inlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::Error::other("the other machine takes no more"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end from which is read; it ends when the inlet is gone.
pub(super) struct Outlet {
    pieces: Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Outlet {
    pub(super) fn new(pieces: Receiver<Vec<u8>>) -> Self {
        Self { pieces, piece: io::Cursor::default() }
    }
}

impl Read for Outlet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.pieces.recv() {
                Ok(piece) => self.piece = io::Cursor::new(piece),
                Err(_) => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_a_stop_ends_it() {
        let (sender, receiver) = std::sync::mpsc::sync_channel(8);
        let (stop, reporter) = (Stop::default(), Reporter::silent());
        let mut inlet = Carried::new(Inlet(sender), 6, &stop, &reporter);
        inlet.write_all(b"abc").unwrap();
        inlet.write_all(b"def").unwrap();
        stop.now();
        assert_eq!(inlet.write_all(b"g").unwrap_err().to_string(), "interrupted");
        drop(inlet);
        let mut text = String::new();
        Outlet::new(receiver).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcdef");
    }
}
