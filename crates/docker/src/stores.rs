//! Volumes and networks of one engine.

use std::collections::HashMap;

use bollard::models::{Network, NetworkCreateRequest, Volume};
use bollard::query_parameters::{ListNetworksOptions, ListVolumesOptions, RemoveVolumeOptions};
use serde::Deserialize;

use crate::engine::Engine;
use crate::failure::EngineError;
use crate::images::REMOVAL;
use crate::words::ObjectName;

/// `/system/df` as engines write it: `Volumes` up to API 1.51, `VolumeUsage` since 1.52.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    volumes: Option<Vec<VolumeOnDisk>>,
    volume_usage: Option<VolumeUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeUsage {
    items: Option<Vec<VolumeOnDisk>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeOnDisk {
    name: String,
    usage_data: Option<UsageData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UsageData {
    /// -1 where the engine does not know.
    size: i64,
}

impl Usage {
    fn sizes(self) -> HashMap<String, u64> {
        let volumes = self.volumes.or_else(|| self.volume_usage?.items).unwrap_or_default();
        let size = |volume: VolumeOnDisk| Some((volume.name, u64::try_from(volume.usage_data?.size).ok()?));
        volumes.into_iter().filter_map(size).collect()
    }
}

impl Engine {
    /// Its volumes.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn volumes(&self) -> Result<Vec<Volume>, EngineError> {
        let call = self.docker().list_volumes(None::<ListVolumesOptions>);
        Ok(self.bounded_by(self.timeout(), call).await?.volumes.unwrap_or_default())
    }

    /// How large its volumes are, bytes, by name. The engine reads every file's size for it.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn volume_sizes(&self) -> Result<HashMap<String, u64>, EngineError> {
        self.json::<Usage>("/system/df?type=volume&verbose=1", REMOVAL).await.map(Usage::sizes)
    }

    /// Removes a volume that no container uses.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn remove_volume(&self, name: &ObjectName) -> Result<(), EngineError> {
        let call = self.docker().remove_volume(name.as_str(), None::<RemoveVolumeOptions>);
        self.bounded_by(REMOVAL, call).await
    }

    /// Its networks.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn networks(&self) -> Result<Vec<Network>, EngineError> {
        self.bounded_by(self.timeout(), self.docker().list_networks(None::<ListNetworksOptions>)).await
    }

    /// Makes a bridge of its own; `internal` leads nowhere else.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn create_network(&self, name: &ObjectName, internal: bool) -> Result<(), EngineError> {
        let request = NetworkCreateRequest {
            name: name.to_string(),
            internal: internal.then_some(true),
            ..NetworkCreateRequest::default()
        };
        self.bounded_by(self.timeout(), self.docker().create_network(request)).await.map(drop)
    }

    /// Removes a network that nothing is on.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn remove_network(&self, name: &ObjectName) -> Result<(), EngineError> {
        self.bounded_by(self.timeout(), self.docker().remove_network(name.as_str())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_engines_of_both_ages_and_unknown_ones_left_out() {
        let known = r#"{"Name":"data","UsageData":{"Size":42,"RefCount":1}}"#;
        let unknown = r#"{"Name":"far","UsageData":{"Size":-1,"RefCount":-1}}"#;
        for text in [
            format!(r#"{{"LayersSize":1,"Images":[],"Volumes":[{known},{unknown}]}}"#),
            format!(r#"{{"VolumeUsage":{{"TotalCount":2,"Items":[{known},{unknown}]}}}}"#),
        ] {
            let sizes = serde_json::from_str::<Usage>(&text).unwrap().sizes();
            assert_eq!(sizes, HashMap::from([("data".to_owned(), 42)]), "{text}");
        }
    }
}
