//! Downloads one file over HTTP: carried on where it was cut off, limited in size and in patience.

use std::path::Path;
use std::time::Duration;

use machine_core::{Code, Error, Reporter, Result, ResultExt};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::part_file::{Downloaded, PartFile, Validator};
use crate::{Cancel, web_address};

/// The largest file that is downloaded, bytes: the vendors' images have a tenth of it.
const LARGEST: u64 = 16 << 30;
/// What stays free on the disk, bytes.
const SPARE: u64 = 64 << 20;
/// An attempt that gets this much further does not count as a failed one, bytes.
const GOOD_PROGRESS: u64 = 4 << 20;
/// Chunks that may wait for the disk.
const WAITING_CHUNKS: usize = 16;

/// How long a server is waited for.
#[derive(Clone, Debug)]
pub struct Patience {
    /// A connection is given up when it brings no byte for this long.
    pub stall: Duration,
    /// The pause before the first new attempt; each further pause is twice as long.
    pub pause: Duration,
    /// New attempts after the first, when the connection fails or the server is busy.
    pub attempts: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stall: Duration::from_secs(30), pause: Duration::from_secs(1), attempts: 3 }
    }
}

/// How an attempt failed.
enum Failure {
    /// Another attempt may succeed.
    Passing(Error),
    /// It would fail the same way again.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// A client for `url` and what it redirects to. It trusts what the operating system trusts.
pub(crate) fn client(url: &Url, patience: &Patience) -> Result<Client> {
    // Somebody else in this process may have chosen already: then theirs is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let policy = Policy::custom(|attempt| {
        let downgrade = attempt.previous().last().is_some_and(|from| from.scheme() == "https");
        if attempt.previous().len() > 5 {
            attempt.error("more than 5 redirections")
        } else if web_address::is_allowed(attempt.url()) && !(downgrade && attempt.url().scheme() != "https") {
            attempt.follow()
        } else {
            attempt.error("redirected to an address that is not https")
        }
    });
    let mut builder = Client::builder()
        .redirect(policy)
        .connect_timeout(patience.stall)
        .read_timeout(patience.stall)
        .user_agent(concat!("machine/", env!("CARGO_PKG_VERSION")));
    if web_address::is_loopback(url) {
        // This computer is not reached through anybody's proxy.
        builder = builder.no_proxy();
    }
    builder.build().context(|| "cannot prepare downloads".into())
}

/// Downloads a small text.
pub(crate) async fn text(
    client: &Client,
    url: &Url,
    limit: usize,
    patience: &Patience,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<String> {
    let mut tries = Tries::new(patience);
    loop {
        let attempt = async {
            let mut response = ask(client.get(url.clone())).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| passing(url, error))? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() > limit {
                    return Err(Failure::Final(Error::other(format!("{url} is larger than {limit} bytes"))));
                }
            }
            String::from_utf8(bytes).map_err(|_| Failure::Final(Error::other(format!("{url} is not text"))))
        };
        match unless(cancel, attempt).await? {
            Ok(text) => return Ok(text),
            Err(failure) => tries.again(failure, reporter, cancel).await?,
        }
    }
}

/// Downloads `url` to the part file `path`, whose lock the caller holds.
pub(crate) async fn file(
    client: &Client,
    url: &Url,
    path: &Path,
    patience: &Patience,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<Downloaded> {
    let mut part = {
        let (path, reporter, cancel) = (path.to_owned(), reporter.clone(), cancel.clone());
        blocking(move || PartFile::open(&path, &reporter, &cancel)).await?
    };
    let mut tries = Tries::new(patience);
    let mut furthest = part.length();
    loop {
        let outcome;
        (part, outcome) = attempt(client, url, part, reporter, cancel).await?;
        match outcome {
            Ok(()) => return blocking(move || part.finish()).await,
            Err(failure) => {
                if part.length() >= furthest + GOOD_PROGRESS {
                    furthest = part.length();
                    tries = Tries::new(patience);
                }
                tries.again(failure, reporter, cancel).await?;
            }
        }
    }
}

/// Asks once for what is missing. The part file comes back whatever happens on the way; it is lost only with the process.
async fn attempt(
    client: &Client,
    url: &Url,
    part: PartFile,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<(PartFile, Result<(), Failure>)> {
    let mut request = client.get(url.clone());
    let start = part.length();
    if let Some(validator) = part.validator() {
        request = request.header(RANGE, format!("bytes={start}-")).header(IF_RANGE, validator);
    }
    let response = match unless(cancel, ask(request)).await? {
        Ok(response) => response,
        Err(failure) => return Ok((part, Err(failure))),
    };
    let plan = match plan(&response, start) {
        Ok(plan) => plan,
        Err(error) => return Ok((part, Err(Failure::Final(error)))),
    };
    let part = match plan {
        Plan::Whole => return Ok((part, Ok(()))),
        Plan::Restart => {
            let validator = validator_of(response.headers());
            blocking(move || part.restarted(validator)).await?
        }
        Plan::CarryOn => part,
    };
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok((part, Err(Failure::Passing(Error::other(format!("{url} has changed since the download began"))))));
    }
    let total = response.content_length().map(|more| part.length() + more);
    if total.is_some_and(|total| total > LARGEST) {
        return Ok((part, Err(Failure::Final(too_large(url)))));
    }
    if let Some(total) = total {
        check_space(part.path(), total - part.length())?;
    }
    reporter.stage("download", format!("Downloading {url}"));
    receive(response, url, part, total, reporter, cancel).await
}

/// Writes the body of `response` behind what is there, on a blocking thread.
async fn receive(
    mut response: Response,
    url: &Url,
    mut part: PartFile,
    total: Option<u64>,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<(PartFile, Result<(), Failure>)> {
    let (send, mut take) = mpsc::channel::<Vec<u8>>(WAITING_CHUNKS);
    let mut length = part.length();
    let writer = spawn_blocking(move || {
        let mut outcome = Ok(());
        while let Some(chunk) = take.blocking_recv() {
            outcome = part.append(&chunk);
            if outcome.is_err() {
                break;
            }
        }
        (part, outcome)
    });
    let received: Result<(), Failure> = loop {
        let chunk = match unless(cancel, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break Ok(()),
            Ok(Err(error)) => break Err(passing(url, error)),
            Err(interrupted) => break Err(Failure::Final(interrupted)),
        };
        length += chunk.len() as u64;
        if length > LARGEST {
            break Err(Failure::Final(too_large(url)));
        }
        // The writer goes away only with an error of its own, which comes below.
        if send.send(chunk.into()).await.is_err() {
            break Ok(());
        }
        reporter.progress(length, total, "bytes");
    };
    drop(send);
    let (part, written) = writer.await.context(|| "writing the download broke off".into())?;
    written?;
    if received.is_ok() && total.is_some_and(|total| part.length() < total) {
        let error = Error::other(format!("{url} broke off at {} bytes", part.length()));
        return Ok((part, Err(Failure::Passing(error))));
    }
    Ok((part, received))
}

enum Plan {
    CarryOn,
    Restart,
    Whole,
}

/// What to do with an answer, by its head. Pure.
fn plan(response: &Response, start: u64) -> Result<Plan> {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match response.status() {
        StatusCode::PARTIAL_CONTENT if range.starts_with(&format!("bytes {start}-")) => Ok(Plan::CarryOn),
        StatusCode::PARTIAL_CONTENT => Err(Error::other(format!(
            "{} answered with another range than asked for ({range:?} instead of {start}-)",
            response.url()
        ))),
        StatusCode::RANGE_NOT_SATISFIABLE if range == format!("bytes */{start}") => Ok(Plan::Whole),
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(Plan::Restart),
        _ => {
            let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            if kind.starts_with("text/html") {
                return Err(Error::other(format!("{} is a web page, not a disk image", response.url()))
                    .hint("a proxy or a login page of the network may answer instead of the server"));
            }
            Ok(Plan::Restart)
        }
    }
}

/// Sends a request and judges the status.
async fn ask(request: reqwest::RequestBuilder) -> Result<Response, Failure> {
    let (client, request) = request.build_split();
    let request = request.map_err(|error| Failure::Final(Error::other("cannot make the request").because(error)))?;
    let url = request.url().clone();
    let response = client.execute(request).await.map_err(|error| passing(&url, error))?;
    let status = response.status();
    tracing::debug!(%url, answered_by = %response.url(), %status);
    if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(response);
    }
    let error = Error::other(format!("{} answered {status}", response.url()));
    let busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    Err(if status.is_server_error() || busy {
        Failure::Passing(error)
    } else if status == StatusCode::NOT_FOUND {
        Failure::Final(error.with_code(Code::NotFound))
    } else {
        Failure::Final(error)
    })
}

fn passing(url: &Url, error: reqwest::Error) -> Failure {
    if error.is_redirect() {
        return Failure::Final(Error::other(format!("cannot download {url}")).because(error.without_url()));
    }
    let timed_out = error.is_timeout();
    let error = Error::other(format!("cannot download {url}")).because(error.without_url());
    Failure::Passing(if timed_out { error.with_code(Code::TimedOut) } else { error })
}

fn too_large(url: &Url) -> Error {
    Error::other(format!("{url} is larger than {} GiB", LARGEST >> 30))
}

fn validator_of(headers: &HeaderMap) -> Validator {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // A weak tag must not be used for ranges, RFC 9110 §13.1.5.
    let value = text(ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(LAST_MODIFIED));
    Validator { value }
}

fn check_space(path: &Path, needed: u64) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    // A file system that cannot tell is no reason to refuse; writing will tell.
    let Ok(free) = fs4::available_space(folder) else { return Ok(()) };
    if free < needed.saturating_add(SPARE) {
        return Err(Error::other(format!(
            "not enough space in {}: {} MiB are needed, {} MiB are free",
            folder.display(),
            (needed + SPARE).div_ceil(1 << 20),
            free >> 20
        ))
        .hint("make room (`machine image rm` removes images that no machine uses), then try again: it carries on"));
    }
    Ok(())
}

/// Counts failed attempts and waits between them.
struct Tries {
    left: u32,
    pause: Duration,
}

impl Tries {
    fn new(patience: &Patience) -> Self {
        Self { left: patience.attempts, pause: patience.pause }
    }

    async fn again(&mut self, failure: Failure, reporter: &Reporter, cancel: &Cancel) -> Result<()> {
        let error = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing(error) if self.left == 0 => return Err(error),
            Failure::Passing(error) => error,
        };
        self.left -= 1;
        reporter.warn(format!("{error}; trying again in {:.0} s", self.pause.as_secs_f32().ceil()));
        unless(cancel, tokio::time::sleep(self.pause)).await?;
        self.pause *= 2;
        Ok(())
    }
}

/// Waits for `work` unless the user interrupts it.
async fn unless<T>(cancel: &Cancel, work: impl Future<Output = T>) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Cancel::error()),
        done = work => Ok(done),
    }
}

/// Runs blocking work on a thread for such.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.context(|| "the work broke off".into())?
}
