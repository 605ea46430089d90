//! A client's configuration file with our entry in it. The file belongs to its owner: nothing but the entry changes,
//! and an edit that would change more is refused.

use serde_json::Value;

use super::{Snippet, jsonc};
use crate::{
    domain::mcp_json,
    error::{Error, Result, err},
};

/// `before` with the entry of `snippet` in it. An empty text is a file that is not there yet.
pub fn merge(before: &str, snippet: &Snippet) -> Result<String> {
    match snippet.language {
        "json" => json(before, &snippet.text),
        "toml" => toml_table(before, &snippet.text),
        other => {
            Err(err::validation(format!("{} keeps its settings as {other}, which is not edited here", snippet.title))
                .with_hint(format!("aerostack connect --print {}", snippet.client)))
        }
    }
}

fn not_readable(why: impl std::fmt::Display) -> Error {
    err::validation(format!("The file {why}")).with_hint("repair it, or paste the entry: aerostack connect --print")
}

fn json(before: &str, entry: &str) -> Result<String> {
    let mut after = before.to_owned();
    for (section, name, value) in jsonc::parts(entry).map_err(not_readable)? {
        let edited = match name {
            Some(name) => jsonc::set(&after, &section, &name, &value),
            None => jsonc::add(&after, &section, &id_of(&value), &value),
        };
        after = edited.map_err(not_readable)?;
    }
    let read = |text: &str| match text.trim() {
        "" => Ok(Value::Object(serde_json::Map::new())),
        _ => serde_json::from_str::<Value>(&mcp_json::strict(text)).map_err(|_cause| not_readable("is not JSON")),
    };
    let (old, new, entry) = (read(before)?, read(&after)?, read(entry)?);
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let holds = members(&entry).iter().all(|(section, value)| {
        members(value).iter().all(|(name, value)| new.get(section).and_then(|all| all.get(name)) == Some(value))
    });
    if holds && without(old, &entry) == without(new, &entry) {
        Ok(after)
    } else {
        Err(not_readable("cannot be edited without changing more than our entry"))
    }
}

fn id_of(element: &str) -> String {
    let element: Value = serde_json::from_str(element).unwrap_or_default();
    element.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `whole` without what `entry` has, and without sections that are empty then.
fn without(mut whole: Value, entry: &Value) -> Value {
    for (section, value) in entry.as_object().into_iter().flatten() {
        match (whole.get_mut(section), value) {
            (Some(Value::Object(found)), Value::Object(members)) => {
                found.retain(|name, _| !members.contains_key(name));
            }
            (Some(Value::Array(found)), Value::Array(elements)) => {
                let same = |one: &Value, other: &Value| one.get("id") == other.get("id");
                found.retain(|element| !elements.iter().any(|other| same(element, other)));
            }
            _ => {}
        }
        if whole.get(section).is_some_and(is_empty)
            && let Some(members) = whole.as_object_mut()
        {
            members.remove(section);
        }
    }
    whole
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// The header of a table, without brackets and the quotes that its names may have.
fn header(line: &str) -> Option<String> {
    let inner = line.trim().strip_prefix('[')?.split(']').next()?;
    Some(inner.chars().filter(|c| !matches!(c, '"' | '\'' | ' ' | '\t')).collect())
}

fn toml_table(before: &str, entry: &str) -> Result<String> {
    let ours = entry.lines().find_map(header).unwrap_or_default();
    let is_ours =
        |line: &str| header(line).is_some_and(|found| found == ours || found.starts_with(&format!("{ours}.")));
    let mut after = String::new();
    let (mut inside, mut written) = (false, false);
    // Comments and empty lines above a header belong to what follows.
    let mut held = String::new();
    for line in before.split_inclusive('\n') {
        if header(line).is_some() {
            let was_inside = std::mem::replace(&mut inside, is_ours(line));
            if inside && !written {
                after.push_str(&held);
                after.push_str(entry);
                written = true;
            } else if !inside || !was_inside {
                after.push_str(&held);
            }
            held.clear();
            if !inside {
                after.push_str(line);
            }
        } else if line.trim().is_empty() || line.trim_start().starts_with('#') {
            held.push_str(line);
        } else {
            if !inside {
                after.push_str(&held);
                after.push_str(line);
            }
            held.clear();
        }
    }
    after.push_str(&held);
    if !written {
        if !after.is_empty() {
            let gap = if after.ends_with('\n') { "\n" } else { "\n\n" };
            after.push_str(gap);
        }
        after.push_str(entry);
    }
    let read = |text: &str| text.parse::<toml::Table>().map_err(|_cause| not_readable("is not TOML"));
    let (old, new, wanted) = (read(before)?, read(&after)?, read(entry)?);
    let path: Vec<&str> = ours.splitn(2, '.').collect();
    let [section, name] = path.as_slice() else { return Err(not_readable("cannot be edited")) };
    let at = |table: &toml::Table| table.get(*section).and_then(|all| all.get(*name)).cloned();
    let without = |mut table: toml::Table| {
        if let Some(all) = table.get_mut(*section).and_then(toml::Value::as_table_mut) {
            all.remove(*name);
            if all.is_empty() {
                table.remove(*section);
            }
        }
        table
    };
    if at(&new) == at(&wanted) && without(old) == without(new) {
        Ok(after)
    } else {
        Err(not_readable("cannot be edited without changing more than our entry"))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, merge};

    fn connection(token: Option<&'static str>) -> Connection<'static> {
        Connection { slug: "eng-full", url: "https://gw.example.com/ws/eng-full", token }
    }

    #[test]
    fn every_json_and_toml_client_can_be_merged_twice() {
        for snippet in snippets(&connection(None)) {
            if snippet.file.is_none() || !matches!(snippet.language, "json" | "toml") {
                continue;
            }
            let once = merge("", &snippet).unwrap();
            assert_eq!(merge(&once, &snippet).unwrap(), once, "{}", snippet.client);
        }
    }

    #[test]
    fn toml_keeps_comments_and_other_tables() {
        let codex = snippet("codex", &connection(None)).unwrap();
        let before = "# mine\nmodel = \"x\"\n\n[mcp_servers.other]\nurl = \"o\" # other\n\n[mcp_servers.eng-full]\nurl = \"old\"\n\n[mcp_servers.eng-full.http_headers]\nA = \"b\"\n\n# about profiles\n[profiles.a]\nx = 1\n";
        let after = merge(before, &codex).unwrap();
        assert_eq!(
            after,
            "# mine\nmodel = \"x\"\n\n[mcp_servers.other]\nurl = \"o\" # other\n\n[mcp_servers.eng-full]\nurl = \"https://gw.example.com/ws/eng-full\"\nbearer_token_env_var = \"AEROSTACK_TOKEN\"\n\n# about profiles\n[profiles.a]\nx = 1\n"
        );
    }

    #[test]
    fn tables_written_in_another_way_are_refused_not_broken() {
        let codex = snippet("codex", &connection(None)).unwrap();
        assert!(merge("mcp_servers = { eng-full = { url = \"x\" } }\n", &codex).is_err());
        assert!(merge("not = toml = at all", &codex).is_err());
    }

    #[test]
    fn a_prompt_for_the_token_is_added_once() {
        let code = snippet("vscode", &connection(None)).unwrap();
        let before = "{\n  // servers of mine\n  \"servers\": {\n    \"a\": {\"url\": \"x\"}\n  }\n}\n";
        let after = merge(before, &code).unwrap();
        assert!(after.contains("// servers of mine") && after.contains("\"aerostack_token\""), "{after}");
        assert_eq!(merge(&after, &code).unwrap(), after);
    }

    #[test]
    fn yaml_is_not_edited() {
        let goose = snippet("goose", &connection(None)).unwrap();
        assert!(merge("", &goose).unwrap_err().hint().unwrap().contains("--print goose"));
    }
}
