//! The settings of a spec that only this driver understands.

use machine_core::{Code, Error, MachineSpec, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::plan::AcceleratorChoice;

/// `options` of a [`MachineSpec`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QemuOptions {
    /// `auto` (or nothing), `kvm`, `hvf`, `whpx`, `tcg`.
    accelerator: Option<String>,
    /// More arguments for QEMU, as they are.
    pub(crate) arguments: Vec<String>,
    /// Whether its first start may go on from a warm state; yes when nothing is said.
    pub(crate) warm: Option<bool>,
    /// Whether the guest and its containers reach this computer; yes when nothing is said ([`host_access`]).
    host_access: Option<bool>,
}

/// Whether the guest of a machine with `spec`, and its containers, reach this computer.
pub fn host_access(spec: &MachineSpec) -> bool {
    spec.options.get("host_access") != Some(&Value::Bool(false))
}

impl QemuOptions {
    /// Reads them.
    ///
    /// # Errors
    /// [`Code::Usage`] for a setting that there is not, or a value of the wrong kind.
    pub(crate) fn of(spec: &MachineSpec) -> Result<Self> {
        Self::deserialize(Value::Object(spec.options.clone())).map_err(|error| {
            Error::new(Code::Usage, "a setting of the driver \"qemu\" is wrong")
                .because(error)
                .hint("it knows \"accelerator\" (auto, kvm, hvf, whpx, tcg), \"arguments\" (a list of texts), \"warm\" and \"host_access\" (true, false)")
        })
    }

    /// Which accelerator is wished for.
    ///
    /// # Errors
    /// [`Code::Usage`] for an unknown name.
    pub(crate) fn accelerator(&self) -> Result<AcceleratorChoice> {
        match self.accelerator.as_deref() {
            None | Some("auto") => Ok(AcceleratorChoice::Auto),
            Some(name) => name.parse().map(AcceleratorChoice::Only),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::facts::Accelerator;

    fn spec(options: &Value) -> MachineSpec {
        MachineSpec {
            cpus: 0,
            memory_mib: 0,
            disk_mib: 0,
            image: None,
            ssh_user: "docker".into(),
            tls_san: Vec::new(),
            publish: Default::default(),
            shares: Vec::new(),
            share_type: Default::default(),
            engine: machine_core::EngineSpec::default(),
            options: options.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn known_settings_are_read_and_others_are_refused() {
        let options = QemuOptions::of(&spec(&json!({"accelerator": "tcg", "arguments": ["-s"]}))).unwrap();
        assert_eq!(options.accelerator().unwrap(), AcceleratorChoice::Only(Accelerator::Tcg));
        assert_eq!(options.arguments, ["-s"]);
        assert_eq!(QemuOptions::of(&spec(&json!({}))).unwrap().accelerator().unwrap(), AcceleratorChoice::Auto);
        assert!(host_access(&spec(&json!({}))) && !host_access(&spec(&json!({"host_access": false}))));
        for wrong in [json!({"acelerator": "tcg"}), json!({"arguments": "-s"})] {
            assert_eq!(QemuOptions::of(&spec(&wrong)).unwrap_err().code(), Code::Usage);
        }
        let unknown = QemuOptions::of(&spec(&json!({"accelerator": "xen"}))).unwrap();
        assert_eq!(unknown.accelerator().unwrap_err().code(), Code::Usage);
    }
}
