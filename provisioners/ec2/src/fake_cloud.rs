//! A cloud of one instance, for tests of what moto cannot show: it says what it was told to say, and notes what was asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use machine_core::Error;

use crate::cloud::{
    CallError, Called, Cloud, Group, Identity, Image, Instance, InstanceType, KeyPair, Launch, Manner, NewGroup,
    NewKeyPair, Rule, Subnet, Volume, Vpc,
};
use crate::query::Filter;

/// What it says.
#[derive(Debug, Default)]
pub(crate) struct FakeCloud {
    /// What looks at the instance show, one after the other; the last one from then on.
    pub(crate) looks: Mutex<Vec<Option<Instance>>>,
    /// Whether the instance is protected from termination.
    pub(crate) protected: Mutex<bool>,
    /// Whether it is a spot instance.
    pub(crate) spot: bool,
    pub(crate) account: &'static str,
    pub(crate) group: Group,
    pub(crate) subnet: Subnet,
    /// Calls that change something, and what they name.
    pub(crate) notes: Mutex<Vec<String>>,
}

/// The refusal with a code.
fn refused(code: &str) -> CallError {
    CallError { code: code.to_owned(), error: Error::other(format!("played: {code}")) }
}

/// An instance `i-1` in a state.
pub(crate) fn instance(state: &str, reason: &str) -> Instance {
    Instance {
        id: "i-1".into(),
        state: state.into(),
        reason: reason.into(),
        public: Some(std::net::Ipv4Addr::new(192, 0, 2, 7).into()),
        ..Instance::default()
    }
}

impl FakeCloud {
    pub(crate) fn showing(looks: Vec<Option<Instance>>) -> Self {
        Self { looks: Mutex::new(looks), account: "1", ..Self::default() }
    }

    fn look(&self) -> Option<Instance> {
        let mut looks: MutexGuard<'_, _> = self.looks.lock().unwrap();
        if looks.len() > 1 { looks.remove(0) } else { looks.first().cloned().flatten() }
    }

    fn note(&self, what: impl Into<String>) {
        self.notes.lock().unwrap().push(what.into());
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

fn shown(rules: &[Rule]) -> String {
    rules.iter().map(|rule| format!(" {}:{}-{} {}", rule.protocol, rule.from, rule.to, rule.cidr)).collect()
}

#[async_trait]
impl Cloud for FakeCloud {
    fn region(&self) -> &str {
        "eu-central-1"
    }

    fn endpoint(&self) -> Option<&str> {
        None
    }

    async fn identity(&self) -> Called<Identity> {
        Ok(Identity { account: self.account.to_owned() })
    }

    async fn parameters(&self, _: &[String]) -> Called<BTreeMap<String, String>> {
        Err(refused("NotPlayed"))
    }

    async fn regions(&self) -> Called<Vec<String>> {
        Err(refused("NotPlayed"))
    }

    async fn image(&self, _: &str) -> Called<Option<Image>> {
        Err(refused("NotPlayed"))
    }

    async fn images(&self, _: &[String], _: &[Filter]) -> Called<Vec<Image>> {
        Err(refused("NotPlayed"))
    }

    async fn instance_type(&self, _: &str) -> Called<Option<InstanceType>> {
        Err(refused("NotPlayed"))
    }

    async fn zones_of_type(&self, _: &str) -> Called<Vec<String>> {
        Err(refused("NotPlayed"))
    }

    async fn vpcs(&self, _: &[Filter]) -> Called<Vec<Vpc>> {
        Err(refused("NotPlayed"))
    }

    async fn subnets(&self, _: &[Filter]) -> Called<Vec<Subnet>> {
        Ok(vec![self.subnet.clone()])
    }

    async fn groups(&self, _: &[Filter]) -> Called<Vec<Group>> {
        Ok(Some(self.group.clone()).filter(|group| !group.id.is_empty()).into_iter().collect())
    }

    async fn create_group(&self, _: &NewGroup, _: bool) -> Called<String> {
        Err(refused("NotPlayed"))
    }

    async fn authorize(&self, _: &str, rules: &[Rule]) -> Called<()> {
        self.note(format!("authorize{}", shown(rules)));
        Ok(())
    }

    async fn revoke(&self, _: &str, rules: &[Rule]) -> Called<()> {
        self.note(format!("revoke{}", shown(rules)));
        Err(refused("InvalidPermission.NotFound"))
    }

    async fn delete_group(&self, _: &str) -> Called<()> {
        Ok(())
    }

    async fn key_pairs(&self, _: &[Filter]) -> Called<Vec<KeyPair>> {
        Ok(Vec::new())
    }

    async fn import_key_pair(&self, _: &NewKeyPair, _: bool) -> Called<()> {
        Err(refused("NotPlayed"))
    }

    async fn delete_key_pair(&self, _: &str) -> Called<()> {
        Ok(())
    }

    async fn run(&self, _: &Launch, _: bool) -> Called<Vec<Instance>> {
        Err(refused("NotPlayed"))
    }

    async fn instances(&self, _: &[Filter]) -> Called<Vec<Instance>> {
        Ok(self.look().into_iter().collect())
    }

    async fn instance(&self, _: &str) -> Called<Option<Instance>> {
        Ok(self.look())
    }

    async fn start(&self, _: &str) -> Called<()> {
        self.note("start");
        Ok(())
    }

    async fn stop(&self, _: &str, _: Manner) -> Called<()> {
        self.note("stop");
        Ok(())
    }

    async fn tag(&self, ids: &[String], key: &str, value: &str) -> Called<()> {
        self.note(format!("tag {} {key}={value}", ids.join(",")));
        Ok(())
    }

    async fn terminate(&self, _: &[String]) -> Called<()> {
        self.note("terminate");
        if *self.protected.lock().unwrap() {
            return Err(refused("OperationNotPermitted"));
        }
        *self.looks.lock().unwrap() = vec![Some(instance("terminated", ""))];
        Ok(())
    }

    async fn unprotect(&self, _: &str) -> Called<()> {
        self.note("unprotect");
        if self.spot {
            return Err(refused("UnsupportedOperation"));
        }
        *self.protected.lock().unwrap() = false;
        Ok(())
    }

    async fn volumes(&self, _: &[Filter]) -> Called<Vec<Volume>> {
        Ok(Vec::new())
    }

    async fn delete_volume(&self, _: &str) -> Called<()> {
        Ok(())
    }
}
