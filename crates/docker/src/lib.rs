//! Docker Engine of one machine: its API over mutual TLS, and its context for the `docker` command.
//!
//! A machine's engine is trusted by the certificate authority of its store and by nothing else.

mod clock;
mod connect;
mod containers;
mod context_files;
mod contexts;
mod current_context;
mod dialer;
mod engine;
mod failure;
mod hang_up;
mod images;
mod json;
mod look_inside;
mod prune;
mod run;
mod stores;
mod terminal;
mod words;

pub use clock::EngineClock;
pub use containers::{BindMounts, ContainerChange, ContainerEvents, ContainerId, ContainerOutput, ContainerVerb};
pub use contexts::{ContextTls, Contexts, EngineContext, context_name};
pub use dialer::{EngineDialer, EngineStream};
pub use engine::{Engine, EngineTarget, engine_time};
pub use failure::{EngineError, EngineFailure};
pub use images::{Pull, PullNews};
pub use look_inside::ContainerStats;
pub use run::{NewContainer, Publish, Restart, Variable, VolumeMount};
pub use terminal::{TerminalInput, TerminalOutput};
pub use words::{ImageId, ImageReference, ObjectName};

/// Docker's own types, as the API gives them.
pub use bollard::models::{
    ContainerCpuStats, ContainerStatsResponse, ContainerSummary, ImageHistoryResponseItem, ImageSummary, Network,
    PortSummary, SystemInfo, SystemVersion, Volume,
};
