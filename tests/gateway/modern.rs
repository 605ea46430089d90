//! Revision 2026-07-28 on the wire: every request stands alone and is checked before it counts.

use serde_json::{Value, json};

use crate::support::{Editor, Place, Response, mcp::MODERN, place, servers};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

fn toy() -> Place {
    place(&[("toy", &servers::plain(&["echo", "add"]))])
}

/// A request with that `_meta`, and headers that fit it.
fn with_meta(editor: &Editor, meta: &Value) -> crate::support::Request {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": { "_meta": meta } });
    let version = meta[VERSION].as_str().unwrap_or(MODERN).to_owned();
    editor.post(body.to_string()).header("mcp-protocol-version", &version).header("mcp-method", "tools/list")
}

fn refused(answer: &Response, status: u16, code: i64) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text());
    assert_eq!(answer.json()["id"], 7, "{}", answer.text());
}

#[test]
fn lists_discovery_and_calls_carry_what_the_revision_demands() {
    let place = toy();
    let mut list = place.editor.list().expect(200).result();
    list["_meta"]["io.modelcontextprotocol/serverInfo"]["version"] = "[version]".into();
    insta::assert_json_snapshot!(list, @r#"
    {
      "_meta": {
        "io.modelcontextprotocol/serverInfo": {
          "name": "aerostack",
          "title": "Aerostack",
          "version": "[version]"
        }
      },
      "cacheScope": "private",
      "resultType": "complete",
      "tools": [
        {
          "inputSchema": {
            "type": "object"
          },
          "name": "toy__echo"
        },
        {
          "inputSchema": {
            "type": "object"
          },
          "name": "toy__add"
        }
      ],
      "ttlMs": 0
    }
    "#);
    let mut discovery =
        place.editor.send(&place.editor.modern(&json!(1), "server/discover", json!({}))).expect(200).result();
    discovery["_meta"]["io.modelcontextprotocol/serverInfo"]["version"] = "[version]".into();
    insta::assert_json_snapshot!(discovery, @r#"
    {
      "_meta": {
        "io.modelcontextprotocol/serverInfo": {
          "name": "aerostack",
          "title": "Aerostack",
          "version": "[version]"
        }
      },
      "cacheScope": "private",
      "capabilities": {
        "tools": {
          "listChanged": true
        }
      },
      "instructions": "Tools of the workspace \"eng\", gathered by aerostack. Servers: toy. A tool's name begins with its server's prefix.",
      "resultType": "complete",
      "supportedVersions": [
        "2026-07-28"
      ],
      "ttlMs": 60000
    }
    "#);
    let answer = place.editor.call("toy__echo", json!({})).expect(200);
    assert_eq!(answer.header("mcp-session-id"), None, "this revision has no sessions");
    let result = answer.result();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["content"][0]["text"], "done");
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "aerostack");
}

#[test]
fn required_meta_is_asked_for_first() {
    let place = toy();
    for meta in
        [json!({}), json!({ VERSION: MODERN }), json!({ VERSION: MODERN, CAPABILITIES: 1 }), json!({ VERSION: 1 })]
    {
        // The method header disagrees as well, but `_meta` comes first.
        let request = with_meta(&place.editor, &meta).with("mcp-method", "tools/call");
        refused(&place.editor.send(&request), 400, -32602);
    }
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" }).to_string();
    let bare = place.editor.post(body).header("mcp-protocol-version", MODERN).header("mcp-method", "tools/list");
    refused(&place.editor.send(&bare), 400, -32602);
}

#[test]
fn a_header_that_disagrees_with_the_body_is_refused_before_the_version_is_looked_at() {
    let place = toy();
    let meta = json!({ VERSION: MODERN, CAPABILITIES: {} });
    let good = with_meta(&place.editor, &meta);
    place.editor.send(&good).expect(200);
    let unknown = json!({ VERSION: "v999", CAPABILITIES: {} });
    let wrong = [
        good.clone().without("mcp-protocol-version"),
        good.clone().with("mcp-protocol-version", "2025-11-25"),
        with_meta(&place.editor, &unknown).with("mcp-protocol-version", MODERN),
        good.clone().without("mcp-method"),
        good.clone().with("mcp-method", "tools/call"),
        good.clone().with("mcp-method", "Tools/List"),
        good.clone().header("mcp-method", "tools/list"),
    ];
    for request in wrong {
        refused(&place.editor.send(&request), 400, -32020);
    }
    let call = place.editor.modern(&json!(7), "tools/call", json!({ "name": "toy__echo", "arguments": {} }));
    let wrong = [
        call.clone().without("mcp-name"),
        call.clone().with("mcp-name", "toy__add"),
        call.clone().with("mcp-name", "=?base64?!!!?="),
        call.clone().with("mcp-name", "=?base64?dG95X19hZGQ=?="),
        call.clone().header("mcp-name", "toy__echo"),
    ];
    for request in wrong {
        refused(&place.editor.send(&request), 400, -32020);
    }
    // `toy__echo`, encoded; and white space around it.
    place.editor.send(&call.clone().with("mcp-name", "=?base64?dG95X19lY2hv?=")).expect(200).result();
    place.editor.send(&call.with("mcp-name", "  toy__echo  ")).expect(200).result();
}

#[test]
fn an_unknown_version_is_told_which_one_is_served() {
    let place = toy();
    let answer = place.editor.send(&with_meta(&place.editor, &json!({ VERSION: "2099-01-01", CAPABILITIES: {} })));
    refused(&answer, 400, -32022);
    let data = answer.json()["error"]["data"].clone();
    assert_eq!(data, json!({ "supported": [MODERN], "requested": "2099-01-01" }));
    // A version header nobody knows, on a request without `_meta`.
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" }).to_string();
    let answer = place.editor.send(&place.editor.post(body).header("mcp-protocol-version", "1999-01-01"));
    refused(&answer, 400, -32022);
}

#[test]
fn methods_that_this_revision_does_not_have_are_404() {
    let place = toy();
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "no/such",
        "Tools/list",
    ] {
        let answer = place.editor.send(&place.editor.modern(&json!(7), method, json!({})));
        refused(&answer, 404, -32601);
    }
}

#[test]
fn an_unknown_tool_and_a_bad_cursor_are_invalid_parameters_on_200() {
    let place = toy();
    let calling = |params| place.editor.send(&place.editor.modern(&json!(7), "tools/call", params));
    let answer = calling(json!({ "name": "toy__nothing", "arguments": {} }));
    refused(&answer, 200, -32602);
    assert_eq!(answer.json()["error"]["message"], "Unknown tool: toy__nothing");
    refused(&calling(json!({ "name": "echo", "arguments": {} })), 200, -32602);
    refused(&calling(json!({ "name": "toy__echo", "arguments": [] })), 200, -32602);
    refused(&calling(json!({ "arguments": {} })), 200, -32602);
    let list = place.editor.modern(&json!(7), "tools/list", json!({ "cursor": "page-2" }));
    refused(&place.editor.send(&list), 200, -32602);
}

#[test]
fn what_is_not_one_request_is_refused() {
    let place = toy();
    let head = |body: String| place.editor.post(body).header("mcp-protocol-version", MODERN);
    let one = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list",
        "params": { "_meta": { VERSION: MODERN, CAPABILITIES: {} } } });
    let batch = place.editor.send(&head(json!([one]).to_string()));
    assert_eq!((batch.status, batch.code()), (400, -32600));
    let answer = place.editor.send(&head("{\"jsonrpc\":".into()));
    assert_eq!((answer.status, answer.code(), answer.json()["id"].clone()), (400, -32700, json!(null)));
    // A notification is taken and dropped.
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
    let taken = place.editor.send(&head(notification)).expect(202);
    assert!(taken.body.is_empty());
}

#[test]
fn sessions_and_resumption_of_older_revisions_are_ignored() {
    let place = toy();
    let request = place.editor.calling("toy__echo", json!({}));
    let answer = place.editor.send(&request.header("mcp-session-id", "whatever").header("last-event-id", "9"));
    assert_eq!(answer.expect(200).result()["content"][0]["text"], "done");
}

#[test]
fn both_revisions_may_be_mixed_on_one_connection() {
    let place = toy();
    let session = place.editor.initialize("2025-06-18");
    let mut connection = crate::support::Connection::to(place.gateway.address);
    for _ in 0..3 {
        let legacy = connection.send(&session.asking(&json!(1), "tools/list", json!({}))).expect(200).result();
        let modern = connection.send(&place.editor.modern(&json!(1), "tools/list", json!({}))).expect(200).result();
        assert_eq!(legacy["tools"], modern["tools"]);
        assert_eq!((legacy.get("resultType"), modern["resultType"].as_str()), (None, Some("complete")));
    }
}
