//! The one error type of the house.

use std::fmt;

/// What a front end may decide on. Everything else is [`Code::Other`]; a new code needs a decider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The words of the command are wrong (exit code 2).
    Usage,
    /// A machine, an image or a file that was named does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The host cannot carry what was asked for; nothing was made yet (exit code 3, as docker-machine).
    PreCreate,
    /// Another process works on the same machine.
    Busy,
    /// The machine must run for this, and it does not.
    NotRunning,
    /// The host key is not the pinned one.
    HostKey,
    /// A deadline passed.
    TimedOut,
    /// The user interrupted (exit code 130).
    Interrupted,
    /// Anything else (exit code 1).
    Other,
}

/// An error that says what failed, on what, why, and what to do next.
///
/// `Display` prints the whole chain on one line: `context: cause: cause`. Hints are kept apart, for a front end to show
/// in its own way.
pub struct Error(Box<Inner>);

struct Inner {
    context: String,
    code: Code,
    hints: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with no cause below it.
    pub fn new(code: Code, context: impl Into<String>) -> Self {
        Self(Box::new(Inner { context: context.into(), code, hints: Vec::new(), source: None }))
    }

    /// An error of no particular code.
    pub fn other(context: impl Into<String>) -> Self {
        Self::new(Code::Other, context)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error with one more thing to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// The same error seen from further up: its code stays, what was being done is put in front.
    #[must_use]
    pub fn within(self, context: impl Into<String>) -> Self {
        let code = self.code();
        Self(Box::new(Inner { context: context.into(), code, hints: Vec::new(), source: Some(Box::new(self)) }))
    }

    /// The same error under another code.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.0.code = code;
        self
    }

    /// What a front end may decide on.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What to do next: the hints of the causes, then those of this error. Whoever is nearest to the fault knows best.
    pub fn hints(&self) -> Vec<&str> {
        let mut all = Vec::new();
        let mut error: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(cause) = error {
            if let Some(ours) = cause.downcast_ref::<Error>() {
                all.splice(0..0, ours.0.hints.iter().map(String::as_str));
            }
            error = cause.source();
        }
        all
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.context)?;
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
            // One of ours has printed its own causes already; a foreign error prints only itself.
            if !source.is::<Error>() {
                let mut next = source.source();
                while let Some(cause) = next {
                    write!(f, ": {cause}")?;
                    next = cause.source();
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?})", self.0.code)?;
        for hint in self.hints() {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// What to do about an I/O error in the folders where machines are kept, where its kind tells.
pub fn io_hint(error: &std::io::Error) -> Option<&'static str> {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("the disk is full: free some space there, or keep machines elsewhere with --storage-path")
        }
        ErrorKind::ReadOnlyFilesystem => {
            Some("the folder is read-only: keep machines elsewhere with --storage-path or MACHINE_STORAGE_PATH")
        }
        ErrorKind::PermissionDenied => {
            Some("check who owns it, or keep machines elsewhere with --storage-path or MACHINE_STORAGE_PATH")
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            Some("something else has that path: move it away, or use another --storage-path")
        }
        _ => None,
    }
}

/// Puts what was being done in front of any error.
pub trait ResultExt<T> {
    /// The error becomes the cause of `context`; the code and hints of one of ours are kept, an I/O error gets its hint.
    fn context(self, context: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> ResultExt<T> for std::result::Result<T, E> {
    fn context(self, context: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let source: Box<dyn std::error::Error + Send + Sync> = error.into();
            let code = source.downcast_ref::<Error>().map_or(Code::Other, Error::code);
            let hint = source.downcast_ref::<std::io::Error>().and_then(io_hint);
            let error = Error::new(code, context()).because(source);
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_one_line_and_hints_and_code_survive_it() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let low = Error::new(Code::NotFound, "cannot read \"a\"").because(io).hint("make it first");
        let high = Err::<(), _>(low).context(|| "machine \"dev\"".into()).unwrap_err().hint("or do without");
        assert_eq!(high.to_string(), "machine \"dev\": cannot read \"a\": no such file");
        assert_eq!(high.code(), Code::NotFound);
        assert_eq!(high.hints(), ["make it first", "or do without"]);
    }
}
