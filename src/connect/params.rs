//! Arguments that travel in headers as well (`x-mcp-header`): a client on a pipe has no headers, so they are made here
//! from the schemas of the tools it listed.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::gateway::Headers;
use crate::upstream::mirror::{self, Mirrored};

/// Tools remembered.
const TOOLS: usize = 10_000;

/// Which tools want arguments in headers.
#[derive(Default)]
pub(super) struct Params {
    tools: HashMap<String, Vec<Mirrored>>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Page<'a>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    tools: Vec<Tool<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool<'a> {
    name: String,
    #[serde(borrow)]
    input_schema: &'a RawValue,
}

impl Params {
    /// Remembers what an answer to `tools/list` says.
    pub(super) fn learn(&mut self, message: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<Answer<'_>>(message) else { return };
        for tool in answer.result.tools {
            match mirror::mirrored(tool.input_schema) {
                Ok(wanted) if !wanted.is_empty() && self.tools.len() < TOOLS => {
                    self.tools.insert(tool.name, wanted);
                }
                _ => {
                    self.tools.remove(&tool.name);
                }
            }
        }
    }

    /// The headers of a call.
    pub(super) fn headers(&self, tool: &str, arguments: &[u8]) -> Headers {
        self.tools.get(tool).map(|wanted| mirror::headers_of(wanted, arguments)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_listed_tool_wants_is_sent_along() {
        let mut params = Params::default();
        params.learn(
            br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[
                {"name":"a","inputSchema":{"type":"object","properties":{"v":{"type":"string","x-mcp-header":"V"}}}},
                {"name":"b","inputSchema":{"type":"object"}}]}}"#,
        );
        let headers = params.headers("a", br#"{"v":"x"}"#);
        let shown: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(shown, [("mcp-param-v", "x")]);
        assert!(params.headers("b", b"{}").is_empty() && params.headers("c", b"{}").is_empty());
    }
}
