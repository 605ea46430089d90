//! Skills: packages with exactly one tool and a document (`SKILL.md`) that says how to use it. How they are named, who
//! sees them, which version is meant, and what an installed version does when it is called.

use std::{fmt, str::FromStr};

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    domain::{near, slug},
    error::{Error, Result, err},
};

/// Media type of a skill's document.
const MARKDOWN: &str = "text/markdown";

/// Who may see and install a skill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Everybody with an account here.
    #[default]
    Public,
    /// Members of its namespace.
    Team,
    /// Whoever published it.
    Private,
}

impl Visibility {
    /// The stored and shown name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Visibility::Public => "public",
            Visibility::Team => "team",
            Visibility::Private => "private",
        }
    }
}

impl FromStr for Visibility {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Visibility::Public, Visibility::Team, Visibility::Private]
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or(())
    }
}

/// What somebody typed to name a skill or server: `slug`, `ns/name`, `@ns/name`, with `@1.2` for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The namespace; none: one's own.
    pub namespace: Option<String>,
    /// The name in it.
    pub name: String,
    /// The version; none: the newest.
    pub version: Option<Wanted>,
}

impl FromStr for Reference {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bare = text.strip_prefix('@').unwrap_or(text);
        let (namespace, rest) = match bare.split_once('/') {
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, bare),
        };
        let (name, version) = match rest.split_once('@') {
            Some((name, version)) => (name, Some(version.parse()?)),
            None => (rest, None),
        };
        let odd = namespace.is_some_and(|namespace| !slug::has_shape(namespace)) || name.is_empty();
        if odd || name.contains('/') || namespace.is_none() && text.starts_with('@') {
            return Err(err::validation(format!("\"{}\" does not name a skill or server", near::shown(text)))
                .with_hint("write NAME, @NAMESPACE/NAME or @NAMESPACE/NAME@1.2"));
        }
        Ok(Reference { namespace: namespace.map(str::to_owned), name: name.to_owned(), version })
    }
}

/// Which version is wanted: exactly this one, or the newest of `1` or `1.2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    text: String,
    exact: Option<Version>,
    range: VersionReq,
}

impl FromStr for Wanted {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let exact = Version::parse(text).ok();
        let range = VersionReq::parse(&format!("~{text}")).ok().filter(|_| numbers || exact.is_some());
        let range = range.ok_or_else(|| {
            err::validation(format!("\"{}\" is not a version", near::shown(text)))
                .with_hint("for example 1, 1.2 or 1.2.3")
        })?;
        Ok(Wanted { text: text.to_owned(), exact, range })
    }
}

impl Wanted {
    /// Whether a version is one of those that are meant.
    pub fn matches(&self, version: &Version) -> bool {
        match &self.exact {
            Some(exact) => exact == version,
            None => self.range.matches(version),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The newest of `versions` that is wanted. A pre-release only if it was named, or if there is nothing else.
pub fn newest<'a>(versions: impl Iterator<Item = &'a Version> + Clone, wanted: Option<&Wanted>) -> Option<&'a Version> {
    let meant = versions.filter(|version| wanted.is_none_or(|wanted| wanted.matches(version)));
    meant.clone().filter(|version| version.pre.is_empty()).max().or_else(|| meant.max())
}

/// `@acme/deploy-skill`.
pub fn reference(namespace: &str, name: &str) -> String {
    format!("@{namespace}/{name}")
}

/// One version of a skill: what an installation runs. Never changes once it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    /// Whose it was when it was published.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// This version.
    pub version: String,
    /// What it does, for models.
    pub description: String,
    /// Its tool's own name.
    pub tool: String,
    /// The tool's description.
    pub tool_description: String,
    /// JSON Schema of the tool's arguments, as it was written.
    pub input_schema: String,
    /// Answers calls; none: the document does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Url>,
    /// Names of the secrets that the worker does not work without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// `SKILL.md`.
    pub document: String,
}

/// The answer would be longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl Skill {
    /// `@acme/deploy-skill`.
    pub fn reference(&self) -> String {
        reference(&self.namespace, &self.name)
    }

    /// The URI of its document as an MCP resource.
    pub fn uri(&self) -> String {
        format!("skill://{}/{}/SKILL.md", self.namespace, self.name)
    }

    /// The tool as `tools/list` has it, raw JSON.
    pub fn tool_json(&self) -> String {
        let (name, description) = (json!(self.tool), json!(self.tool_description));
        format!(r#"{{"name":{name},"description":{description},"inputSchema":{}}}"#, self.input_schema)
    }

    /// The document as `resources/list` has it, raw JSON.
    pub fn resource_json(&self) -> String {
        json!({ "uri": self.uri(), "name": self.name, "description": self.description, "mimeType": MARKDOWN })
            .to_string()
    }

    /// The document as `resources/read` has it.
    pub fn contents(&self) -> Value {
        json!({ "uri": self.uri(), "mimeType": MARKDOWN, "text": self.document })
    }

    /// What a skill without a worker answers: its document without the front matter, each `{{name}}` of an argument that
    /// its schema knows replaced by the argument. `arguments` is a JSON object; what is missing is replaced by nothing.
    pub fn filled_in(&self, arguments: &[u8], longest: usize) -> Result<String, TooLong> {
        let given: Map<String, Value> = serde_json::from_slice(arguments).unwrap_or_default();
        let schema: Value = serde_json::from_str(&self.input_schema).unwrap_or_default();
        let known = schema.get("properties").and_then(Value::as_object);
        let mut rest = body(&self.document);
        let mut text = String::with_capacity(rest.len());
        while let Some((before, after)) = rest.split_once("{{") {
            let name = after.split_once("}}").map(|(name, tail)| (name.trim(), tail));
            text.push_str(before);
            match name.filter(|(name, _)| known.is_some_and(|known| known.contains_key(*name))) {
                Some((name, tail)) => {
                    match given.get(name) {
                        None | Some(Value::Null) => {}
                        Some(Value::String(value)) => text.push_str(value),
                        Some(other) => text.push_str(&other.to_string()),
                    }
                    rest = tail;
                }
                None => {
                    text.push_str("{{");
                    rest = after;
                }
            }
            if text.len() > longest {
                return Err(TooLong);
            }
        }
        text.push_str(rest);
        if text.len() > longest { Err(TooLong) } else { Ok(text) }
    }
}

/// A document without its front matter (`---` … `---` at its beginning).
fn body(document: &str) -> &str {
    let Some(rest) = document.strip_prefix("---\n").or_else(|| document.strip_prefix("---\r\n")) else {
        return document;
    };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        at += line.len();
        if line.trim_end() == "---" {
            return rest.get(at..).unwrap_or_default().trim_start_matches(['\r', '\n']);
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(document: &str) -> Skill {
        Skill {
            namespace: "acme".into(),
            name: "deploy-skill".into(),
            version: "1.0.0".into(),
            description: "Deploys.".into(),
            tool: "plan".into(),
            tool_description: "Plans a \"deploy\".".into(),
            input_schema: r#"{"type":"object","properties":{"env":{"type":"string"},"n":{}}}"#.into(),
            worker: None,
            secrets: Vec::new(),
            document: document.into(),
        }
    }

    #[test]
    fn references_of_every_form_are_read() {
        let read = |text: &str| text.parse::<Reference>().unwrap();
        let plain = read("crm-skill");
        assert_eq!((plain.namespace, plain.name.as_str(), plain.version), (None, "crm-skill", None));
        for text in ["@acme/crm-skill", "acme/crm-skill"] {
            assert_eq!((read(text).namespace.as_deref(), read(text).name.as_str()), (Some("acme"), "crm-skill"));
        }
        let exact = read("@acme/crm-skill@1.2");
        assert_eq!((exact.name.as_str(), exact.version.unwrap().to_string().as_str()), ("crm-skill", "1.2"));
        for bad in ["@acme", "", "@/x", "@acme/", "a/b/c", "@A B/x", "x@", "x@one", "@acme/x@>1", "../x"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_version_in_part_means_the_newest_of_them() {
        let all: Vec<Version> =
            ["1.0.0", "1.2.0", "1.2.9", "1.10.0", "2.0.0", "3.0.0-beta.1"].map(|v| v.parse().unwrap()).to_vec();
        let pick = |wanted: &str| {
            let wanted = (!wanted.is_empty()).then(|| wanted.parse::<Wanted>().unwrap());
            newest(all.iter(), wanted.as_ref()).map(ToString::to_string)
        };
        assert_eq!(pick("").as_deref(), Some("2.0.0"));
        assert_eq!(pick("1").as_deref(), Some("1.10.0"));
        assert_eq!(pick("1.2").as_deref(), Some("1.2.9"));
        assert_eq!(pick("1.2.0").as_deref(), Some("1.2.0"));
        assert_eq!(pick("3.0.0-beta.1").as_deref(), Some("3.0.0-beta.1"));
        assert_eq!(pick("4"), None);
    }

    #[test]
    fn a_document_answers_with_the_arguments_filled_in() {
        let text = "---\nname: deploy-skill\n---\n\nTo {{env}}, {{ n }} times. {{other}} {{env";
        let filled = skill(text).filled_in(br#"{"env":"prod {{n}}","n":2}"#, 1000).unwrap();
        assert_eq!(filled, "To prod {{n}}, 2 times. {{other}} {{env");
        assert_eq!(skill("a {{env}} b").filled_in(b"null", 1000).unwrap(), "a  b");
        assert_eq!(skill("---\nno end {{env}}").filled_in(b"{}", 1000).unwrap(), "---\nno end ");
        assert_eq!(skill("{{env}}").filled_in(br#"{"env":"12345"}"#, 4), Err(TooLong));
    }

    #[test]
    fn the_descriptions_for_lists_are_json() {
        let skill = skill("x");
        let tool: Value = serde_json::from_str(&skill.tool_json()).unwrap();
        assert_eq!((&tool["name"], &tool["description"]), (&json!("plan"), &json!("Plans a \"deploy\".")));
        assert_eq!(tool["inputSchema"]["type"], "object");
        let resource: Value = serde_json::from_str(&skill.resource_json()).unwrap();
        assert_eq!(resource["uri"], "skill://acme/deploy-skill/SKILL.md");
    }
}
