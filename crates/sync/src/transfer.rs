//! Does what was decided.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use machine_core::{Reporter, Result};

use crate::archive::Archive;
use crate::entry::{Entry, Tree};
use crate::local::LocalFolder;
use crate::merge::{Base, Pair};
use crate::place::Place;
use crate::plan::{Errands, Outcome, moved};
use crate::remote::Remote;
use crate::report::{Problem, Report};
use crate::stop::Stop;
use crate::unpack::Arrival;

/// What goes to the machine at once, and takes its place there at once: bytes, and entries.
const BATCH_BYTES: u64 = 64 << 20;
const BATCH_ENTRIES: usize = 5000;
/// Progress is reported this often, bytes.
const REPORT_EVERY: u64 = 1 << 20;

/// Both sides as they were seen, and what they shall have.
pub(crate) struct Transfer<'a> {
    pub(crate) folder: &'a LocalFolder,
    pub(crate) host: &'a Tree,
    pub(crate) machine: &'a Tree,
    pub(crate) outcome: &'a Outcome,
    pub(crate) stop: &'a Stop,
    pub(crate) reporter: &'a Reporter,
}

/// What both sides have now.
pub(crate) struct Done {
    host: Tree,
    machine: Tree,
    /// Where something else than was decided came of it.
    failed: BTreeSet<Place>,
}

impl Done {
    /// What is to be remembered of it. Where something failed, what was known stays.
    pub(crate) fn pairs(self, before: &Base) -> Base {
        let Self { host, mut machine, failed } = self;
        let mut pairs: Base = host
            .into_iter()
            .filter_map(|(place, host)| {
                let machine = machine.remove(&place)?;
                Some((place, Pair { host, machine }))
            })
            .collect();
        for place in failed {
            match before.get(&place) {
                Some(pair) => pairs.insert(place, pair.clone()),
                None => pairs.remove(&place),
            };
        }
        pairs
    }
}

impl Transfer<'_> {
    /// Does all errands of both sides.
    ///
    /// # Errors
    /// A connection that is lost, or a machine that cannot write. What fails here at a single place is among the report's problems.
    pub(crate) fn run(
        &self,
        remote: &mut Remote<'_>,
        here: &Errands,
        there: &Errands,
        report: &mut Report,
    ) -> Result<Done> {
        let mut done =
            Done { host: self.host.clone(), machine: moved(self.machine, &there.moves), failed: BTreeSet::new() };
        remote.rename(&there.moves)?;
        remote.remove(&there.removals)?;
        for (place, _) in &there.removals {
            done.machine.remove(place);
        }
        for (place, seen) in &here.removals {
            match self.folder.remove(place, seen) {
                Ok(()) => {
                    done.host.remove(place);
                }
                Err(why) => {
                    report.problems.push(Problem::new(place, format!("cannot be removed: {why}")));
                    done.failed.insert(place.clone());
                }
            }
        }
        if !here.puts.is_empty() {
            self.reporter.stage("receive", format!("Copying from {}", remote.machine));
            self.receive(remote, &here.puts, &mut done, &mut report.problems)?;
        }
        if !there.puts.is_empty() {
            self.reporter.stage("send", format!("Copying to {}", remote.machine));
            self.send(remote, &there.puts, &mut done, &mut report.problems)?;
        }
        Ok(done)
    }

    fn receive(
        &self,
        remote: &mut Remote<'_>,
        puts: &[(Place, Entry)],
        done: &mut Done,
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        // What was removed to make room is not there any more.
        let seen = done.host.clone();
        let mut failed = |place: &Place, why: String, done: &mut Done| {
            problems.push(Problem::new(place, why));
            done.failed.insert(place.clone());
        };
        for (place, entry) in puts.iter().filter(|(_, entry)| !matches!(entry, Entry::File { .. })) {
            match self.folder.make(place, entry, seen.get(place)) {
                Ok(()) => {
                    done.host.insert(place.clone(), entry.clone());
                }
                Err(why) => failed(place, why, done),
            }
        }
        let files: BTreeMap<Place, Entry> =
            puts.iter().filter(|(_, entry)| matches!(entry, Entry::File { .. })).cloned().collect();
        let total = files.values().map(Entry::size).sum();
        let asked: Vec<Place> = files.keys().cloned().collect();
        let mut reception = Reception {
            folder: self.folder,
            seen: &seen,
            asked: files,
            received: Vec::new(),
            failed: Vec::new(),
            progress: Progress { reporter: self.reporter, told: 0, total },
            bytes: 0,
        };
        if !asked.is_empty() {
            remote.fetch(&asked, &mut reception)?;
        }
        for (place, host, machine) in reception.received {
            done.host.insert(place.clone(), host);
            done.machine.insert(place, machine);
        }
        for (place, why) in reception.failed {
            failed(&place, why, done);
        }
        for place in reception.asked.keys() {
            failed(place, "it cannot be read in the machine".to_owned(), done);
        }
        // Last, and those inside first: a folder that may not be written to takes nothing.
        for (place, entry) in puts.iter().rev() {
            if let Err(why) = self.folder.permit(place, entry) {
                failed(place, why, done);
            }
        }
        Ok(())
    }

    fn send(
        &self,
        remote: &mut Remote<'_>,
        puts: &[(Place, Entry)],
        done: &mut Done,
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        let wanted: BTreeMap<&Place, &Entry> = puts.iter().map(|(place, entry)| (place, entry)).collect();
        let total = puts.iter().map(|(_, entry)| entry.size()).sum();
        let mut before = 0;
        for batch in batches(puts) {
            let mut entries: Tree = batch.iter().cloned().collect();
            for (place, _) in batch {
                // The folders above, as they are or shall be there.
                for above in place.ancestors() {
                    let shall = wanted.get(&above).copied().or_else(|| done.machine.get(&above));
                    let entry = shall.or_else(|| self.outcome.get(&above).map(|wanted| &wanted.entry));
                    entries.insert(above, entry.cloned().unwrap_or(Entry::Folder { mode: None }));
                }
            }
            let progress = std::cell::RefCell::new(Progress { reporter: self.reporter, told: before, total });
            let tell = |read: u64| progress.borrow_mut().tell(before + read);
            let mut archive = Archive::of(self.folder, entries.into_iter().collect(), self.stop, &tell);
            remote.send(&mut archive)?;
            let (sent, mut told, read) = (archive.sent, archive.problems, archive.read);
            before += read;
            problems.append(&mut told);
            for (place, entry) in sent {
                if wanted.contains_key(&place) {
                    done.host.insert(place.clone(), entry.clone());
                    done.machine.insert(place, entry);
                }
            }
            let unsent =
                |place: &&Place| !done.machine.get(*place).is_some_and(|there| same_kind(there, wanted.get(*place)));
            let unsent: Vec<Place> = batch.iter().map(|(place, _)| place).filter(unsent).cloned().collect();
            done.failed.extend(unsent);
        }
        Ok(())
    }
}

fn same_kind(there: &Entry, wanted: Option<&&Entry>) -> bool {
    wanted.is_some_and(|wanted| !there.is_of_another_kind(wanted))
}

/// Parts that are copied one after the other.
fn batches(mut puts: &[(Place, Entry)]) -> impl Iterator<Item = &[(Place, Entry)]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |(_, entry): &(Place, Entry)| {
            bytes += entry.size();
            bytes <= BATCH_BYTES
        };
        let count = puts.iter().take(BATCH_ENTRIES).take_while({
            let mut fits = fits;
            move |put| fits(put)
        });
        let count = count.count().max(1).min(puts.len());
        let (batch, rest) = puts.split_at(count);
        puts = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

struct Progress<'a> {
    reporter: &'a Reporter,
    told: u64,
    total: u64,
}

impl Progress<'_> {
    fn tell(&mut self, bytes: u64) {
        if bytes >= self.told + REPORT_EVERY {
            self.told = bytes;
            self.reporter.progress(bytes, Some(self.total), "bytes");
        }
    }
}

/// Takes the files that were asked for, and no others.
struct Reception<'a> {
    folder: &'a LocalFolder,
    seen: &'a Tree,
    asked: BTreeMap<Place, Entry>,
    /// As it is here, and as it was there.
    received: Vec<(Place, Entry, Entry)>,
    failed: Vec<(Place, String)>,
    progress: Progress<'a>,
    bytes: u64,
}

impl Arrival for Reception<'_> {
    fn take(&mut self, place: Place, entry: Entry, content: &mut dyn Read) -> io::Result<()> {
        if self.asked.remove(&place).is_none() {
            return Err(io::Error::other(format!("nobody asked for {place}")));
        }
        let mut counted = Counted { content, bytes: &mut self.bytes, progress: &mut self.progress };
        match self.folder.write(&place, &entry, self.seen.get(&place), &mut counted)? {
            Ok(here) => self.received.push((place, here, entry)),
            Err(why) => self.failed.push((place, why)),
        }
        Ok(())
    }
}

struct Counted<'a, 'b> {
    content: &'a mut dyn Read,
    bytes: &'a mut u64,
    progress: &'a mut Progress<'b>,
}

impl Read for Counted<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        *self.bytes += count as u64;
        self.progress.tell(*self.bytes);
        Ok(count)
    }
}
