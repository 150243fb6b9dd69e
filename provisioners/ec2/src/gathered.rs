//! Looks at one instance that many ask for at the same moment, by one call for all: `ls` of a hundred machines is one
//! `DescribeInstances`, not a hundred of which AWS throttles most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use machine_core::Error;
use tokio::sync::oneshot;

use crate::cloud::{CallError, Called, Cloud, Instance};

/// How long the first one waits for others.
const COMING: Duration = Duration::from_millis(30);

/// One that waits for its answer.
type Asker = (String, oneshot::Sender<Called<Option<Instance>>>);

/// Looks that are gathered.
#[derive(Clone)]
pub(crate) struct Gathered {
    cloud: Arc<dyn Cloud>,
    waiting: Arc<Mutex<Vec<Asker>>>,
}

impl Gathered {
    pub(crate) fn new(cloud: Arc<dyn Cloud>) -> Self {
        Self { cloud, waiting: Arc::default() }
    }

    /// Looks at an instance; none where there is none.
    pub(crate) async fn instance(&self, id: &str) -> Called<Option<Instance>> {
        let (sender, answer) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // Those of a runtime that ended have nobody who would call for them.
            waiting.retain(|(_, asker)| !asker.is_closed());
            waiting.push((id.to_owned(), sender));
            waiting.len() == 1
        };
        if is_first {
            tokio::spawn(self.clone().answer_all());
        }
        answer.await.unwrap_or_else(|_| Err(Error::other("the look at EC2 was broken off").into()))
    }

    async fn answer_all(self) {
        tokio::time::sleep(COMING).await;
        let askers = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if let [(id, _)] = askers.as_slice() {
            let found = self.cloud.instance(id).await;
            if let Some((_, asker)) = askers.into_iter().next() {
                let _gone = asker.send(found);
            }
            return;
        }
        let mut ids: Vec<String> = askers.iter().map(|(id, _)| id.clone()).collect();
        ids.sort();
        ids.dedup();
        let found = self.cloud.these(&ids).await.map(|all| {
            let by_id = |instance: Instance| (instance.id.clone(), instance);
            all.into_iter().map(by_id).collect::<HashMap<_, _>>()
        });
        for (id, asker) in askers {
            let _gone = asker.send(match &found {
                Ok(all) => Ok(all.get(&id).cloned()),
                Err(error) => Err(again(error)),
            });
        }
    }
}

/// The same refusal, for one more who asked.
fn again(refused: &CallError) -> CallError {
    let mut error = Error::new(refused.error.code(), refused.error.to_string());
    for hint in refused.error.hints() {
        error = error.hint(hint);
    }
    CallError { code: refused.code.clone(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_cloud::{FakeCloud, instance};

    #[tokio::test]
    async fn a_hundred_looks_at_the_same_moment_are_one_call() {
        let cloud = Arc::new(FakeCloud::showing(vec![Some(instance("running", "")), Some(instance("stopped", ""))]));
        let gathered = Gathered::new(cloud.clone());
        let looks = (1..=100).map(|number| {
            let gathered = gathered.clone();
            async move { gathered.instance(&format!("i-{number}")).await.unwrap() }
        });
        let found = futures_util::future::join_all(looks).await;
        assert_eq!(found[0].as_ref().unwrap().state, "running");
        assert_eq!(found.iter().flatten().count(), 1, "the others are not there");
        assert_eq!(gathered.instance("i-1").await.unwrap().unwrap().state, "stopped", "the next look is another call");
    }
}
