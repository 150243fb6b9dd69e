//! Our settings among those of others in `daemon.json`.

use machine_core::{Error, Result};
use serde_json::{Map, Value};

/// Reads a JSON object; an absent or empty file is an empty one.
pub(crate) fn object(text: Option<&str>, path: &str) -> Result<Map<String, Value>> {
    let text = text.unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(|error| {
        Error::other(format!("{path} of the host is not a JSON object"))
            .because(error)
            .hint("the engine itself does not start with it: mend it there (`machine ssh`), or move it away")
    })
}

/// `present` without what we wrote `before` and no longer want, with what we want now; and what of the result is ours.
/// Settings of others stay; lists and objects are shared entry by entry.
pub(crate) fn merged(
    present: &Map<String, Value>,
    before: &Map<String, Value>,
    wanted: &Map<String, Value>,
) -> (Map<String, Value>, Map<String, Value>) {
    let mut result = present.clone();
    take_away(&mut result, before, wanted);
    let mut ours = Map::new();
    add(&mut result, before, wanted, &mut ours);
    (result, ours)
}

fn take_away(from: &mut Map<String, Value>, before: &Map<String, Value>, wanted: &Map<String, Value>) {
    for (key, value) in before {
        let empty = match (from.get_mut(key), value, wanted.get(key)) {
            (Some(Value::Array(list)), Value::Array(ours), wanted) => {
                let wanted = wanted.and_then(Value::as_array);
                list.retain(|entry| !ours.contains(entry) || wanted.is_some_and(|wanted| wanted.contains(entry)));
                list.is_empty()
            }
            (Some(Value::Object(map)), Value::Object(ours), wanted) => {
                take_away(map, ours, wanted.and_then(Value::as_object).unwrap_or(&Map::new()));
                map.is_empty()
            }
            // Somebody has changed it since: theirs.
            (present, ours, wanted) => wanted.is_none() && present.is_some_and(|present| present == ours),
        };
        if empty {
            from.remove(key);
        }
    }
}

/// Adds `wanted`, and to `ours` what of it was not there or was ours `before`.
fn add(
    to: &mut Map<String, Value>,
    before: &Map<String, Value>,
    wanted: &Map<String, Value>,
    ours: &mut Map<String, Value>,
) {
    for (key, value) in wanted {
        let before = before.get(key);
        match (to.get_mut(key), value) {
            (Some(Value::Array(list)), Value::Array(entries)) => {
                let mut own = Vec::new();
                for entry in entries {
                    let was_ours = before.and_then(Value::as_array).is_some_and(|before| before.contains(entry));
                    if !list.contains(entry) {
                        list.push(entry.clone());
                        own.push(entry.clone());
                    } else if was_ours {
                        own.push(entry.clone());
                    }
                }
                if !own.is_empty() {
                    ours.insert(key.clone(), own.into());
                }
            }
            (Some(Value::Object(map)), Value::Object(entries)) => {
                let mut own = Map::new();
                add(map, before.and_then(Value::as_object).unwrap_or(&Map::new()), entries, &mut own);
                if !own.is_empty() {
                    ours.insert(key.clone(), own.into());
                }
            }
            (Some(present), value) if present == value => {
                if before == Some(value) {
                    ours.insert(key.clone(), value.clone());
                }
            }
            _ => {
                to.insert(key.clone(), value.clone());
                ours.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_others_set_stays_and_what_we_no_longer_want_goes() {
        let theirs = map(&json!({"debug": true, "insecure-registries": ["theirs"], "log-opts": {"tag": "x"}}));
        let first = map(&json!({"insecure-registries": ["a"], "mtu": 1400, "log-opts": {"max-size": "1m"}}));
        let (once, ours) = merged(&theirs, &Map::new(), &first);
        assert_eq!(
            Value::Object(once.clone()),
            json!({"debug": true, "insecure-registries": ["theirs", "a"], "mtu": 1400, "log-opts": {"tag": "x", "max-size": "1m"}})
        );
        let second = map(&json!({"insecure-registries": ["b"]}));
        let (twice, ours) = merged(&once, &ours, &second);
        assert_eq!(
            Value::Object(twice.clone()),
            json!({"debug": true, "insecure-registries": ["theirs", "b"], "log-opts": {"tag": "x"}})
        );
        assert_eq!(merged(&twice, &ours, &Map::new()), (theirs, Map::new()));
    }

    #[test]
    fn what_others_had_before_us_is_not_taken_away_with_ours() {
        let theirs = map(&json!({"insecure-registries": ["both", "theirs"], "mtu": 1400}));
        let wanted = map(&json!({"insecure-registries": ["ours", "both"], "mtu": 1400}));
        let (once, ours) = merged(&theirs, &Map::new(), &wanted);
        assert_eq!(
            Value::Object(once.clone()),
            json!({"insecure-registries": ["both", "theirs", "ours"], "mtu": 1400})
        );
        assert_eq!(merged(&once, &ours, &Map::new()).0, theirs);
    }

    #[test]
    fn a_value_that_somebody_changed_after_us_is_theirs_until_we_want_another() {
        let ours = map(&json!({"mtu": 1400}));
        let theirs = map(&json!({"mtu": 1300}));
        assert_eq!(merged(&theirs, &ours, &Map::new()).0, theirs);
        assert_eq!(merged(&theirs, &ours, &ours).0, ours);
    }

    #[test]
    fn what_is_no_object_is_refused_and_nothing_is_an_empty_one() {
        assert!(object(Some("[1]"), "/x").is_err() && object(Some("{"), "/x").is_err());
        assert!(object(None, "/x").unwrap().is_empty() && object(Some(" \n"), "/x").unwrap().is_empty());
    }

    fn small() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..4).prop_map(Value::from),
            proptest::collection::btree_set(0..4, 0..3).prop_map(|set| json!(set)),
            proptest::collection::btree_map("[a-c]", 0..3, 0..3).prop_map(|map| json!(map)),
        ];
        proptest::collection::btree_map("[k-n]", leaf, 0..4).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn merging_what_is_merged_changes_nothing(present in small(), before in small(), wanted in small()) {
            let (once, ours) = merged(&present, &before, &wanted);
            prop_assert_eq!(merged(&once, &ours, &wanted), (once, ours));
        }
    }
}
