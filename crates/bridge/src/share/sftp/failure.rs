//! Why a request is not done, in the protocol's few words.

use std::io;

use super::wire::Status;

/// The answer to a request that is not done.
#[derive(Debug)]
pub(super) struct Failure {
    pub status: Status,
    pub why: String,
}

impl Failure {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self { status: Status::PermissionDenied, why: why.into() }
    }

    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self { status: Status::Failure, why: why.into() }
    }

    pub(super) fn no_such_file() -> Self {
        Self { status: Status::NoSuchFile, why: "no such file".into() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let status = match error.kind() {
            Kind::NotFound | Kind::NotADirectory => Status::NoSuchFile,
            // What leads out of the folder is refused like this too (cap-primitives' `escape_attempt`).
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Status::PermissionDenied,
            Kind::Unsupported => Status::Unsupported,
            Kind::StorageFull => Status::NoSpace,
            Kind::QuotaExceeded => Status::QuotaExceeded,
            _ => Status::Failure,
        };
        Self { status, why: error.to_string() }
    }
}
