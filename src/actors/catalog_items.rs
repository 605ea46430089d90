//! How an item of a server's list looks in a workspace: its exposed name or URI in place of the server's own, and what
//! the client's era and the server's do not share taken out or wrapped. Everything else stays byte for byte.

use std::ops::Range;

use crate::{
    actors::catalog::Installed,
    protocol::{
        answer::without,
        scan::{self, Members, key_is, member, object_members, string_value},
        splice::{Splice, json_string},
    },
    upstream::lists::{Item, Kind},
};

/// An item as clients of each era see it.
pub struct Shown {
    /// 2026-07-28; none: a client of that revision could not use it.
    pub modern: Option<String>,
    /// Older revisions.
    pub legacy: String,
    /// A client of an older revision sees the output schema, and therefore the structured content, wrapped in an object.
    pub wraps_output: bool,
}

/// What `item` looks like under the name `exposed`. `shown_uri`: how a URI of the same server is shown, if otherwise.
pub fn show(
    kind: Kind,
    item: &Item,
    exposed: &str,
    one: &Installed,
    shown_uri: &dyn Fn(&str) -> Option<String>,
) -> Shown {
    let raw = item.raw.get();
    let modern_server = one.offer.as_ref().is_some_and(|offer| offer.about.wire.is_modern());
    let renamed = Described::read(raw).renamed(kind, item, exposed, shown_uri);
    if kind != Kind::Tools {
        return Shown { modern: Some(renamed.clone()), legacy: renamed, wraps_output: false };
    }
    let tool = Described::read(&renamed);
    if modern_server {
        let (legacy, wraps_output) = tool.for_legacy();
        Shown { modern: Some(renamed.clone()), legacy, wraps_output }
    } else {
        Shown { modern: tool.for_modern(), legacy: renamed, wraps_output: false }
    }
}

/// An item's description with its members found.
struct Described<'a> {
    raw: &'a str,
    members: Members,
}

impl<'a> Described<'a> {
    fn read(raw: &'a str) -> Self {
        Described { raw, members: object_members(raw.as_bytes(), 0..raw.len()) }
    }

    fn body(&self) -> &'a [u8] {
        self.raw.as_bytes()
    }

    fn member(&self, name: &str) -> Option<Range<usize>> {
        member(&self.members, self.body(), name)
    }

    fn inner(&self, range: Range<usize>, name: &str) -> Option<Range<usize>> {
        member(&object_members(self.body(), range), self.body(), name)
    }

    fn renamed(&self, kind: Kind, item: &Item, exposed: &str, shown_uri: &dyn Fn(&str) -> Option<String>) -> String {
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        if *item.name != *exposed {
            edits.extend(self.member(kind.key()).map(|range| (range, json_string(exposed))));
        }
        for range in self.ui_resources() {
            let uri = string_value(self.body(), range.clone());
            edits.extend(uri.and_then(|uri| shown_uri(&uri)).map(|shown| (range, json_string(&shown))));
        }
        let mut splice = Splice::new(self.body());
        for (range, text) in &edits {
            splice = splice.replace(range.clone(), text.as_bytes());
        }
        self.text(splice)
    }

    /// Where the tool names the resource that is its user interface (MCP Apps), in both spellings.
    fn ui_resources(&self) -> impl Iterator<Item = Range<usize>> {
        let meta = self.member("_meta").filter(|_| self.raw.contains("resourceUri"));
        let nested = meta.clone().and_then(|meta| self.inner(meta, "ui")).and_then(|ui| self.inner(ui, "resourceUri"));
        let flat = meta.and_then(|meta| self.inner(meta, "ui/resourceUri"));
        nested.into_iter().chain(flat)
    }

    /// A tool of a 2026-07-28 server for an older client: an output schema must be of an object there, and tasks are
    /// not the same thing. Whether the schema had to be wrapped.
    fn for_legacy(&self) -> (String, bool) {
        let body = self.body();
        let wrapped = self.member("outputSchema").and_then(|range| Some((range.clone(), self.wrapped(range)?)));
        let mut splice = Splice::new(body);
        if let Some((range, text)) = &wrapped {
            splice = splice.replace(range.clone(), text.as_bytes());
        }
        if self.member("execution").is_some() {
            splice = without(splice, &self.members, |m| key_is(body, m, "execution"));
        }
        let wraps = wrapped.is_some();
        (self.text(splice), wraps)
    }

    /// The schema as that of an object's only member; none if it is an object's already.
    fn wrapped(&self, schema: Range<usize>) -> Option<String> {
        let kind = self.inner(schema.clone(), "type").and_then(|range| string_value(self.body(), range));
        if kind.as_deref() == Some("object") {
            return None;
        }
        let text = self.raw.get(schema.clone())?;
        // References within the schema begin at its root, which is now ours.
        let definitions = ["$defs", "definitions"].into_iter().filter_map(|name| {
            let found = self.inner(schema.clone(), name)?;
            Some(format!(",\"{name}\":{}", self.raw.get(found)?))
        });
        let definitions: String = definitions.collect();
        Some(format!(r#"{{"type":"object","properties":{{"result":{text}}},"required":["result"]{definitions}}}"#))
    }

    /// A tool of an older server for a client of 2026-07-28, which has no `taskSupport`; none if the tool runs only as
    /// a task.
    fn for_modern(&self) -> Option<String> {
        let body = self.body();
        let Some(execution) = self.member("execution") else { return Some(self.raw.into()) };
        let inner = object_members(body, execution);
        let support = member(&inner, body, "taskSupport").and_then(|range| string_value(body, range));
        match support.as_deref() {
            Some("required") => None,
            None => Some(self.raw.into()),
            Some(_) if inner.len() == 1 => {
                Some(self.text(without(Splice::new(body), &self.members, |m| key_is(body, m, "execution"))))
            }
            Some(_) => Some(self.text(without(Splice::new(body), &inner, |m| key_is(body, m, "taskSupport")))),
        }
    }

    fn text(&self, splice: Splice<'_>) -> String {
        String::from_utf8(splice.finish()).unwrap_or_else(|_| self.raw.into())
    }
}

/// What a tool's schema wants in headers. (A tool with invalid annotations never gets this far.)
pub fn mirrored(item: &Item) -> Vec<crate::upstream::mirror::Mirrored> {
    let raw = item.raw.get();
    if !raw.contains("x-mcp-header") {
        return Vec::new();
    }
    let members = scan::object_members(raw.as_bytes(), 0..raw.len());
    let schema = member(&members, raw.as_bytes(), "inputSchema").and_then(|range| raw.get(range));
    let schema = schema.and_then(|text| serde_json::from_str::<&serde_json::value::RawValue>(text).ok());
    schema.and_then(|schema| crate::upstream::mirror::mirrored(schema).ok()).unwrap_or_default()
}

/// What a tool's server says of it (`annotations`). What is not a boolean is not said.
#[derive(serde::Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Hints {
    read_only_hint: serde_json::Value,
    destructive_hint: serde_json::Value,
    idempotent_hint: serde_json::Value,
    open_world_hint: serde_json::Value,
}

fn hints(item: &Item) -> Hints {
    #[derive(serde::Deserialize)]
    struct Described {
        annotations: Option<Hints>,
    }
    if !item.raw.get().contains("Hint\"") {
        return Hints::default();
    }
    let described = serde_json::from_str::<Described>(item.raw.get());
    described.ok().and_then(|tool| tool.annotations).unwrap_or_default()
}

/// Whether the tool's server says that it only reads, or that doing it again changes nothing.
pub fn is_repeatable(item: &Item) -> bool {
    let hints = hints(item);
    hints.read_only_hint == true || hints.idempotent_hint == true
}

/// What a tool's server says of it, in so many words: what it leaves out is not said, whatever the specification takes
/// for granted then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    /// It only reads.
    pub reads: bool,
    /// It may destroy something.
    pub destroys: bool,
    /// It reaches beyond the server's own things.
    pub open_world: bool,
}

/// What the tool's server says of it. What only reads destroys nothing.
pub fn said(item: &Item) -> Said {
    let hints = hints(item);
    let reads = hints.read_only_hint == true;
    Said { reads, destroys: !reads && hints.destructive_hint == true, open_world: hints.open_world_hint == true }
}

/// Whether the tool's server says that it only reads.
pub fn reads(item: &Item) -> bool {
    hints(item).read_only_hint == true
}
