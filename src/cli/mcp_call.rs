//! `mcp call`: a tool called through the gateway, as a member's editor calls it, with a workspace token.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    Ask, Question, Target,
    connect::{self, MESSAGE_MIB},
    failure::{Failure, Outcome},
    output::Terminal,
    prompt,
    session::Session,
};
use crate::domain::near;

/// Runnable examples of `mcp call`.
pub const EXAMPLES: &str = "Examples:
  aerostack mcp call github__create_issue title=\"A bug\" labels:='[\"bug\"]' --workspace engineering
  aerostack mcp call github__create_issue --arguments - < issue.json
  aerostack mcp call github__list_pull_requests state=open -o json

The token comes from --token-file, AEROSTACK_TOKEN, or what `connect --save-token` saved for the workspace's URL.";

/// Pages of the tool list before we think the gateway goes in circles.
const PAGES: usize = 100;

/// What `mcp call` takes.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// The tool, by the name that editors see
    tool: String,
    /// Arguments: NAME=VALUE as the tool's schema wants it, NAME:=JSON as it is
    #[arg(value_name = "NAME=VALUE")]
    pairs: Vec<String>,
    /// All arguments as one JSON object; `-` reads it from stdin
    #[arg(long, value_name = "JSON", conflicts_with = "pairs", allow_hyphen_values = true)]
    arguments: Option<String>,
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
    /// Read the token from a file
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    tools: Vec<Tool>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    name: String,
    input_schema: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Called {
    #[serde(default)]
    content: Vec<Value>,
    #[serde(default)]
    is_error: bool,
}

/// Calls the tool and prints what it answers.
pub fn run(session: &Session, terminal: &mut Terminal, args: CallArgs, ask: Ask) -> Outcome {
    let url = connect::url_of_workspace(session, args.workspace.clone())?;
    let token = connect::token_of(session, &url, args.token_file.as_deref())?;
    let target = Target { url, token, message_bytes: MESSAGE_MIB << 20 };
    let tool = find(&target, &args.tool, ask)?;
    let arguments = arguments(&args, &tool)?;
    let params =
        Map::from_iter([("name".into(), Value::from(args.tool)), ("arguments".into(), Value::Object(arguments))]);
    let result = ask(&target, &Question { method: "tools/call", params, schema: Some(tool.input_schema) })?;
    show(terminal, &result)
}

/// The tool of that name, as the token sees it.
fn find(target: &Target, name: &str, ask: Ask) -> Outcome<Tool> {
    let (mut names, mut params) = (Vec::new(), Map::new());
    for _ in 0..PAGES {
        let question = Question { method: "tools/list", params, schema: None };
        let page: Page = serde_json::from_str(ask(target, &question)?.get())
            .map_err(|_their_text| Failure::unreachable("the gateway's list of tools cannot be read"))?;
        for tool in page.tools {
            if tool.name == name {
                return Ok(tool);
            }
            names.push(tool.name);
        }
        let Some(cursor) = page.next_cursor else { break };
        params = Map::from_iter([("cursor".into(), Value::from(cursor))]);
    }
    Err(Failure::not_found(near::no_such("tool", name, names.iter().map(String::as_str))).with_hint(
        "the tools of this token are listed by its editor, those of the workspace by: aerostack mcp list --tools-only",
    ))
}

fn arguments(args: &CallArgs, tool: &Tool) -> Outcome<Map<String, Value>> {
    if let Some(text) = &args.arguments {
        use secrecy::ExposeSecret as _;
        let text = if text == "-" { prompt::from_stdin()?.expose_secret().to_owned() } else { text.clone() };
        return serde_json::from_str(&text)
            .map_err(|error| Failure::usage(format!("--arguments is not a JSON object: {error}")));
    }
    let schema: Value = serde_json::from_str(tool.input_schema.get()).unwrap_or_default();
    args.pairs.iter().map(|pair| argument(pair, &schema)).collect()
}

/// One argument: as the schema wants it, or as JSON.
fn argument(pair: &str, schema: &Value) -> Outcome<(String, Value)> {
    let form = || {
        Failure::usage(format!("\"{pair}\" is no argument"))
            .with_hint("title=\"A bug\", count=3, or labels:='[\"bug\"]'")
    };
    let (name, text) = pair.split_once('=').ok_or_else(form)?;
    let json = |name: &str| {
        serde_json::from_str(text).map_err(|_cause| {
            Failure::usage(format!("the value of \"{name}\" is not what it must be"))
                .with_hint("numbers, true, false, and JSON are given as they are; text after NAME=")
        })
    };
    if let Some(name) = name.strip_suffix(':') {
        return Ok((name.to_owned(), json(name)?));
    }
    let wanted = schema.get("properties").and_then(|all| all.get(name)).and_then(|property| property.get("type"));
    let value = match wanted.and_then(Value::as_str) {
        Some("integer" | "number" | "boolean" | "object" | "array" | "null") => json(name)?,
        _ => Value::from(text),
    };
    Ok((name.to_owned(), value))
}

fn show(terminal: &mut Terminal, result: &RawValue) -> Outcome {
    let called: Called = serde_json::from_str(result.get())
        .map_err(|_their_text| Failure::unreachable("the tool's answer cannot be read"))?;
    if terminal.wants_json() {
        terminal.json(result)?;
    } else {
        for block in &called.content {
            match block.get("text").and_then(Value::as_str) {
                Some(text) => text.lines().try_for_each(|line| terminal.line(line))?,
                None => {
                    let kind = block.get("type").and_then(Value::as_str).unwrap_or("something");
                    terminal.note(&format!("({kind}, shown with -o json)"));
                }
            }
        }
    }
    if called.is_error {
        return Err(Failure::local("The tool says that it failed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_have_the_types_that_the_tool_wants() {
        let schema = json!({"properties": {"title": {"type": "string"}, "count": {"type": "integer"},
            "draft": {"type": "boolean"}, "labels": {"type": "array"}}});
        let value = |pair: &str| argument(pair, &schema).map(|(_, value)| value);
        assert_eq!(value("title=42").unwrap(), json!("42"));
        assert_eq!(value("title=a=b").unwrap(), json!("a=b"));
        assert_eq!(value("count=42").unwrap(), json!(42));
        assert_eq!(value("draft=true").unwrap(), json!(true));
        assert_eq!(value("labels=[\"bug\"]").unwrap(), json!(["bug"]));
        assert_eq!(value("other:={\"a\":1}").unwrap(), json!({"a": 1}));
        assert_eq!(value("other=1").unwrap(), json!("1"));
        for bad in ["title", "count=many", "draft=yes", "x:=nope"] {
            assert_eq!(value(bad).unwrap_err().exit_number(), 2, "{bad}");
        }
    }
}
