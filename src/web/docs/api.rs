//! The page of the admin API, from the same document as `/openapi.json`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::markdown::{FOLDED, code, text};
use crate::admin::{self, BASE};

/// How deep an example follows references.
const DEPTH: usize = 10;
/// What stands before the name of a schema in a reference.
const SCHEMAS: &str = "#/components/schemas/";
/// Described once for all operations.
const EVERYWHERE: &str = "namespace";

/// A section for every tag with its operations, and one with the objects that they take and give.
pub fn page() -> String {
    let document = serde_json::to_value(admin::document()).unwrap_or_default();
    let page = ApiPage { document: &document };
    let mut out = String::new();
    for tag in page.tags() {
        let _infallible = write!(out, "\n## {} {{#tag-{tag}}}\n", text(tag));
        for (path, method, operation) in page.operations().filter(|(_, _, operation)| tag_of(operation) == tag) {
            page.operation(&mut out, path, method, operation);
        }
    }
    out.push_str("\n## Objects {#objects}\n");
    for (name, schema) in members_of(document.pointer("/components/schemas")) {
        page.schema(&mut out, name, schema);
    }
    out
}

struct ApiPage<'a> {
    document: &'a Value,
}

impl<'a> ApiPage<'a> {
    fn operations(&self) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
        members_of(self.document.get("paths"))
            .flat_map(|(path, item)| members_of(Some(item)).map(move |(method, operation)| (path, method, operation)))
    }

    fn tags(&self) -> Vec<&'a str> {
        let mut tags: Vec<&str> = self.operations().map(|(_, _, operation)| tag_of(operation)).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    fn operation(&self, out: &mut String, path: &str, method: &str, operation: &'a Value) {
        let title = said(operation, "summary");
        let line = format!("{} {path}", method.to_uppercase());
        let _infallible =
            write!(out, "\n### {} {{#{}}}\n\n{}\n\n", text(title), operation_id(method, path), code(&line));
        let description = said(operation, "description");
        if !description.is_empty() {
            let _infallible = write!(out, "{}\n\n", text(description));
        }
        if operation.get("security").and_then(Value::as_array).is_some_and(|all| all.iter().any(is_open)) {
            out.push_str("Needs no key.\n\n");
        }
        self.parameters(out, operation);
        if let Some((kind, schema)) = content(operation.get("requestBody")) {
            let _infallible = write!(out, "Body ({}): {}\n\n", code(kind), self.kind(schema));
            self.example(out, "body", kind, schema, true);
        }
        self.answers(out, operation);
    }

    fn parameters(&self, out: &mut String, operation: &Value) {
        let all = operation.get("parameters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let shown: Vec<&Value> = all.iter().filter(|one| said(one, "name") != EVERYWHERE).collect();
        if shown.is_empty() {
            return;
        }
        out.push_str("| Parameter | In | Type | What it is |\n|---|---|---|---|\n");
        for one in shown {
            let kind = one.get("schema").map(|schema| self.kind(schema)).unwrap_or_default();
            let must = one.get("required").and_then(Value::as_bool).unwrap_or_default();
            let _infallible = writeln!(
                out,
                "| {}{} | {} | {kind} | {} |",
                code(said(one, "name")),
                if must { " (required)" } else { "" },
                said(one, "in"),
                text(said(one, "description")),
            );
        }
        out.push('\n');
    }

    fn answers(&self, out: &mut String, operation: &'a Value) {
        for (status, answer) in members_of(operation.get("responses")).filter(|(status, _)| !status.ends_with("XX")) {
            let description = text(said(answer, "description"));
            let Some((kind, schema)) = content(Some(answer)) else {
                let _infallible = write!(out, "Answer {status}, without a body. {description}\n\n");
                continue;
            };
            let _infallible = write!(out, "Answer {status} ({}): {} {description}\n\n", code(kind), self.kind(schema));
            self.example(out, &format!("{FOLDED}answer {status}"), kind, schema, false);
        }
    }

    fn example(&self, out: &mut String, title: &str, kind: &str, schema: &'a Value, least: bool) {
        if kind != "application/json" {
            return;
        }
        let value = self.sample("", schema, DEPTH, least);
        let text = serde_json::to_string_pretty(&value).unwrap_or_default();
        let _infallible = write!(out, "```json {title}\n{text}\n```\n\n");
    }

    fn schema(&self, out: &mut String, name: &str, schema: &'a Value) {
        let _infallible = write!(out, "\n### {name} {{#{}}}\n\n", schema_id(name));
        let description = said(schema, "description");
        if !description.is_empty() {
            let _infallible = write!(out, "{}\n\n", text(description));
        }
        let members = self.members(schema, DEPTH);
        if members.is_empty() {
            let _infallible = write!(out, "{}\n\n", self.kind(schema));
            self.variants(out, schema);
            return;
        }
        out.push_str("| Member | Type | What it is |\n|---|---|---|\n");
        for (member, required, of) in members {
            let must = if required { " (required)" } else { "" };
            let what = text(self.described(of));
            let _infallible = writeln!(out, "| {}{must} | {} | {what} |", code(member), self.kind(of));
        }
        out.push('\n');
    }

    /// The forms of an object that has several.
    fn variants(&self, out: &mut String, schema: &'a Value) {
        for one in choices(schema).filter(|one| one.get("properties").is_some()) {
            let _infallible = write!(out, "{}\n\n", text(said(one, "description")));
            self.example(out, "form", "application/json", one, false);
        }
    }

    fn described(&self, schema: &'a Value) -> &'a str {
        match said(schema, "description") {
            "" => {
                choices(schema).map(|one| said(one, "description")).find(|words| !words.is_empty()).unwrap_or_default()
            }
            words => words,
        }
    }

    /// Members of an object: name, whether it must be there, schema. Parts and references are followed.
    fn members(&self, schema: &'a Value, depth: usize) -> Vec<(&'a str, bool, &'a Value)> {
        let Some(below) = depth.checked_sub(1) else { return Vec::new() };
        if let Some(named) = self.referred(schema) {
            return self.members(named, below);
        }
        let required: Vec<&str> = list(schema, "required").iter().filter_map(Value::as_str).collect();
        let own = members_of(schema.get("properties")).map(|(name, of)| (name, required.contains(&name), of));
        list(schema, "allOf").iter().flat_map(|part| self.members(part, below)).chain(own).collect()
    }

    fn referred(&self, schema: &Value) -> Option<&'a Value> {
        let name = schema.get("$ref")?.as_str()?.strip_prefix(SCHEMAS)?;
        self.document.pointer("/components/schemas")?.get(name)
    }

    /// A schema in words.
    fn kind(&self, schema: &Value) -> String {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(SCHEMAS)) {
            return format!("[{}](#{})", text(name), schema_id(name));
        }
        let values = list(schema, "enum");
        if !values.is_empty() {
            let words: Vec<String> = values.iter().map(|value| code(value.as_str().unwrap_or_default())).collect();
            return words.join(" or ");
        }
        let mut forms: Vec<String> = choices(schema).map(|one| self.kind(one)).collect();
        forms.dedup();
        if !forms.is_empty() {
            return forms.join(" or ");
        }
        let parts: Vec<String> = list(schema, "allOf").iter().map(|one| self.kind(one)).collect();
        if !parts.is_empty() {
            return parts.join(" and ");
        }
        if let Some(items) = schema.get("items") {
            return format!("list of {}", self.kind(items));
        }
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            return format!("object of {}", self.kind(values));
        }
        match schema.get("type") {
            Some(Value::String(one)) => one.clone(),
            Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            _ => "anything".to_owned(),
        }
    }

    /// An example: what the document says, else something of the kind. `least`: only what must be there, if something must.
    fn sample(&self, name: &str, schema: &'a Value, depth: usize, least: bool) -> Value {
        if let Some(example) = schema.get("example") {
            return example.clone();
        }
        let Some(below) = depth.checked_sub(1) else { return Value::Null };
        if let Some(named) = self.referred(schema) {
            return self.sample(name, named, below, least);
        }
        if let Some(first) = list(schema, "enum").first() {
            return first.clone();
        }
        if let Some(first) = choices(schema).next() {
            return self.sample(name, first, below, least);
        }
        let members = self.members(schema, below);
        if !members.is_empty() {
            let must = least && members.iter().any(|(_, required, _)| *required);
            let told = members.into_iter().filter(|(_, required, _)| *required || !must);
            let told = told.map(|(name, _, of)| (name.to_owned(), self.sample(name, of, below, least)));
            return Value::Object(told.collect::<Map<_, _>>());
        }
        if let Some(items) = schema.get("items") {
            return json!([self.sample("", items, below, least)]);
        }
        plain(name, schema)
    }
}

/// Something of a plain type.
fn plain(name: &str, schema: &Value) -> Value {
    let kind = match schema.get("type") {
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        Some(one) => one.as_str(),
        None => None,
    };
    match (kind, said(schema, "format"), name) {
        (Some("string"), "date-time", _) => json!("2026-11-21T09:30:00Z"),
        (Some("string"), _, "id") => json!("01a1fde4795575cdb1820cc6c113c1e3"),
        (Some("string"), _, "slug" | "workspace") => json!("engineering"),
        (Some("string"), _, "namespace") => json!("acme"),
        (Some("string"), _, "server") => json!("github-mcp"),
        (Some("string"), ..) => json!("…"),
        (Some("integer" | "number"), ..) => schema.get("default").cloned().unwrap_or(json!(1)),
        (Some("boolean"), ..) => json!(true),
        (Some("object"), ..) => json!({}),
        (Some("array"), ..) => json!([]),
        _ => Value::Null,
    }
}

/// The id of an operation on the page: `get-workspaces-slug-tokens`.
fn operation_id(method: &str, path: &str) -> String {
    let path = path.strip_prefix(BASE).unwrap_or(path);
    let parts = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    [method].into_iter().chain(parts).collect::<Vec<_>>().join("-")
}

fn schema_id(name: &str) -> String {
    format!("schema-{}", name.to_lowercase().replace('_', "-"))
}

fn tag_of(operation: &Value) -> &str {
    list(operation, "tags").first().and_then(Value::as_str).unwrap_or_default()
}

fn said<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Forms that exclude each other, without "nothing".
fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    let all = list(schema, "oneOf").iter().chain(list(schema, "anyOf"));
    all.filter(|one| said(one, "type") != "null")
}

/// Whether a demand demands nothing.
fn is_open(requirement: &Value) -> bool {
    requirement.as_object().is_some_and(Map::is_empty)
}

/// The first kind of content and its schema.
fn content(of: Option<&Value>) -> Option<(&str, &Value)> {
    let (kind, media) = members_of(of?.get("content")).next()?;
    Some((kind, media.get("schema")?))
}

fn members_of(of: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    of.and_then(Value::as_object).into_iter().flatten().map(|(name, value)| (&**name, value))
}
