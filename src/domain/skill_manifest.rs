//! `aerostack.json`: what a skill's publisher says of it. Members that are not known here are kept and not read.

use std::collections::BTreeMap;

use semver::Version;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::{
    domain::{
        injection::check_secret_name,
        server::{ServerSpec, http_url},
        skill::Skill,
        slug::Slug,
    },
    error::{Error, Result, err},
};

/// What a skill can be about.
pub const CATEGORIES: [&str; 9] =
    ["communication", "productivity", "data", "ai", "developer-tools", "analytics", "security", "storage", "other"];
/// Longest descriptions, characters.
const DESCRIPTION: usize = 1024;
/// Most tags, and the longest, characters.
const TAGS: usize = 20;
const TAG: usize = 40;
/// Most secrets that a worker can need.
const SECRETS: usize = 20;
/// Longest name of a tool, bytes.
const TOOL: usize = 64;

#[derive(Deserialize)]
struct Raw<'a> {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    version: String,
    description: String,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(borrow)]
    tool: RawTool<'a>,
    #[serde(default)]
    worker_url: Option<String>,
    #[serde(default)]
    secrets: Vec<String>,
}

#[derive(Deserialize)]
struct RawTool<'a> {
    name: String,
    description: String,
    #[serde(borrow)]
    input_schema: &'a RawValue,
}

/// A manifest that was found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The skill's name.
    pub name: Slug,
    /// Its version.
    pub version: Version,
    /// One of [`CATEGORIES`].
    pub category: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What it says of itself and its tool.
    description: String,
    tool: (String, String, String),
    worker: Option<Url>,
    secrets: Vec<String>,
    /// The text it was read from.
    pub text: String,
}

/// What publishing says otherwise than the manifest does.
#[derive(Debug, Clone, Default)]
pub struct Instead<'a> {
    /// Another name.
    pub name: Option<&'a str>,
    /// Another worker.
    pub worker_url: Option<&'a str>,
}

fn wrong(member: &str, what: impl std::fmt::Display) -> Error {
    err::validation(format!("aerostack.json: {member} {what}"))
}

impl Manifest {
    /// Reads and checks a manifest (JSON).
    pub fn read(text: &str, instead: &Instead<'_>) -> Result<Self> {
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text)
            .map_err(|_not_an_object| err::validation("aerostack.json is not a JSON object"))?;
        for (member, value) in [("name", instead.name), ("worker_url", instead.worker_url)] {
            let raw = value.map(serde_json::value::to_raw_value).transpose();
            let raw = raw.map_err(|cause| Error::internal("writing a manifest", cause))?;
            members.extend(raw.map(|raw| (member.to_owned(), raw)));
        }
        let text = serde_json::to_string(&members).map_err(|cause| Error::internal("writing a manifest", cause))?;
        let raw: Raw<'_> = serde_json::from_str(&text).map_err(|cause| shape(&cause.to_string()))?;
        if raw.kind != "skill" {
            return Err(wrong("type", "must be \"skill\""));
        }
        let manifest = Manifest {
            name: Slug::parse(&raw.name)?,
            version: Version::parse(&raw.version)
                .map_err(|_cause| wrong("version", "must be a semantic version, for example 1.0.0"))?,
            category: category(raw.category)?,
            tags: tags(raw.tags)?,
            description: description("description", raw.description)?,
            tool: tool(&raw.tool)?,
            worker: raw.worker_url.as_deref().map(worker).transpose()?,
            secrets: secrets(raw.secrets)?,
            text: String::new(),
        };
        if manifest.worker.is_none() && !manifest.secrets.is_empty() {
            return Err(wrong("secrets", "are for a worker, and there is no worker_url"));
        }
        Ok(Manifest { text, ..manifest })
    }

    /// What an installation of this version runs.
    pub fn skill(self, namespace: &str, document: String) -> Skill {
        let (tool, tool_description, input_schema) = self.tool;
        Skill {
            namespace: namespace.to_owned(),
            name: self.name.to_string(),
            version: self.version.to_string(),
            description: self.description,
            tool,
            tool_description,
            input_schema,
            worker: self.worker,
            secrets: self.secrets,
            document,
        }
    }

    /// What it does.
    pub fn description(&self) -> &str {
        &self.description
    }
}

/// Serde's message, without values and places.
fn shape(message: &str) -> Error {
    let named = message.split('`').nth(1).unwrap_or_default();
    if message.starts_with("missing field") {
        return wrong(named, "is missing").with_hint("aerostack skill init writes an example");
    }
    let expected = message.rsplit_once(", expected ").map_or("something else", |(_, what)| what);
    let expected = expected.split(" at line").next().unwrap_or_default();
    err::validation(format!("aerostack.json: a member has the wrong type; expected {expected}"))
}

fn description(member: &str, text: String) -> Result<String> {
    let long = text.chars().count() > DESCRIPTION;
    if text.trim().is_empty() || long || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(wrong(member, format_args!("must have 1 to {DESCRIPTION} visible characters")));
    }
    Ok(text)
}

fn category(given: Option<String>) -> Result<String> {
    let category = given.unwrap_or_else(|| "other".into());
    match CATEGORIES.contains(&category.as_str()) {
        true => Ok(category),
        false => Err(wrong("category", format_args!("must be one of {}", CATEGORIES.join(", ")))),
    }
}

fn tags(tags: Vec<String>) -> Result<Vec<String>> {
    let fine = |tag: &String| {
        !tag.trim().is_empty()
            && tag.chars().count() <= TAG
            && !tag.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    match tags.len() <= TAGS && tags.iter().all(fine) {
        true => Ok(tags),
        false => Err(wrong("tags", format_args!("must be at most {TAGS} words of at most {TAG} characters"))),
    }
}

fn tool(raw: &RawTool<'_>) -> Result<(String, String, String)> {
    let first = raw.name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = raw.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !first || !rest || raw.name.len() > TOOL {
        return Err(wrong("tool.name", "must be snake_case: a letter, then letters, digits and _"));
    }
    #[derive(Deserialize)]
    struct Root {
        #[serde(rename = "type")]
        kind: String,
    }
    let schema = raw.input_schema.get();
    if !serde_json::from_str::<Root>(schema).is_ok_and(|root| root.kind == "object") {
        return Err(wrong("tool.input_schema", "must be a JSON Schema with \"type\": \"object\""));
    }
    let said = description("tool.description", raw.description.clone())?;
    Ok((raw.name.clone(), said, schema.to_owned()))
}

/// A worker gets secrets and arguments: they do not cross a network in clear.
fn worker(text: &str) -> Result<Url> {
    let url = http_url(text).map_err(|cause| wrong("worker_url", format_args!("is not a URL: {cause}")))?;
    let spec = ServerSpec::for_url(text)?;
    let local = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match spec.url().filter(|url| url.scheme() == "https" || local) {
        Some(url) => Ok(url.clone()),
        None => Err(wrong("worker_url", "must begin with https://")),
    }
}

fn secrets(names: Vec<String>) -> Result<Vec<String>> {
    if names.len() > SECRETS {
        return Err(wrong("secrets", format_args!("has more than {SECRETS} names")));
    }
    names.iter().try_for_each(|name| check_secret_name(name))?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn example() -> Value {
        json!({ "name": "deploy-skill", "type": "skill", "version": "1.0.0", "description": "Deploys.",
            "category": "developer-tools", "tags": ["deploy"], "unknown": [1],
            "tool": { "name": "plan_deploy", "description": "Plans.", "input_schema": { "type": "object" } } })
    }

    fn read(value: &Value) -> Result<Manifest> {
        Manifest::read(&value.to_string(), &Instead::default())
    }

    #[test]
    fn a_manifest_becomes_a_skill() {
        let manifest = read(&example()).unwrap();
        assert_eq!((&*manifest.name, manifest.version.to_string().as_str()), ("deploy-skill", "1.0.0"));
        assert!(manifest.text.contains("\"unknown\":[1]"));
        let skill = manifest.skill("acme", "# Deploy".into());
        assert_eq!((skill.reference().as_str(), skill.tool.as_str()), ("@acme/deploy-skill", "plan_deploy"));
        assert_eq!(skill.input_schema, r#"{"type":"object"}"#);
    }

    #[test]
    fn what_publishing_says_counts_instead() {
        let instead = Instead { name: Some("other-skill"), worker_url: Some("https://worker.example/run") };
        let manifest = Manifest::read(&example().to_string(), &instead).unwrap();
        assert_eq!(&*manifest.name, "other-skill");
        assert!(manifest.text.contains("\"name\":\"other-skill\""), "{}", manifest.text);
        let skill = manifest.skill("acme", "x".into());
        assert_eq!(skill.worker.unwrap().as_str(), "https://worker.example/run");
    }

    #[test]
    fn every_wrong_member_is_named() {
        for (member, value) in [
            ("name", json!("Deploy Skill")),
            ("type", json!("mcp")),
            ("version", json!("1.0")),
            ("version", json!("latest")),
            ("description", json!(" ")),
            ("category", json!("magic")),
            ("tags", json!(["two words"])),
            ("tool", json!({ "name": "Plan", "description": "x", "input_schema": { "type": "object" } })),
            ("tool", json!({ "name": "plan", "description": "x", "input_schema": { "type": "string" } })),
            ("tool", json!({ "name": "plan", "description": "x", "input_schema": true })),
            ("tool", json!({ "name": "plan", "description": "", "input_schema": { "type": "object" } })),
            ("worker_url", json!("http://worker.example/run")),
            ("worker_url", json!("ftp://worker.example/run")),
            ("worker_url", json!("https://u:p@worker.example/")),
            ("secrets", json!(["API_KEY"])),
            ("tags", json!("deploy")),
        ] {
            let mut manifest = example();
            manifest[member] = value.clone();
            let error = read(&manifest).expect_err(&format!("{member} {value}"));
            assert!(!error.message().is_empty(), "{member}");
        }
        let mut without = example();
        without.as_object_mut().unwrap().remove("tool");
        assert_eq!(read(&without).unwrap_err().message(), "aerostack.json: tool is missing");
        assert!(Manifest::read("[]", &Instead::default()).is_err());
        assert!(Manifest::read("{", &Instead::default()).is_err());
    }

    #[test]
    fn a_worker_on_this_machine_needs_no_tls() {
        let mut manifest = example();
        for url in ["http://127.0.0.1:9/run", "http://localhost:9/run", "https://worker.example/run"] {
            manifest["worker_url"] = json!(url);
            manifest["secrets"] = json!(["API_KEY"]);
            assert!(read(&manifest).is_ok(), "{url}");
        }
    }
}
