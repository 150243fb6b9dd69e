//! Images, volumes and networks of a machine, as a window shows them, each with the containers that use it.

use machine_core::Result;
use machine_docker::{ContainerSummary, Engine, ImageSummary, Network, Volume};
use serde::Serialize;

/// One name of an image, or an image that has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// The image's identifier.
    pub id: String,
    /// Its name with tag; none for what a build left behind.
    pub reference: Option<String>,
    /// All of it, bytes; layers that it shares with others included.
    pub size_bytes: u64,
    /// Seconds since 1970.
    pub created: i64,
    /// Names of the containers made from it.
    pub used_by: Vec<String>,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeRow {
    /// Its name.
    pub name: String,
    /// What keeps it: `local`, or a plugin.
    pub driver: String,
    /// When it was made, RFC 3339, where the engine says.
    pub created: Option<String>,
    /// The Compose project that it belongs to.
    pub project: Option<String>,
    /// It was made without a name, for one container.
    pub anonymous: bool,
    /// Names of the containers that see it.
    pub used_by: Vec<String>,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkRow {
    /// Its name.
    pub name: String,
    /// `bridge`, `host`, `null`, or a plugin.
    pub driver: String,
    /// Its addresses.
    pub subnets: Vec<String>,
    /// It leads nowhere else.
    pub internal: bool,
    /// The engine's own: it cannot be removed.
    pub built_in: bool,
    /// The containers on it.
    pub members: Vec<Member>,
}

/// A container on a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Member {
    /// Its name.
    pub container: String,
    /// Its address there, while it runs.
    pub address: Option<String>,
}

fn name_of(container: &ContainerSummary) -> String {
    let name = container.names.iter().flatten().next().map_or("", String::as_str);
    name.trim_start_matches('/').to_owned()
}

/// Names of the containers that `uses` says yes to, in order.
fn users(containers: &[ContainerSummary], uses: impl Fn(&ContainerSummary) -> bool) -> Vec<String> {
    let mut names: Vec<String> = containers.iter().filter(|one| uses(one)).map(name_of).collect();
    names.sort();
    names
}

fn image_rows(images: Vec<ImageSummary>, containers: &[ContainerSummary]) -> Vec<Image> {
    let mut rows = Vec::new();
    for image in images {
        let used_by = users(containers, |one| one.image_id.as_deref() == Some(&image.id));
        let row = |reference| Image {
            id: image.id.clone(),
            reference,
            size_bytes: u64::try_from(image.size).unwrap_or(0),
            created: image.created,
            used_by: used_by.clone(),
        };
        // Old engines write <none>:<none> for what has no name.
        let mut names: Vec<&String> = image.repo_tags.iter().filter(|name| !name.contains('<')).collect();
        names.sort();
        if names.is_empty() {
            rows.push(row(None));
        }
        rows.extend(names.into_iter().map(|name| row(Some(name.clone()))));
    }
    // What has no name comes last.
    rows.sort_by(|one, other| {
        (one.reference.is_none(), &one.reference, &one.id).cmp(&(
            other.reference.is_none(),
            &other.reference,
            &other.id,
        ))
    });
    rows
}

fn volume_rows(volumes: Vec<Volume>, containers: &[ContainerSummary]) -> Vec<VolumeRow> {
    let row = |mut volume: Volume| {
        let uses = |one: &ContainerSummary| {
            one.mounts
                .iter()
                .flatten()
                .any(|mount| mount.typ.as_deref() == Some("volume") && mount.name.as_deref() == Some(&volume.name))
        };
        let long_name = volume.name.len() == 64 && volume.name.bytes().all(|byte| byte.is_ascii_hexdigit());
        VolumeRow {
            used_by: users(containers, uses),
            // Engines before 23 do not mark them.
            anonymous: long_name || volume.labels.contains_key("com.docker.volume.anonymous"),
            project: volume.labels.remove("com.docker.compose.project"),
            created: volume.created_at,
            name: volume.name,
            driver: volume.driver,
        }
    };
    let mut rows: Vec<VolumeRow> = volumes.into_iter().map(row).collect();
    rows.sort_by(|one, other| (one.anonymous, &one.name).cmp(&(other.anonymous, &other.name)));
    rows
}

fn network_rows(networks: Vec<Network>, containers: &[ContainerSummary]) -> Vec<NetworkRow> {
    let row = |network: Network| {
        let name = network.name.unwrap_or_default();
        let mut members: Vec<Member> = containers
            .iter()
            .filter_map(|one| {
                let on = one.network_settings.as_ref()?.networks.as_ref()?.get(&name)?;
                let address = on.ip_address.clone().filter(|address| !address.is_empty());
                Some(Member { container: name_of(one), address })
            })
            .collect();
        members.sort();
        let subnets = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        NetworkRow {
            driver: network.driver.unwrap_or_default(),
            subnets: subnets.into_iter().filter_map(|one| one.subnet).collect(),
            internal: network.internal.unwrap_or_default(),
            built_in: matches!(name.as_str(), "bridge" | "host" | "none"),
            name,
            members,
        }
    };
    let mut rows: Vec<NetworkRow> = networks.into_iter().map(row).collect();
    rows.sort_by(|one, other| (one.built_in, &one.name).cmp(&(other.built_in, &other.name)));
    rows
}

/// An engine's images, by name.
pub(crate) async fn images_of(engine: &Engine) -> Result<Vec<Image>> {
    Ok(image_rows(engine.images().await?, &engine.containers(true).await?))
}

/// An engine's volumes: those with names first.
pub(crate) async fn volumes_of(engine: &Engine) -> Result<Vec<VolumeRow>> {
    Ok(volume_rows(engine.volumes().await?, &engine.containers(true).await?))
}

/// An engine's networks: its own last.
pub(crate) async fn networks_of(engine: &Engine) -> Result<Vec<NetworkRow>> {
    Ok(network_rows(engine.networks().await?, &engine.containers(true).await?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn containers() -> Vec<ContainerSummary> {
        from_value(json!([
            {"Id": "1", "Names": ["/web"], "ImageID": "sha256:a",
             "Mounts": [{"Type": "volume", "Name": "data", "Destination": "/data"}, {"Type": "bind", "Name": "other"}],
             "NetworkSettings": {"Networks": {"shop": {"IPAddress": "172.18.0.2"}}}},
            {"Id": "2", "Names": ["/db"], "ImageID": "sha256:a",
             "NetworkSettings": {"Networks": {"shop": {"IPAddress": ""}}}},
        ]))
        .unwrap()
    }

    fn image(id: &str, tags: &Value) -> Value {
        json!({"Id": id, "ParentId": "", "RepoTags": tags, "RepoDigests": [], "Created": 1, "Size": 5, "SharedSize": -1,
               "Labels": {}, "Containers": -1})
    }

    #[test]
    fn each_name_of_an_image_is_a_row_and_what_has_none_comes_last() {
        let images = from_value(json!([
            image("sha256:b", &json!(["<none>:<none>"])),
            image("sha256:a", &json!(["web:2", "web:1"])),
        ]))
        .unwrap();
        let rows = image_rows(images, &containers());
        let seen: Vec<_> = rows.iter().map(|row| (row.reference.as_deref(), row.used_by.as_slice())).collect();
        let users = ["db".to_owned(), "web".to_owned()];
        assert_eq!(seen, [(Some("web:1"), &users[..]), (Some("web:2"), &users[..]), (None, &[][..])]);
    }

    #[test]
    fn a_volume_is_used_by_who_mounts_it_and_one_without_a_name_is_told_apart() {
        let volume = |name: &str| json!({"Name": name, "Driver": "local", "Mountpoint": "/x", "Labels": {}, "Options": {}, "Scope": "local"});
        let rows = volume_rows(
            from_value(json!([volume(&"a".repeat(64)), volume("other"), volume("data")])).unwrap(),
            &containers(),
        );
        let seen: Vec<_> = rows.iter().map(|row| (&row.name[..4], row.anonymous, row.used_by.len())).collect();
        assert_eq!(seen, [("data", false, 1), ("othe", false, 0), ("aaaa", true, 0)]);
    }

    #[test]
    fn a_network_has_its_members_with_their_addresses_while_they_run() {
        let rows = network_rows(
            from_value(json!([
                {"Name": "bridge", "Id": "1", "Driver": "bridge"},
                {"Name": "shop", "Id": "2", "Driver": "bridge", "Internal": true, "IPAM": {"Config": [{"Subnet": "172.18.0.0/16"}]}},
            ]))
            .unwrap(),
            &containers(),
        );
        assert_eq!((rows[0].name.as_str(), rows[0].built_in, rows[1].built_in), ("shop", false, true));
        assert_eq!(rows[0].subnets, ["172.18.0.0/16"]);
        let member =
            |name: &str, address: Option<&str>| Member { container: name.into(), address: address.map(Into::into) };
        assert_eq!(rows[0].members, [member("db", None), member("web", Some("172.18.0.2"))]);
    }
}
