//! What the servers of a workspace can do, together: the union of their capabilities, and what each of them wants models
//! to know. A server that has not yet said what it can do may be able to do anything: it is never the reason for a
//! refusal.

use serde_json::{Map, Value, json};

use crate::{actors::catalog::Installed, upstream::Connected};

/// The extension whose tasks are not those of 2025-11-25.
const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// See the module.
#[derive(Debug, Default)]
pub struct Abilities {
    modern: Value,
    legacy: Value,
    unknown: bool,
    /// (slug, instructions) of each server that has some.
    instructions: Vec<(Box<str>, Box<str>)>,
}

impl Abilities {
    /// The union over the enabled servers.
    pub fn of(installed: &[Installed]) -> Self {
        let mut abilities = Abilities::default();
        let (mut modern, mut legacy) = (Map::new(), Map::new());
        for one in installed.iter().filter(|one| one.enabled) {
            let Some(offer) = &one.offer else {
                abilities.unknown = true;
                continue;
            };
            add(&mut modern, &offer.about, true);
            add(&mut legacy, &offer.about, false);
            let text = offer.about.instructions.as_deref().map(str::trim).filter(|text| !text.is_empty());
            abilities.instructions.extend(text.map(|text| ((&*one.def.slug).into(), text.into())));
        }
        for all in [&mut modern, &mut legacy] {
            // Workspaces gain servers while clients are connected, so the lists may always change.
            all.insert("tools".into(), json!({ "listChanged": true }));
            let unknown = if abilities.unknown { ["prompts", "resources"].as_slice() } else { &[] };
            for name in unknown {
                all.entry(*name).or_insert_with(|| json!({}));
            }
            for name in ["prompts", "resources"] {
                if let Some(Value::Object(list)) = all.get_mut(name) {
                    list.insert("listChanged".into(), true.into());
                }
            }
        }
        (abilities.modern, abilities.legacy) = (modern.into(), legacy.into());
        abilities
    }

    /// As `capabilities` of a server, for clients of 2026-07-28 or of older revisions.
    pub fn capabilities(&self, modern: bool) -> &Value {
        if modern { &self.modern } else { &self.legacy }
    }

    /// Whether a server declares `capability` (`resources/subscribe`: the inner one), or may.
    pub fn may(&self, modern: bool, capability: &str) -> bool {
        self.unknown || declares(self.capabilities(modern), capability)
    }

    /// What each server wants models to know, with its slug.
    pub fn instructions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.instructions.iter().map(|(slug, text)| (&**slug, &**text))
    }
}

fn declares(capabilities: &Value, capability: &str) -> bool {
    let found = capability.split('/').try_fold(capabilities, |value, step| value.get(step));
    !matches!(found, None | Some(Value::Null | Value::Bool(false)))
}

/// Adds what a server declares, as far as a client of that era can use it.
fn add(all: &mut Map<String, Value>, about: &Connected, modern_client: bool) {
    let Value::Object(declared) = &about.capabilities else { return };
    let same_era = about.wire.is_modern() == modern_client;
    for (name, value) in declared.iter().filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false))) {
        match name.as_str() {
            // Tasks are another thing in each era; one cannot stand for the other.
            "tasks" if modern_client || !same_era => {}
            // A server cannot tell whose tasks it lists; everybody's are nobody's business.
            "tasks" => {
                let mut tasks = value.clone();
                if let Value::Object(tasks) = &mut tasks {
                    tasks.remove("list");
                }
                unite(all, name, &tasks);
            }
            "extensions" if !same_era => {
                let mut extensions = value.clone();
                if let Value::Object(extensions) = &mut extensions {
                    extensions.remove(TASKS_EXTENSION);
                }
                unite(all, name, &extensions);
            }
            _ => unite(all, name, value),
        }
    }
}

/// Adds a value to a map; objects are united member by member, of other values the first stays, `true` wins.
fn unite(all: &mut Map<String, Value>, name: &str, value: &Value) {
    match (all.get_mut(name), value) {
        (None, value) => drop(all.insert(name.to_owned(), value.clone())),
        (Some(Value::Object(present)), Value::Object(more)) => {
            more.iter().for_each(|(name, value)| unite(present, name, value));
        }
        (Some(present @ Value::Bool(false)), Value::Bool(true)) => *present = Value::Bool(true),
        (Some(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_unite_member_by_member() {
        let mut all = Map::new();
        for (name, value) in [
            ("resources", json!({ "listChanged": false })),
            ("resources", json!({ "subscribe": true, "listChanged": true })),
            ("extensions", json!({ "a": { "x": 1 } })),
            ("extensions", json!({ "a": { "x": 2, "y": 3 }, "b": {} })),
        ] {
            unite(&mut all, name, &value);
        }
        assert_eq!(
            Value::Object(all),
            json!({ "resources": { "subscribe": true, "listChanged": true },
                "extensions": { "a": { "x": 1, "y": 3 }, "b": {} } })
        );
    }
}
