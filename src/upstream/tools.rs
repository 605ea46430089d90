//! Fetching a server's tool list: all pages, within limits, each tool checked on its own. One bad tool costs itself,
//! never the list. Descriptions are kept byte for byte.

use std::{borrow::Cow, collections::HashSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    config::UpstreamConfig,
    protocol::splice::json_string,
    upstream::{UpstreamError, ask::Reply, mirror},
};

/// Longest description of one tool, bytes.
const TOOL_BYTES: usize = 256 * 1024;
/// Longest name, bytes (the specification suggests 128).
const NAME_BYTES: usize = 256;
/// Dropped tools that are remembered with their reason.
const DROPPED: usize = 100;

/// A tool as its server described it.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The server's own name for it.
    pub name: Box<str>,
    /// The whole description, byte for byte.
    pub raw: Box<RawValue>,
}

/// A tool that is not offered, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dropped {
    /// Its name, if it has one.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A server's tools.
#[derive(Debug, Default)]
pub struct ToolList {
    /// What is offered, in the server's order.
    pub tools: Vec<Tool>,
    /// What is not.
    pub dropped: Vec<Dropped>,
    seen: HashSet<Box<str>>,
}

/// Fetches all pages. `ask` sends `tools/list` with the given members of `params`.
pub async fn list_tools(
    modern: bool,
    config: &UpstreamConfig,
    ask: impl AsyncFn(&str) -> Result<Reply, UpstreamError>,
) -> Result<ToolList, UpstreamError> {
    let mut list = ToolList::default();
    let mut cursors = HashSet::new();
    let mut members = String::new();
    for _ in 0..config.list_pages {
        let reply = ask(&members).await?;
        let page: Page<'_> = reply.parse()?;
        for raw in page.tools {
            if list.tools.len() >= config.tools {
                list.drop_tool("", format!("the list ends after {} tools (upstream.tools)", config.tools));
                return Ok(list);
            }
            list.add(raw, modern);
        }
        // An empty cursor is a cursor; only its absence ends the list.
        let Some(cursor) = page.next_cursor else { return Ok(list) };
        members = format!("\"cursor\":{}", json_string(&cursor));
        if !cursors.insert(cursor.into_owned()) {
            list.drop_tool("", "the server's pages repeat themselves; the rest is not fetched".into());
            return Ok(list);
        }
    }
    list.drop_tool("", format!("the list ends after {} pages (upstream.list_pages)", config.list_pages));
    Ok(list)
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(borrow, rename = "nextCursor")]
    next_cursor: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "inputSchema")]
    input_schema: Option<&'a RawValue>,
}

impl ToolList {
    fn add(&mut self, raw: &RawValue, modern: bool) {
        let Ok(shape) = serde_json::from_str::<Shape<'_>>(raw.get()) else {
            return self.drop_tool("", "its description is not an object, or its name is not a string".into());
        };
        let name = shape.name.as_deref().unwrap_or_default();
        match check(name, shape.input_schema, raw, modern) {
            Err(reason) => self.drop_tool(name, reason),
            Ok(()) if !self.seen.insert(name.into()) => self.drop_tool(name, "the name occurs twice".into()),
            Ok(()) => self.tools.push(Tool { name: name.into(), raw: raw.to_owned() }),
        }
    }

    fn drop_tool(&mut self, name: &str, reason: String) {
        if self.dropped.len() < DROPPED {
            let name = name.chars().filter(|c| !c.is_control()).take(80).collect();
            self.dropped.push(Dropped { name, reason });
        }
    }
}

fn check(name: &str, schema: Option<&RawValue>, raw: &RawValue, modern: bool) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES || name.chars().any(char::is_control) {
        return Err(format!("its name is missing, longer than {NAME_BYTES} bytes, or has control characters"));
    }
    if raw.get().len() > TOOL_BYTES {
        return Err(format!("its description is larger than {TOOL_BYTES} bytes"));
    }
    let Some(schema) = schema.filter(|schema| schema.get().starts_with('{')) else {
        return Err("it has no inputSchema, or one that is not an object".into());
    };
    // The specification: a client drops tools whose header annotations are invalid.
    if modern {
        mirror::mirrored(schema)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::upstream::ask::{Message, read_message};

    fn reply(result: &str) -> Reply {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"a","result":{result}}}"#);
        match read_message(Bytes::from(body)).unwrap() {
            Message::Reply(_, reply) => reply,
            _ => panic!("no reply"),
        }
    }

    fn tool(name: &str) -> String {
        format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}},"x":1e-400}}"#)
    }

    async fn list(config: &UpstreamConfig, page: impl AsyncFn(&str) -> String) -> ToolList {
        list_tools(true, config, async |members: &str| Ok(reply(&page(members).await))).await.unwrap()
    }

    fn names(list: &ToolList) -> Vec<&str> {
        list.tools.iter().map(|tool| &*tool.name).collect()
    }

    #[actix_rt::test]
    async fn all_pages_are_fetched_and_an_empty_cursor_is_one() {
        let config = UpstreamConfig::default();
        let found = list(&config, async |members: &str| match members {
            "" => format!(r#"{{"tools":[{}],"nextCursor":""}}"#, tool("a")),
            r#""cursor":"""# => format!(r#"{{"tools":[{}],"nextCursor":"\u00e9"}}"#, tool("b")),
            r#""cursor":"é""# => format!(r#"{{"tools":[{}]}}"#, tool("c")),
            other => panic!("{other}"),
        })
        .await;
        assert_eq!(names(&found), ["a", "b", "c"]);
        assert_eq!(found.tools[0].raw.get(), tool("a"));
    }

    #[actix_rt::test]
    async fn pages_that_repeat_or_never_end_are_left() {
        let config = UpstreamConfig { list_pages: 3, tools: 10, ..UpstreamConfig::default() };
        let repeating = list(&config, async |_: &str| r#"{"tools":[],"nextCursor":"x"}"#.to_owned()).await;
        assert!(repeating.dropped[0].reason.contains("repeat"));
        let count = std::cell::Cell::new(0);
        let endless = list(&config, async |_: &str| {
            count.set(count.get() + 1);
            format!(r#"{{"tools":[],"nextCursor":"{}"}}"#, count.get())
        })
        .await;
        assert_eq!(count.get(), 3);
        assert!(endless.dropped[0].reason.contains("list_pages"));
        let many: Vec<String> = (0..20).map(|i| tool(&i.to_string())).collect();
        let many = format!(r#"{{"tools":[{}]}}"#, many.join(","));
        let cut = list(&config, async |_: &str| many.clone()).await;
        assert_eq!(cut.tools.len(), 10);
    }

    #[actix_rt::test]
    async fn a_bad_tool_costs_itself_only() {
        let huge = format!(r#"{{"name":"huge","inputSchema":{{}},"description":"{}"}}"#, "x".repeat(TOOL_BYTES));
        let page = format!(
            r#"{{"tools":[{},7,{{"name":"noschema"}},{{"name":"bad","inputSchema":[]}},{{"inputSchema":{{}}}},{huge},
                {{"name":"h","inputSchema":{{"type":"object","properties":{{"a":{{"type":"object","x-mcp-header":"A"}}}}}}}},{},{}]}}"#,
            tool("good"),
            tool("good"),
            tool("last"),
        );
        let found = list(&UpstreamConfig::default(), async |_: &str| page.clone()).await;
        assert_eq!(names(&found), ["good", "last"]);
        let dropped: Vec<&str> = found.dropped.iter().map(|dropped| dropped.name.as_str()).collect();
        assert_eq!(dropped, ["", "noschema", "bad", "", "huge", "h", "good"]);
    }

    #[actix_rt::test]
    async fn a_result_of_another_shape_is_a_protocol_failure() {
        let outcome = list_tools(true, &UpstreamConfig::default(), async |_: &str| Ok(reply(r#"{"tools":{}}"#))).await;
        assert!(matches!(outcome, Err(UpstreamError::Protocol(_))));
    }
}
