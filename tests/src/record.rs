//! Records written by hand, as an earlier version of the program left them.

use std::fs;

use serde_json::{Value, json};

use crate::Scene;

/// A machine that exists on disk alone.
pub struct Record(Value);

impl Record {
    /// A complete machine that is off, as version 0.1 wrote it.
    pub fn new(name: &str) -> Self {
        Self(json!({
            "schema": 1,
            "name": name,
            "driver": "qemu",
            "created": "2026-11-22T10:00:00Z",
            "spec": {
                "cpus": 2, "memory_mib": 2048, "disk_mib": 20480, "image": "machine@70351a2d1702", "ssh_user": "docker",
                "engine": {}, "options": { "accelerator": "auto" }
            },
            "phase": "ready",
            "certificate_ends": "2027-11-22T10:00:00Z",
            "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2pH3kH4dT1W9c8u0v3n6f5m8l7k9j0h1g2f3d4s5a6",
            "driver_state": {
                "token": "0b6f2a31-5c44-4a40-9c86-0f3f4a5d7e10",
                "image_digest": "70351a2d17026be3d9a9ac40eab20da802d9aa2e78a0fc56cc471e0f89fdfa65",
                "base_disk": "",
                "ports": { "ssh": 40022, "engine": 42376 }
            }
        }))
    }

    /// With another value of a field (`spec.cpus`).
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        let pointer = format!("/{}", field.replace('.', "/"));
        match self.0.pointer_mut(&pointer) {
            Some(place) => *place = value,
            None => self.0[field] = value,
        }
        self
    }

    /// Puts it into the scene's store, with disks that are empty files.
    pub fn put(&self, scene: &Scene) {
        self.put_as(scene, self.0["name"].as_str().unwrap());
    }

    /// Puts it into a folder of another name.
    pub fn put_as(&self, scene: &Scene, folder: &str) {
        let folder = scene.folder(folder);
        fs::create_dir_all(&folder).unwrap();
        let base = scene.path("base.qcow2");
        let mut record = self.0.clone();
        if let Some(place) = record.pointer_mut("/driver_state/base_disk") {
            *place = json!(base);
        }
        fs::write(folder.join("machine.json"), format!("{record:#}\n")).unwrap();
        for disk in [base, folder.join("os.qcow2"), folder.join("data.qcow2")] {
            fs::write(disk, "").unwrap();
        }
    }
}
