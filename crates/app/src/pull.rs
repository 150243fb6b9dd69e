//! An image on its way, layer by layer.

use std::time::Duration;

use machine_core::{MachineName, Result};
use machine_docker::{ImageReference, PullNews};
use serde::Serialize;

use crate::app::App;
use crate::follow::Told;

/// How often a window is told: an engine tells of each layer ten times a second.
const TELL_EVERY: Duration = Duration::from_millis(120);

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Its short identifier.
    pub id: String,
    /// The engine's words: `Downloading`, `Pull complete`.
    pub status: String,
    /// How far it is, bytes.
    pub done: Option<u64>,
    /// Of how much.
    pub total: Option<u64>,
}

/// What is known of an image on its way.
#[derive(Default)]
struct Layers {
    layers: Vec<Layer>,
    status: String,
}

impl Layers {
    fn hear(&mut self, news: PullNews) {
        let Some(id) = news.layer else {
            self.status = news.status;
            return;
        };
        // `Pulling from library/alpine` comes with the tag as its identifier: it is about the whole.
        if news.status.starts_with("Pulling from") {
            self.status = news.status;
            return;
        }
        let (done, total) = news.progress.unzip();
        let now = Layer { id, status: news.status, done, total };
        match self.layers.iter_mut().find(|layer| layer.id == now.id) {
            Some(layer) => *layer = now,
            None => self.layers.push(now),
        }
    }

    fn told(&self) -> Told {
        Told::Pull { status: self.status.clone(), layers: self.layers.clone() }
    }
}

impl App {
    /// Pulls an image and tells how far it is. Dropping it ends the pull; layers that are there stay.
    pub(crate) async fn follow_pull(
        &self,
        machine: &MachineName,
        image: &ImageReference,
        tell: &impl Fn(Told),
    ) -> Result<()> {
        let mut pull = self.engine_of(machine)?.pull(image);
        let mut layers = Layers::default();
        let mut news = true;
        let mut tick = tokio::time::interval(TELL_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                next = pull.next() => match next? {
                    Some(heard) => {
                        layers.hear(heard);
                        news = true;
                    }
                    None => break,
                },
                _ = tick.tick(), if news => {
                    tell(layers.told());
                    news = false;
                }
            }
        }
        tell(layers.told());
        tell(Told::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_has_its_latest_news_and_the_whole_its_own() {
        let mut layers = Layers::default();
        let news = |layer: Option<&str>, status: &str, progress| PullNews {
            layer: layer.map(Into::into),
            status: status.into(),
            progress,
        };
        layers.hear(news(Some("latest"), "Pulling from library/alpine", None));
        layers.hear(news(Some("aa"), "Downloading", Some((1, 4))));
        layers.hear(news(Some("bb"), "Waiting", None));
        layers.hear(news(Some("aa"), "Pull complete", None));
        let layer = |id: &str, status: &str| Layer { id: id.into(), status: status.into(), done: None, total: None };
        assert_eq!(
            layers.told(),
            Told::Pull {
                status: "Pulling from library/alpine".into(),
                layers: vec![layer("aa", "Pull complete"), layer("bb", "Waiting")]
            }
        );
        layers.hear(news(None, "Status: Downloaded newer image", None));
        assert_eq!(layers.status, "Status: Downloaded newer image");
    }
}
