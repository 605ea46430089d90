//! Servers of 2026-07-28 that want input. A legacy client is really asked, and the call made again with its answers; a
//! client of 2026-07-28 gets and gives everything as it is.

use serde_json::{Value, json};

use crate::support::{Conn, Seen, TestGateway, asking::text, place, place_with, servers, until};

fn input_required(seen: &Seen, conn: &mut Conn, requests: Value, state: Option<&str>) {
    let mut result = json!({ "resultType": "input_required" });
    if !requests.is_null() {
        result["inputRequests"] = requests;
    }
    let state = state.map(|state| format!(r#","requestState":{state}"#)).unwrap_or_default();
    let text = result.to_string();
    conn.result(seen, format!("{}{state}}}", &text[..text.len() - 1]));
}

/// Wants a form and the roots before it answers; or only time; or ever more; or what nobody declared.
fn demanding(seen: &Seen, conn: &mut Conn) {
    let params = &seen.json()["params"];
    match seen.tool().as_str() {
        "both" if params["requestState"].is_null() => {
            let form = json!({ "method": "elicitation/create", "params": { "mode": "form", "message": "Sure?" } });
            let requests = json!({ "a\"1": form, "b": { "method": "roots/list", "params": {} } });
            input_required(seen, conn, requests, Some(r#""st\u0041te+/=""#));
        }
        "later" if params["requestState"] != "2" => {
            let next = if params["requestState"].is_null() { "\"1\"" } else { "\"2\"" };
            input_required(seen, conn, Value::Null, Some(next));
        }
        "page" if params["inputResponses"].is_null() => {
            let page = json!({ "mode": "url", "url": "https://example.com", "message": "Go" });
            input_required(seen, conn, json!({ "p": { "method": "elicitation/create", "params": page } }), None);
        }
        "endless" => input_required(seen, conn, json!({ "r": { "method": "roots/list" } }), Some("\"s\"")),
        "sample" => input_required(seen, conn, json!({ "s": { "method": "sampling/createMessage" } }), None),
        _ => conn.says(seen, &params["inputResponses"].to_string()),
    }
}

const TOOLS: &[&str] = &["both", "later", "page", "endless", "sample"];

#[test]
fn a_legacy_client_is_asked_and_the_call_made_again_with_its_answers() {
    let upstream = servers::modern(TOOLS, demanding);
    let place = place(&[("toy", &upstream)]);
    let session = place.editor.initialize_with("2025-11-25", json!({ "elicitation": {}, "roots": {} }));
    let mut events = session.begin(&json!("c"), "toy__both");
    let (first, second) = (events.message(), events.message());
    assert_eq!((&first["method"], &second["method"]), (&json!("elicitation/create"), &json!("roots/list")));
    assert_eq!(first["params"]["message"], "[toy] Sure?");
    session.answer(&second["id"], json!({ "roots": [] })).expect(202);
    session.answer(&first["id"], json!({ "action": "accept", "content": { "n": 1 } })).expect(202);
    let result = events.answer_to(&json!("c"))["result"].clone();
    let answers = json!({ "a\"1": { "action": "accept", "content": { "n": 1 } }, "b": { "roots": [] } });
    assert_eq!(serde_json::from_str::<Value>(text(&result)).unwrap(), answers);
    assert!(result.get("resultType").is_none());
    let calls = upstream.calls();
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0].id(), calls[1].id(), "a request of its own");
    assert!(calls[1].text().contains(r#""requestState":"st\u0041te+/=""#), "byte for byte: {}", calls[1].text());
    let able = json!({ "elicitation": { "form": {} }, "roots": {} });
    for call in &calls {
        assert_eq!(call.json()["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"], able);
    }
}

#[test]
fn rounds_that_ask_for_nothing_are_paced_and_need_no_stream() {
    let upstream = servers::modern(TOOLS, demanding);
    let place = place(&[("toy", &upstream)]);
    let session = place.editor.initialize("2025-06-18");
    let request = session.asking(&json!(1), "tools/call", json!({ "name": "toy__later", "arguments": {} }));
    let (answer, took) =
        crate::support::elapsed(|| place.editor.send(&request.with("accept", "application/json")).expect(200).result());
    assert_eq!(text(&answer), "null");
    assert!(took >= std::time::Duration::from_millis(500), "{took:?}");
    assert_eq!(upstream.calls().len(), 3);
}

#[test]
fn a_page_to_open_gets_a_name_for_a_client_that_knows_such_names() {
    let upstream = servers::modern(TOOLS, demanding);
    let place = place(&[("toy", &upstream)]);
    let session = place.editor.initialize_with("2025-11-25", json!({ "elicitation": { "url": {} } }));
    let mut events = session.begin(&json!(1), "toy__page");
    let asked = events.message();
    assert!(asked["params"]["elicitationId"].is_string(), "{asked}");
    session.answer(&asked["id"], json!({ "action": "accept" })).expect(202);
    assert_eq!(text(&events.answer_to(&json!(1))["result"]), r#"{"p":{"action":"accept"}}"#);
}

#[test]
fn a_call_whose_input_cannot_be_got_is_an_error_of_the_tool() {
    let upstream = servers::modern(TOOLS, demanding);
    let place = place_with(TestGateway::setup().set("limits.input_rounds", 3), &[("toy", &upstream)]);
    let session = place.editor.initialize_with("2025-11-25", json!({ "roots": {} }));
    let undeclared = session.call("toy__sample", json!({})).expect(200).result();
    assert_eq!(undeclared["isError"], true);
    assert!(text(&undeclared).contains("did not declare sampling"), "{undeclared}");

    let mut events = session.begin(&json!(1), "toy__endless");
    for _ in 0..3 {
        let asked = events.message();
        session.answer(&asked["id"], json!({ "roots": [] })).expect(202);
    }
    let ended = events.answer_to(&json!(1))["result"].clone();
    assert_eq!(ended["isError"], true);
    assert!(text(&ended).contains("more than 3 times"), "{ended}");

    let mut events = session.begin(&json!(2), "toy__endless");
    let asked = events.message();
    let no = json!({ "jsonrpc": "2.0", "id": asked["id"], "error": { "code": -1, "message": "User rejected" } });
    place.editor.send(&session.post(no.to_string())).expect(202);
    assert_eq!(events.answer_to(&json!(2))["result"]["isError"], true);

    let plain = session
        .asking(&json!(3), "tools/call", json!({ "name": "toy__endless", "arguments": {} }))
        .with("accept", "application/json");
    let alone = place.editor.send(&plain).expect(200).result();
    assert!(text(&alone).contains("no stream"), "{alone}");
}

#[test]
fn a_client_of_2026_07_28_gets_and_gives_everything_as_it_is() {
    let upstream = servers::modern(TOOLS, demanding);
    let place = place(&[("toy", &upstream)]);
    let able = json!({ "elicitation": {}, "roots": {}, "extensions": { "x": { "y": 1.50 } } });
    let call = |id: i64, more: Value| {
        let mut params = json!({ "name": "toy__both", "arguments": {} });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        place.editor.send(&place.editor.able(able.clone(), id, "tools/call", params)).expect(200)
    };
    let first = call(1, json!({}));
    assert!(first.text().contains(r#""requestState":"st\u0041te+/=""#), "{}", first.text());
    assert_eq!(first.result()["inputRequests"]["a\"1"]["params"]["message"], "Sure?");
    let answers = json!({ "a\"1": { "action": "decline" }, "b": { "roots": [] } });
    let done = call(2, json!({ "inputResponses": answers, "requestState": "stAte+/=" })).result();
    assert_eq!(serde_json::from_str::<Value>(text(&done)).unwrap(), answers);
    let last = upstream.last_call().json();
    assert_eq!(last["params"]["requestState"], "stAte+/=");
    assert_eq!(last["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"], able);
    until("both rounds are counted", || {
        place.admin.get("/workspaces/eng/analytics").expect(200).json()["data"][0]["calls"] == 2
    });
}
