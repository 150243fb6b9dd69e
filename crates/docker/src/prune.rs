//! Removing what nothing uses any more.

use std::time::Duration;

use bollard::query_parameters::{PruneBuildOptions, PruneContainersOptions, PruneImagesOptions, PruneNetworksOptions};

use crate::engine::Engine;
use crate::failure::EngineError;

/// Layers are deleted while an engine answers; many take minutes.
const LIMIT: Duration = Duration::from_secs(600);

impl Engine {
    /// Does what `docker system prune` does: removes stopped containers, networks without containers, images without a name that
    /// nothing uses, and what builds left. Volumes stay. Returns how many bytes that freed inside.
    ///
    /// # Errors
    /// Why the engine does not; what it has removed by then is gone.
    pub async fn prune(&self) -> Result<u64, EngineError> {
        let docker = self.docker();
        let containers = self.bounded_by(LIMIT, docker.prune_containers(None::<PruneContainersOptions>)).await?;
        self.bounded_by(LIMIT, docker.prune_networks(None::<PruneNetworksOptions>)).await?;
        let images = self.bounded_by(LIMIT, docker.prune_images(None::<PruneImagesOptions>)).await?;
        let builds = self.bounded_by(LIMIT, docker.prune_build(None::<PruneBuildOptions>)).await?;
        let freed = [containers.space_reclaimed, images.space_reclaimed, builds.space_reclaimed];
        Ok(freed.into_iter().flatten().filter_map(|bytes| u64::try_from(bytes).ok()).sum())
    }
}
