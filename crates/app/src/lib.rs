//! The use cases of `machine`: the one API of the command line, the desktop app and the supervisor.
//!
//! [`App`] is made from an [`Environment`] and does nothing until it is asked. Long work is async and reports through a
//! [`Reporter`](machine_core::Reporter); what only reads local facts is plain and quick.

mod action;
mod app;
mod archive;
mod bridge;
mod certificates;
mod connection;
mod container_terminal;
mod containers;
mod create;
mod default_socket;
mod disk_usage;
mod docker_inside;
mod docker_machine_store;
mod docker_machine_view;
mod doctor;
mod doctor_running;
mod driver_options;
mod ec2;
mod ec2_words;
mod engine_action;
mod engine_lists;
mod engine_question;
mod engine_socket;
mod environment;
mod figures;
mod files;
mod filter;
mod follow;
mod host_key;
mod image_builder;
mod image_use_cases;
mod launcher;
mod list;
mod logs;
mod mount;
mod moving;
mod open_files;
mod overview;
mod power;
mod programs;
mod provision;
mod proxies;
mod pull;
mod readiness;
mod recipe_over_ssh;
mod reclaim;
mod redact;
mod remove;
mod rename;
mod renew;
mod resize;
mod scp;
mod seed;
mod shares;
mod shell;
mod shell_init;
mod ssh_config;
mod ssh_use_cases;
mod store;
mod supervise;
mod support_bundle;
mod sync;
mod take_over;
mod upgrade;
mod use_machine;
mod users;
mod window_folders;
mod window_settings;
mod workshop;

pub use action::Action;
pub use app::{App, DRIVERS};
pub use connection::{Connection, EnvLines, EnvOptions};
pub use container_terminal::{TerminalRequest, Typed};
pub use containers::{Container, ContainerAction};
pub use create::{CreateRequest, CreateWords, Created, UnconfirmedHost};
pub use default_socket::Taken;
pub use disk_usage::{DiskUsage, DiskUse, ImageUse, Inside, MachineUse};
pub use doctor::{Check, Outcome};
pub use driver_options::DriverWords;
pub use ec2::OrphanSearch;
pub use ec2_words::Ec2Words;
pub use engine_action::EngineAction;
pub use engine_lists::{Image, Member, NetworkRow, VolumeRow};
pub use engine_question::{Answered, EngineAnswer, EngineQuestion, Step};
pub use engine_socket::EngineSocket;
pub use environment::{Environment, HostProxies};
pub use figures::Figures;
pub use filter::Filter;
pub use follow::{Source, Told};
pub use image_use_cases::ImageWords;
pub use jiff::Timestamp;
pub use list::{Inspection, Row};
pub use logs::{Following, LogKind};
pub use machine_bridge::{Carried, PortRow, PortState, ShareState};
pub use machine_core as core;
pub use machine_docker::{
    ContainerId, ContainerVerb, ImageId, ImageReference, NewContainer, ObjectName, Publish, Restart, Variable,
    VolumeMount,
};
pub use machine_ec2 as ec2_driver;
pub use machine_engine as engine;
pub use machine_images as images;
pub use machine_qemu::{Range, SizeBounds};
pub use machine_ssh as ssh;
pub use machine_sync::{
    Action as SyncAction, Change as SyncChange, Copied as SyncCopied, Problem as SyncProblem, Report as SyncReport,
};
pub use mount::MountWords;
pub use overview::{Card, Overview, Share, Verb};
pub use provision::EngineChanges;
pub use pull::Layer;
pub use reclaim::{ReclaimPlan, Reclaimed, TrimPlan, Trimmed};
pub use resize::SizeChanges;
pub use scp::ScpWords;
pub use shares::{SeenFolder, Shares};
pub use shell::Shell;
pub use ssh_config::SshConfig;
pub use ssh_use_cases::SshRequest;
pub use support_bundle::SupportBundle;
pub use sync::SyncWords;
pub use take_over::OldMachine;
pub use upgrade::Upgraded;
pub use use_machine::Chosen;
pub use users::UserAdded;
pub use window_folders::{ChosenFolder, FolderRow};
pub use window_settings::{Language, Theme, WindowSettings};
pub use workshop::{
    ExecEnd, ExecLine, Handout, HandoutWords, LoginBy, Person, Seat, SeatStatus, Workshop, WorkshopCost,
    WorkshopReport, WorkshopRow, WorkshopStatus, WorkshopWords,
};
