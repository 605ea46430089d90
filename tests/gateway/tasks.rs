//! Tasks, within one era: their ids name the server and are known to the token that started them only.

use serde_json::{Value, json};

use crate::support::{Place, Response, Upstream, place, servers};

const TASKS: &str = "io.modelcontextprotocol/tasks";

fn working(id: &str) -> Value {
    json!({ "resultType": "task", "taskId": id, "status": "working", "createdAt": "2026-07-28T00:00:00Z",
        "lastUpdatedAt": "2026-07-28T00:00:00Z", "ttlMs": 60000 })
}

/// Begins a task `t-1` for every call, and knows it afterwards.
fn modern() -> Upstream {
    Upstream::start(|seen, conn| match seen.rpc().as_str() {
        "server/discover" => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": {}, "extensions": { TASKS: {} } } }),
        ),
        "tools/list" => conn.result(seen, servers::tools(&["slow"])),
        "tools/call" => conn.result(seen, working("t-1")),
        "tasks/get" => {
            let mut task = working("t-1");
            task["resultType"] = json!("complete");
            conn.result(seen, task);
        }
        "tasks/update" | "tasks/cancel" => conn.result(seen, json!({ "resultType": "complete" })),
        _ => conn.error(404, seen, -32601, "no"),
    })
}

fn ask(place: &Place, method: &str, params: Value) -> Response {
    let able = json!({ "extensions": { TASKS: {} } });
    place.editor.send(&place.editor.able(able, 1, method, params))
}

#[test]
fn a_task_is_found_again_by_the_token_that_started_it() {
    let upstream = modern();
    let other = servers::plain(&["slow"]);
    let place = place(&[("toy", &upstream), ("other", &other)]);
    let begun = ask(&place, "tools/call", json!({ "name": "toy__slow", "arguments": {} })).expect(200).result();
    assert_eq!(begun["resultType"], "task");
    let id = begun["taskId"].as_str().unwrap().to_owned();
    assert!(id.starts_with("toy.t-1"), "{id}");
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let params = json!({ "taskId": id, "inputResponses": {} });
        let answer = ask(&place, method, params).expect(200).result();
        let sent = upstream.of(method).pop().unwrap();
        assert_eq!((sent.json()["params"]["taskId"].as_str(), sent.header("mcp-name")), (Some("t-1"), Some("t-1")));
        if method == "tasks/get" {
            assert_eq!(answer["taskId"], id);
        }
    }
    let before = upstream.seen().len();
    for unknown in ["t-1", "toy.t-1", "toy.t-2", "other.t-1", ""] {
        let answer = ask(&place, "tasks/get", json!({ "taskId": unknown })).expect(200);
        assert_eq!(answer.code(), -32602, "{unknown}");
    }
    let thief = place.gateway.editor("eng", &place.admin.token("eng", "Mallory").raw);
    let stolen = thief.able(json!({ "extensions": { TASKS: {} } }), 1, "tasks/get", json!({ "taskId": id }));
    assert_eq!(thief.send(&stolen).expect(200).code(), -32602);
    assert_eq!(upstream.seen().len(), before, "none of it was asked");
}

#[test]
fn tasks_of_2025_11_25_stay_between_a_legacy_client_and_a_legacy_server() {
    let legacy = Upstream::start(|seen, conn| match seen.rpc().as_str() {
        "initialize" => conn.result(
            seen,
            json!({ "protocolVersion": "2025-11-25", "serverInfo": { "name": "l", "version": "1" },
                "capabilities": { "tools": {}, "tasks": { "requests": { "tools": { "call": {} } } } } }),
        ),
        "server/discover" => conn.error(404, seen, -32601, "no"),
        "tools/list" => conn.result(seen, servers::tools(&["slow"])),
        "tools/call" if seen.json()["params"]["task"].is_null() => conn.says(seen, "at once"),
        "tools/call" => conn.result(seen, json!({ "task": { "taskId": "7", "status": "working" } })),
        "tasks/result" => {
            let meta = json!({ "io.modelcontextprotocol/related-task": { "taskId": "7" } });
            conn.result(seen, json!({ "content": [], "_meta": meta }));
        }
        "GET" => conn.reply(405, &[("allow", "POST")], ""),
        _ => conn.reply(202, &[], ""),
    });
    let fresh = servers::plain(&["slow"]);
    let place = place(&[("toy", &legacy), ("fresh", &fresh)]);
    let session = place.editor.initialize("2025-11-25");
    let params = json!({ "name": "toy__slow", "arguments": {}, "task": { "ttl": 1000 } });
    let begun = session.request("tools/call", params.clone()).result();
    let id = begun["task"]["taskId"].as_str().unwrap().to_owned();
    assert!(id.starts_with("toy.7"), "{id}");
    let result = session.request("tasks/result", json!({ "taskId": id })).result();
    assert_eq!(result["_meta"]["io.modelcontextprotocol/related-task"]["taskId"], id);
    assert_eq!(legacy.of("tasks/result")[0].json()["params"]["taskId"], "7");
    // Not carried into the other era: the call is simply made.
    let made = session.request("tools/call", json!({ "name": "fresh__slow", "arguments": {}, "task": {} })).result();
    assert_eq!(made["content"][0]["text"], "done");
    assert!(fresh.last_call().json()["params"].get("task").is_none());
    let modern = place.editor.send(&place.editor.modern(&json!(1), "tools/call", params)).result();
    assert_eq!(modern["content"][0]["text"], "at once");
}
