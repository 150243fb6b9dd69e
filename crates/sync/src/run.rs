//! One run: compare, decide, copy, remember.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use machine_core::{Code, Error, Reporter, Result, ResultExt as _};
use machine_ssh::Session;

use crate::case::collisions;
use crate::entry::{Entry, Tree};
use crate::exclusions::{Exclusions, RULES};
use crate::local::{LocalFolder, Scan};
use crate::merge::{Base, Merge};
use crate::past;
use crate::place::{OWN, Place};
use crate::plan::{Errands, Outcome, Side, copied_over};
use crate::remote::{Found, Remote};
use crate::report::{Action, Change, Copied, Problem, Report};
use crate::stop::Stop;
use crate::transfer::Transfer;
use crate::unpack::Arrival;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This computer's folder to the machine.
    ToMachine,
    /// The machine's folder to this computer.
    FromMachine,
    /// Each side gets what changed on the other.
    BothWays,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The folder of this computer.
    pub folder: &'a Path,
    /// The machine's name.
    pub machine: &'a str,
    /// The folder in the machine: absolute, or relative to the login user's home.
    pub place: &'a str,
    /// Which way.
    pub direction: Direction,
    /// Whether a copy removes what its source lacks.
    pub delete: bool,
    /// What is left out, as in `.gitignore` files.
    pub exclude: &'a [String],
    /// Whether `.gitignore` files of the folders count.
    pub gitignore: bool,
    /// Whether to say what would be done, and do nothing.
    pub dry_run: bool,
    /// Whether to compress what goes over the connection.
    pub compress: bool,
    /// Tells this pair of folders from any other, of any computer: letters and digits.
    pub pair: &'a str,
    /// The file in which a merge keeps what both sides had.
    pub past: &'a Path,
}

/// Makes the folders alike, as far as was asked for. Blocks.
///
/// # Errors
/// A folder that is not there or cannot be read, a connection that is lost, a full disk in the machine. What is whole by then stays;
/// another run carries on.
pub fn run(session: &mut Session, request: &Request<'_>, stop: &Stop, reporter: &Reporter) -> Result<Report> {
    let begun = Instant::now();
    let own = format!("{OWN}{}", request.pair);
    let mut remote =
        Remote { session, machine: request.machine, said: request.place, own: &own, compress: request.compress, stop };
    reporter.stage("compare", "Comparing both folders");
    let mut exclusions = Exclusions::new(request.exclude, request.gitignore)?;
    let (folder, mut scan) = look_here(request, &own, &mut exclusions)?;
    let mut found = remote.list()?;
    check_places(request, &found)?;
    let base = if request.direction == Direction::BothWays { past::read(request.past)? } else { Base::new() };
    if request.gitignore && request.direction != Direction::ToMachine {
        learn_rules(&mut remote, &found.listing.tree, &mut exclusions)?;
    }
    exclusions.apply(&mut scan.tree);
    exclusions.apply(&mut found.listing.tree);
    check_that_neither_was_emptied(request, &base, &scan.tree, &found)?;

    let mut report = Report { problems: std::mem::take(&mut scan.problems), ..Report::default() };
    report.skipped.append(&mut scan.special);
    report.skipped.append(&mut found.listing.special);
    let machine = &mut found.listing.tree;
    if request.direction != Direction::ToMachine {
        leave_what_cannot_be_here(folder.as_ref(), &scan.tree, machine, &mut report.problems);
    }
    let host = &scan.tree;
    let outcome = decide(request, folder.as_ref(), host, machine, &base, &mut remote, &mut report)?;
    let mut here = Errands::of(Side::Host, host, &outcome);
    let mut there = Errands::of(Side::Machine, machine, &outcome);
    match request.direction {
        Direction::ToMachine => here = Errands::default(),
        Direction::FromMachine => there = Errands::default(),
        Direction::BothWays => {}
    }
    tell(&here, &there, &mut report);
    if request.dry_run {
        report.seconds = begun.elapsed().as_secs_f64();
        return Ok(report);
    }

    let folder = match folder {
        Some(folder) => folder,
        None => {
            std::fs::create_dir_all(request.folder)
                .context(|| format!("cannot make the folder {}", request.folder.display()))?;
            LocalFolder::open(request.folder, &own)?
        }
    };
    folder.sweep(&scan);
    if found.whereabouts.is_none() {
        remote.make()?;
    }
    let transfer = Transfer { folder: &folder, host, machine, outcome: &outcome, stop, reporter };
    let done = transfer.run(&mut remote, &here, &there, &mut report)?;
    if request.direction == Direction::BothWays {
        past::write(request.past, done.pairs(&base))?;
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

fn look_here(request: &Request<'_>, own: &str, exclusions: &mut Exclusions) -> Result<(Option<LocalFolder>, Scan)> {
    match LocalFolder::open(request.folder, own) {
        Ok(folder) => {
            let scan = folder.scan(exclusions)?;
            Ok((Some(folder), scan))
        }
        Err(error) if error.code() == Code::NotFound && request.direction != Direction::ToMachine => {
            Ok((None, Scan::default()))
        }
        Err(error) => Err(error),
    }
}

/// Refuses what nobody means.
fn check_places(request: &Request<'_>, found: &Found) -> Result<()> {
    let (machine, place) = (request.machine, request.place);
    let Some((real, home)) = &found.whereabouts else {
        if request.direction == Direction::FromMachine {
            return Err(Error::new(Code::NotFound, format!("machine {machine:?} has no folder {place:?}"))
                .hint("a place that does not begin with / is below the login user's home"));
        }
        return Ok(());
    };
    let removes = match request.direction {
        Direction::ToMachine => request.delete,
        Direction::FromMachine => false,
        Direction::BothWays => true,
    };
    if removes && Path::new(home).starts_with(real) {
        let what =
            if real == "/" { "the whole machine" } else { "the login user's home, with the key that lets you in" };
        let shown = real.escape_debug();
        return Err(Error::new(
            Code::Usage,
            format!("{machine}:{place} is {shown}, {what}: nothing is removed from there"),
        )
        .hint(format!("name a folder in it: {machine}:NAME")));
    }
    Ok(())
}

/// A folder that is empty all at once is not mounted, or was made anew: to do the same on the other side would lose everything.
fn check_that_neither_was_emptied(request: &Request<'_>, base: &Base, host: &Tree, found: &Found) -> Result<()> {
    let machine = &found.listing.tree;
    let (what, other) = if base.len() < 2 {
        return Ok(());
    } else if host.is_empty() && !machine.is_empty() {
        (request.folder.display().to_string(), format!("{}:{}", request.machine, request.place))
    } else if machine.is_empty() && !host.is_empty() {
        (format!("{}:{}", request.machine, request.place), request.folder.display().to_string())
    } else {
        return Ok(());
    };
    Err(Error::other(format!("{what} is empty and was not when it was last copied: nothing was removed from {other}"))
        .hint(format!("`machine sync {other} {what}` fills it again"))
        .hint("if it shall be empty, empty the other one too"))
}

/// Reads the machine's `.gitignore` files.
fn learn_rules(remote: &mut Remote<'_>, tree: &Tree, exclusions: &mut Exclusions) -> Result<()> {
    struct Rules(Vec<(Place, String)>);
    impl Arrival for Rules {
        fn take(&mut self, place: Place, _: Entry, content: &mut dyn Read) -> io::Result<()> {
            let mut bytes = Vec::new();
            content.take(1 << 20).read_to_end(&mut bytes)?;
            self.0.push((place, String::from_utf8_lossy(&bytes).into_owned()));
            Ok(())
        }
    }
    let mut tree = tree.clone();
    exclusions.apply(&mut tree);
    let is_rules = |place: &Place, entry: &Entry| place.name() == RULES && matches!(entry, Entry::File { .. });
    let asked: Vec<Place> =
        tree.iter().filter(|(place, entry)| is_rules(place, entry)).map(|(place, _)| place.clone()).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let mut rules = Rules(Vec::new());
    remote.fetch(&asked, &mut rules)?;
    for (place, text) in rules.0 {
        exclusions.learn(place.parent().as_ref(), &text);
    }
    Ok(())
}

/// What this computer cannot have stays in the machine, and is told.
fn leave_what_cannot_be_here(
    folder: Option<&LocalFolder>,
    host: &Tree,
    machine: &mut Tree,
    problems: &mut Vec<Problem>,
) {
    let mut out: BTreeMap<Place, String> = BTreeMap::new();
    for place in machine.keys() {
        if let Err(why) = place.to_host() {
            out.insert(place.clone(), why);
        }
    }
    if folder.map_or(cfg!(any(target_os = "macos", windows)), |folder| folder.folds_case(host)) {
        for (place, first) in collisions(host.keys().chain(machine.keys())) {
            if machine.contains_key(&place) {
                out.insert(place, format!("upper and lower case are the same on this computer, which has {first}"));
            }
        }
    }
    let is_out = |place: &Place| out.contains_key(place) || place.ancestors().any(|above| out.contains_key(&above));
    machine.retain(|place, _| !is_out(place));
    problems.extend(out.iter().map(|(place, why)| Problem::new(place, why.as_str())));
}

/// What shall be on both sides.
fn decide(
    request: &Request<'_>,
    folder: Option<&LocalFolder>,
    host: &Tree,
    machine: &Tree,
    base: &Base,
    remote: &mut Remote<'_>,
    report: &mut Report,
) -> Result<Outcome> {
    let (outcome, in_the_way) = match request.direction {
        Direction::ToMachine => copied_over(host, machine, Side::Host, request.delete),
        Direction::FromMachine => copied_over(machine, host, Side::Machine, request.delete),
        Direction::BothWays => {
            let mark = format!("conflict-{}-{}", request.machine, jiff::Zoned::now().strftime("%Y%m%d-%H%M%S"));
            let merge = Merge { host, machine, base, alike: &BTreeSet::new(), mark: &mark };
            let alike = match folder {
                Some(folder) => alike(folder, remote, &merge.doubtful())?,
                None => BTreeSet::new(),
            };
            let (outcome, conflicts) = Merge { alike: &alike, ..merge }.outcome();
            report.conflicts = conflicts;
            (outcome, Vec::new())
        }
    };
    let why = "a folder that is not empty has that place, and is not replaced without --delete";
    report.problems.extend(in_the_way.iter().map(|place| Problem::new(place, why)));
    Ok(outcome)
}

/// Which files have the same content on both sides.
fn alike(folder: &LocalFolder, remote: &mut Remote<'_>, places: &[Place]) -> Result<BTreeSet<Place>> {
    if places.is_empty() {
        return Ok(BTreeSet::new());
    }
    let theirs = remote.digests(places)?;
    let same = |place: &Place, theirs: Option<String>| theirs.is_some() && digest(folder, place) == theirs;
    Ok(places
        .iter()
        .zip(theirs)
        .filter(|(place, theirs)| same(place, theirs.clone()))
        .map(|(place, _)| place.clone())
        .collect())
}

fn digest(folder: &LocalFolder, place: &Place) -> Option<String> {
    use sha2::Digest as _;
    let (mut file, _) = folder.open_file(place).ok()?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Some(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes down what is about to be done.
fn tell(here: &Errands, there: &Errands, report: &mut Report) {
    for (errands, copy, remove) in
        [(there, Action::Send, Action::RemoveThere), (here, Action::Receive, Action::RemoveHere)]
    {
        // What makes room for something else is no removal.
        let replaced: BTreeSet<&Place> = errands.puts.iter().map(|(place, _)| place).collect();
        let removed = errands.removals.iter().filter(|(place, _)| !replaced.contains(place));
        report.changes.extend(removed.map(|(place, _)| Change { action: remove, place: place.clone() }));
        report.changes.extend(errands.puts.iter().map(|(place, _)| Change { action: copy, place: place.clone() }));
        let copied = Copied {
            entries: errands.puts.len() as u64,
            bytes: errands.puts.iter().map(|(_, entry)| entry.size()).sum(),
        };
        if copy == Action::Send { report.sent = copied } else { report.received = copied }
    }
}
