//! Images of one engine.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use bollard::models::{CreateImageInfo, ImageHistoryResponseItem, ImagePruneResponse, ImageSummary};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptionsBuilder, PruneImagesOptionsBuilder, RemoveImageOptions,
    TagImageOptionsBuilder,
};
use futures_util::{Stream, StreamExt as _};

use crate::engine::Engine;
use crate::failure::{EngineError, explain};
use crate::words::{ImageId, ImageReference};

/// How long an engine may take to remove what fills a disk.
pub(crate) const REMOVAL: Duration = Duration::from_secs(300);

/// One layer of an image on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullNews {
    /// The layer's short identifier; none where the whole is meant.
    pub layer: Option<String>,
    /// The engine's words: `Downloading`, `Pull complete`, `Status: Downloaded newer image for ...`.
    pub status: String,
    /// How far it is and of how much, bytes.
    pub progress: Option<(u64, u64)>,
}

/// What an engine tells while it pulls. Dropping it ends the pull.
pub struct Pull {
    stream: Pin<Box<dyn Stream<Item = Result<CreateImageInfo, bollard::errors::Error>> + Send>>,
    peer: String,
}

impl Pull {
    /// Waits for the next news; `None` when the image is there.
    ///
    /// # Errors
    /// Why it could not be pulled.
    pub async fn next(&mut self) -> Result<Option<PullNews>, EngineError> {
        let info = match self.stream.next().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(explain(&self.peer, error)),
            Some(Ok(info)) => info,
        };
        let progress = info.progress_detail.and_then(|detail| {
            Some((u64::try_from(detail.current?).ok()?, u64::try_from(detail.total?).ok().filter(|total| *total > 0)?))
        });
        Ok(Some(PullNews { layer: info.id, status: info.status.unwrap_or_default(), progress }))
    }
}

impl Engine {
    /// Its images, without those in between.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        let options = ListImagesOptionsBuilder::default().all(false).build();
        self.bounded_by(self.timeout(), self.docker().list_images(Some(options))).await
    }

    /// Begins to pull an image, without credentials. Nothing is sent before the first [`Pull::next`].
    pub fn pull(&self, image: &ImageReference) -> Pull {
        let (repository, tag) = image.parts();
        let options = CreateImageOptionsBuilder::default().from_image(repository).tag(tag).build();
        let docker = self.docker().clone();
        Pull { stream: Box::pin(docker.create_image(Some(options), None, None)), peer: self.peer().to_owned() }
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn tag_image(&self, image: &ImageId, name: &ImageReference) -> Result<(), EngineError> {
        let (repository, tag) = name.parts();
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.bounded_by(self.timeout(), self.docker().tag_image(image.as_str(), Some(options))).await
    }

    /// Removes a name of an image, and the image with its last one. `image` is a name or an identifier.
    ///
    /// # Errors
    /// What the engine says, such as that a container uses it.
    pub async fn remove_image(&self, image: &str) -> Result<(), EngineError> {
        let call = self.docker().remove_image(image, None::<RemoveImageOptions>, None);
        self.bounded_by(REMOVAL, call).await.map(drop)
    }

    /// Removes images that no container uses: those without a name, or `all` of them.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn prune_images(&self, all: bool) -> Result<ImagePruneResponse, EngineError> {
        let only = HashMap::from([("dangling", vec![if all { "false" } else { "true" }])]);
        let options = PruneImagesOptionsBuilder::default().filters(&only).build();
        self.bounded_by(REMOVAL, self.docker().prune_images(Some(options))).await
    }

    /// How an image was made, the last step first.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn image_history(&self, image: &ImageId) -> Result<Vec<ImageHistoryResponseItem>, EngineError> {
        self.bounded_by(self.timeout(), self.docker().image_history(image.as_str())).await
    }
}
