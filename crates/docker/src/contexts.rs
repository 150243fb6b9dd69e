//! Contexts of the `docker` command: `docker --context dev ps` from any terminal.
//!
//! Docker keeps a context as `contexts/meta/ID/meta.json` and `contexts/tls/ID/docker/{ca,cert,key}.pem` in its folder,
//! where ID is the SHA-256 of the name (docker/cli, cli/context/store).

use std::path::{Path, PathBuf};

use machine_core::{Code, Error, Result, ResultExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use machine_files::{PRIVATE, PUBLIC, make_private_folder, write_whole};

use crate::context_files::{lock, read_if_there, remove_folder};
use crate::current_context;

/// The field of a context's metadata by which a store knows its own.
const MARK: &str = "io.machine.store";

/// What a context says of a machine.
#[derive(Clone)]
pub struct EngineContext {
    /// The context's name, from [`context_name`].
    pub name: String,
    /// A line for `docker context ls`.
    pub description: String,
    /// The engine's address, as `tcp://127.0.0.1:2376`, `unix:///run/docker.sock` or `npipe:////./pipe/docker`.
    pub host: String,
    /// By what it is known and we are known to it; none for a socket of this computer. (The `docker` command would speak TLS
    /// to a socket, too.)
    pub tls: Option<ContextTls>,
}

/// The files of mutual TLS, PEM.
#[derive(Clone)]
pub struct ContextTls {
    /// The authority's certificate.
    pub ca: String,
    /// The client certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for EngineContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineContext").field("name", &self.name).field("host", &self.host).finish_non_exhaustive()
    }
}

/// The name of a machine's context: the machine's own, unless Docker does not take it (`default` is Docker's, and one
/// character is too short). `_` is in no machine's name, so no two machines share a context.
pub fn context_name(machine: &str) -> String {
    if machine == "default" || machine.len() < 2 { format!("machine_{machine}") } else { machine.to_owned() }
}

/// The contexts of one store in one folder of the `docker` command.
#[derive(Clone, Debug)]
pub struct Contexts {
    folder: PathBuf,
    store: String,
}

impl Contexts {
    /// The contexts in `folder` (`DOCKER_CONFIG`, or `~/.docker`) that carry the mark of `store`.
    pub fn new(folder: impl Into<PathBuf>, store: impl Into<String>) -> Self {
        Self { folder: folder.into(), store: store.into() }
    }

    /// Creates a context, or brings ours of that name up to date.
    ///
    /// # Errors
    /// A context of that name that is not ours ([`Code::AlreadyExists`]), or a folder that cannot be written.
    pub fn write(&self, context: &EngineContext) -> Result<()> {
        check_name(&context.name)?;
        let _lock = lock(&self.folder)?;
        self.refuse_others(&context.name, "cannot write")?;
        // The keys first: a context that can be seen can be used.
        match &context.tls {
            Some(ContextTls { ca, cert, key }) => {
                let folder = self.tls(&context.name).join("docker");
                make_private_folder(&folder)?;
                for (file, pem) in [("ca.pem", ca), ("cert.pem", cert), ("key.pem", key)] {
                    write_whole(&folder.join(file), pem.as_bytes(), PRIVATE)?;
                }
            }
            None => remove_folder(&self.tls(&context.name))?,
        }
        let meta = self.meta(&context.name);
        make_private_folder(&meta)?;
        let text = meta_json(context, &self.store).to_string();
        write_whole(&meta.join("meta.json"), text.as_bytes(), PUBLIC)
    }

    /// Removes our context of this name, and returns whether there was one. When it is the current one, none is.
    ///
    /// # Errors
    /// A context of that name that is not ours, or a folder that cannot be written.
    pub fn remove(&self, name: &str) -> Result<bool> {
        if !self.folder.is_dir() {
            return Ok(false);
        }
        let _lock = lock(&self.folder)?;
        let there = self.refuse_others(name, "cannot remove")?;
        let (meta, tls) = (self.meta(name), self.tls(name));
        if there {
            current_context::change(&self.folder, |current| (current == Some(name)).then_some(None))?;
        } else if meta.exists() || !tls.exists() {
            return Ok(false);
        }
        // Keys without a context are what a crash of ours leaves between the two.
        remove_folder(&meta)?;
        remove_folder(&tls)?;
        Ok(there)
    }

    /// The names of our contexts, sorted. What cannot be read is not ours.
    ///
    /// # Errors
    /// When the folder of contexts cannot be listed.
    pub fn ours(&self) -> Result<Vec<String>> {
        let all = self.folder.join("contexts").join("meta");
        let entries = match std::fs::read_dir(&all) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context(|| format!("cannot list {}", all.display())),
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| std::fs::read(entry.path().join("meta.json")).ok())
            .filter_map(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .filter(|meta| meta["Metadata"][MARK] == self.store.as_str())
            .filter_map(|meta| meta["Name"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// The context that the `docker` command uses unless its environment says otherwise; `None` is Docker's default.
    ///
    /// # Errors
    /// When `config.json` cannot be read.
    pub fn current(&self) -> Result<Option<String>> {
        current_context::read(&self.folder)
    }

    /// Makes our context of this name the current one.
    ///
    /// # Errors
    /// No context of ours by that name, or a `config.json` that cannot be read or written; it is then as it was.
    pub fn set_current(&self, name: &str) -> Result<()> {
        let _lock = lock(&self.folder)?;
        if !self.refuse_others(name, "cannot use")? {
            return Err(Error::new(Code::NotFound, format!("there is no Docker context {name:?}")));
        }
        current_context::change(&self.folder, |current| (current != Some(name)).then(|| Some(name.to_owned())))
    }

    /// Goes back to Docker's default context, if one of ours is the current one.
    ///
    /// # Errors
    /// A `config.json` that cannot be read or written; it is then as it was.
    pub fn unset_current(&self) -> Result<()> {
        let _lock = lock(&self.folder)?;
        let ours = self.ours()?;
        current_context::change(&self.folder, |current| {
            current.is_some_and(|name| ours.iter().any(|own| own == name)).then_some(None)
        })
    }

    /// Whether there is a context of this name; an error when it is not ours.
    fn refuse_others(&self, name: &str, doing: &str) -> Result<bool> {
        let path = self.meta(name).join("meta.json");
        let Some(bytes) = read_if_there(&path)? else { return Ok(false) };
        let meta: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match &meta["Metadata"][MARK] {
            Value::String(store) if *store == self.store => Ok(true),
            Value::String(_) => Err(taken(name, doing, "it belongs to another store of machines")),
            _ => Err(taken(name, doing, "it was not made by `machine`")),
        }
    }

    fn meta(&self, name: &str) -> PathBuf {
        self.part("meta", name)
    }

    fn tls(&self, name: &str) -> PathBuf {
        self.part("tls", name)
    }

    fn part(&self, part: &str, name: &str) -> PathBuf {
        let id: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Path::new(&self.folder).join("contexts").join(part).join(id)
    }
}

fn taken(name: &str, doing: &str, why: &str) -> Error {
    Error::new(Code::AlreadyExists, format!("{doing} the Docker context {name:?}: {why}"))
        .hint(format!("look at it by `docker context inspect {name}`, and remove or keep it yourself"))
}

/// Docker's rule, `^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$`, and its reserved name (docker/cli, cli/context/store/store.go).
fn check_name(name: &str) -> Result<()> {
    let rest_is_plain = name.chars().skip(1).all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
    if name.len() >= 2 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && rest_is_plain && name != "default" {
        return Ok(());
    }
    Err(Error::new(Code::Usage, format!("{name:?} cannot be the name of a Docker context")))
}

fn meta_json(context: &EngineContext, store: &str) -> Value {
    json!({
        "Name": context.name,
        "Metadata": { "Description": context.description, MARK: store },
        "Endpoints": { "docker": { "Host": context.host, "SkipTLSVerify": false } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_has_this_form() {
        let context = EngineContext {
            name: "dev".into(),
            description: "machine dev".into(),
            host: "tcp://127.0.0.1:2376".into(),
            tls: None,
        };
        insta::assert_json_snapshot!(meta_json(&context, "store-1"), @r#"
        {
          "Endpoints": {
            "docker": {
              "Host": "tcp://127.0.0.1:2376",
              "SkipTLSVerify": false
            }
          },
          "Metadata": {
            "Description": "machine dev",
            "io.machine.store": "store-1"
          },
          "Name": "dev"
        }
        "#);
    }

    #[test]
    fn every_machine_name_gives_a_name_that_docker_takes() {
        for (machine, context) in
            [("dev", "dev"), ("default", "machine_default"), ("a", "machine_a"), ("a.b-c", "a.b-c")]
        {
            assert_eq!(context_name(machine), context);
            check_name(context).unwrap();
        }
        for bad in ["default", "a", "", "../x", "a b", "-ab", "a/b"] {
            assert_eq!(check_name(bad).unwrap_err().code(), Code::Usage, "{bad}");
        }
    }
}
