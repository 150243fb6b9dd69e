//! Docker hosts at Amazon EC2: instances with a security group and a key pair of their own, tagged from their first moment.
//!
//! [`Cloud`] is the narrow trait of the calls that are used; over HTTPS it is implemented by a client that signs with AWS's
//! own crate. What is asked of EC2 is decided by pure functions (`plan`, `user_data`), from [`Facts`] that the preflight found.

mod answers;
mod caller;
mod calls;
mod client;
#[cfg(test)]
mod client_tests;
mod cloud;
mod connector;
mod creation;
mod credentials;
mod driver;
mod facts;
mod failure;
#[cfg(test)]
mod fake_cloud;
mod fleet;
mod gathered;
mod image;
mod options;
mod orphans;
mod pace;
mod plan;
mod policy;
mod power;
mod prices;
mod query;
mod removal;
mod state;
mod user_data;
mod xml;

pub use cloud::{
    CallError, Called, Cloud, Group, Identity, Image, Instance, InstanceType, KeyPair, Launch, Manner, NewGroup,
    NewKeyPair, Rule, Subnet, Volume, Vpc,
};
pub use credentials::Keys;
pub use driver::{Ec2Config, Ec2Driver, GIVEN_KEY};
pub use facts::Facts;
pub use fleet::Came;
pub use options::{Ec2Options, tags};
pub use orphans::{Orphan, Orphans, Search};
pub use pace::Pace;
pub use policy::policy;
pub use prices::{PRICES_ARE_OF, Price};
pub use query::Filter;
