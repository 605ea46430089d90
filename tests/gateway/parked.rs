//! Legacy servers that ask something in the middle of a call, and clients of 2026-07-28: the call waits, the client gets
//! `input_required`, and brings the answer in another request.

use serde_json::{Value, json};

use crate::support::{
    Conn, Place, Response, Seen, TestGateway, Upstream,
    asking::{self, Answers, form, says, text},
    place, place_with,
    wait::DEADLINE,
};

/// Asks as many things as the tool's name says, one after the other, and says what was answered.
fn curious(seen: &Seen, conn: &mut Conn, answers: &Answers) {
    conn.begin_events();
    let mut said = Vec::new();
    let call = seen.id();
    let questions = if seen.tool() == "twice" { 2 } else { 1 };
    for at in 0..questions {
        let id = json!(format!("{call}/{at}"));
        let answer = answers.ask(conn, id, "elicitation/create", form(&format!("Question {at}?")));
        said.push(answer["result"].to_string());
    }
    says(seen, conn, &said.join(" "));
}

fn toy(setup: crate::support::process::Setup) -> (Place, Upstream) {
    let (upstream, _) = asking::legacy(&["once", "twice"], curious);
    let place = place_with(setup, &[("toy", &upstream)]);
    place.editor.tools();
    (place, upstream)
}

/// A call of a client that can be asked; `more` are further parameters.
fn call(place: &Place, id: i64, tool: &str, more: Value) -> Response {
    let mut params = json!({ "name": format!("toy__{tool}"), "arguments": { "b": 1, "a": [2] } });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    place.editor.send(&place.editor.able(json!({ "elicitation": {} }), id, "tools/call", params))
}

/// The key, question and state of an `input_required`.
fn asked(answer: &Response) -> (String, Value, Value) {
    let result = answer.result();
    assert_eq!((answer.status, &result["resultType"]), (200, &json!("input_required")), "{result}");
    let (key, question) = result["inputRequests"].as_object().unwrap().iter().next().unwrap();
    (key.clone(), question.clone(), result["requestState"].clone())
}

fn accept(key: &str, state: &Value) -> Value {
    let mut responses = json!({});
    responses[key] = json!({ "action": "accept", "content": { "ok": true } });
    json!({ "inputResponses": responses, "requestState": state })
}

#[test]
fn a_client_of_2026_07_28_is_asked_by_a_result_and_answers_with_the_call() {
    let (place, upstream) = toy(TestGateway::setup());
    let first = call(&place, 1, "once", json!({}));
    let (key, question, state) = asked(&first);
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "[toy] Question 0?");
    assert_eq!(first.result()["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "aerostack");
    let done = call(&place, 2, "once", accept(&key, &state));
    assert_eq!(done.json()["id"], 2);
    let result = done.result();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(text(&result), r#"{"action":"accept","content":{"ok":true}}"#);
    assert_eq!(upstream.calls().len(), 1, "one call at the server");
    assert!(!upstream.last_call().text().contains("requestState"));
    // What has been answered is over.
    assert_eq!(call(&place, 3, "once", accept(&key, &state)).code(), -32602);
    let counted = || place.admin.get("/workspaces/eng/analytics").expect(200).json()["data"][0]["calls"].clone();
    crate::support::until("the call is counted once", || counted() == 1);
}

#[test]
fn a_server_may_ask_again_and_wrong_answers_are_asked_again() {
    let (place, _) = toy(TestGateway::setup());
    let (key, _, state) = asked(&call(&place, 1, "twice", json!({})));
    // Nothing, something else, and something that is no answer.
    for wrong in
        [json!({}), json!({ "other": { "action": "accept" } }), json!({ key.clone(): { "action": "perhaps" } })]
    {
        let again = call(&place, 2, "twice", json!({ "inputResponses": wrong, "requestState": state }));
        let (same, question, _) = asked(&again);
        assert_eq!((same, &question["params"]["message"]), (key.clone(), &json!("[toy] Question 0?")));
    }
    let second = call(&place, 3, "twice", accept(&key, &state));
    let (next, question, newer) = asked(&second);
    assert_eq!(question["params"]["message"], "[toy] Question 1?");
    let mut decline = accept(&next, &newer);
    decline["inputResponses"][&next] = json!({ "action": "decline" });
    let done = call(&place, 4, "twice", decline).result();
    assert_eq!(text(&done), r#"{"action":"accept","content":{"ok":true}} {"action":"decline"}"#);
}

#[test]
fn a_state_is_good_for_its_token_and_its_request_only() {
    let (place, _) = toy(TestGateway::setup());
    let (key, _, state) = asked(&call(&place, 1, "once", json!({})));
    let refused = |answer: Response| assert_eq!((answer.status, answer.code()), (200, -32602), "{}", answer.text());
    let mut other = accept(&key, &state);
    other["arguments"] = json!({ "b": 2 });
    refused(call(&place, 2, "once", other));
    refused(call(&place, 2, "twice", accept(&key, &state)));
    let text = state.as_str().unwrap();
    for forged in [format!("{text}A"), text[1..].to_owned(), "nonsense".into(), String::new()] {
        refused(call(&place, 2, "once", accept(&key, &json!(forged))));
    }
    let thief = place.gateway.editor("eng", &place.admin.token("eng", "Mallory").raw);
    let mut params = json!({ "name": "toy__once", "arguments": { "b": 1, "a": [2] } });
    params.as_object_mut().unwrap().extend(accept(&key, &state).as_object().unwrap().clone());
    refused(thief.send(&thief.able(json!({ "elicitation": {} }), 2, "tools/call", params)));
    // All that has not touched the call: members in another order are the same request.
    let mut same = accept(&key, &state);
    same["arguments"] = json!({ "a": [2], "b": 1 });
    call(&place, 3, "once", same).result();
}

#[test]
fn a_client_that_does_not_come_back_is_not_waited_for_for_ever() {
    let (place, upstream) = toy(TestGateway::setup().set("limits.question_seconds", 1));
    let (key, _, state) = asked(&call(&place, 1, "once", json!({})));
    // The server's question is answered, and its call cancelled.
    upstream.until_noted("cancelled", DEADLINE);
    upstream.until_seen("the question is cancelled", |seen| {
        seen.iter().any(|one| one.json()["result"]["action"] == "cancel")
    });
    assert_eq!(call(&place, 2, "once", accept(&key, &state)).code(), -32602);
}

#[test]
fn a_revoked_token_ends_its_waiting_calls_at_once() {
    let (place, upstream) = toy(TestGateway::setup());
    asked(&call(&place, 1, "once", json!({})));
    place.admin.revoke("eng", &place.token.id).expect(200);
    upstream.until_noted("cancelled", std::time::Duration::from_secs(1));
}

#[test]
fn only_so_many_calls_wait_and_the_next_is_not_asked() {
    let (place, _) = toy(TestGateway::setup().set("limits.parked_calls_per_token", 1));
    let (key, _, state) = asked(&call(&place, 1, "once", json!({})));
    let refused = call(&place, 2, "once", json!({})).result();
    assert_eq!(text(&refused), "null", "its server was told that nobody can be asked");
    call(&place, 3, "once", accept(&key, &state)).result();
    asked(&call(&place, 4, "once", json!({})));
}

#[test]
fn a_client_that_leaves_while_its_call_goes_on_cancels_it() {
    let (upstream, _) = asking::legacy(&["once"], |seen, conn, answers| {
        conn.begin_events();
        answers.ask(conn, seen.id(), "elicitation/create", form("Sure?"));
        conn.note("answered");
        conn.until_gone();
    });
    let place = place(&[("toy", &upstream)]);
    let (key, _, state) = asked(&call(&place, 1, "once", json!({})));
    let mut params = json!({ "name": "toy__once", "arguments": { "b": 1, "a": [2] } });
    params.as_object_mut().unwrap().extend(accept(&key, &state).as_object().unwrap().clone());
    let request = place.editor.able(json!({ "elicitation": {} }), 2, "tools/call", params);
    let mut stream = std::net::TcpStream::connect(place.gateway.address).unwrap();
    std::io::Write::write_all(&mut stream, &request.bytes(place.gateway.address)).unwrap();
    upstream.until_noted("answered", DEADLINE);
    drop(stream);
    upstream.until_noted("cancelled", DEADLINE);
}

#[test]
fn pages_that_a_legacy_server_wants_opened_are_asked_for_and_the_call_is_made_again() {
    let opened = std::sync::atomic::AtomicBool::new(false);
    let (upstream, _) = asking::legacy(&["pay"], move |seen, conn, _| {
        if opened.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return conn.says(seen, "paid");
        }
        let data = json!({ "elicitations": [
            { "mode": "url", "elicitationId": "e1", "url": "https://pay.example", "message": "Pay" }] });
        let error = json!({ "code": -32042, "message": "URL elicitation required", "data": data });
        conn.json(200, json!({ "jsonrpc": "2.0", "id": seen.id(), "error": error }).to_string());
    });
    let place = place(&[("toy", &upstream)]);
    let pay = |id: i64, able: Value, more: Value| {
        let mut params = json!({ "name": "toy__pay", "arguments": {} });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        place.editor.send(&place.editor.able(able, id, "tools/call", params))
    };
    let able = json!({ "elicitation": { "url": {} } });
    let (key, question, state) = asked(&pay(1, able.clone(), json!({})));
    let params = json!({ "mode": "url", "url": "https://pay.example", "message": "[toy] Pay" });
    assert_eq!(question, json!({ "method": "elicitation/create", "params": params }));
    let declined = json!({ "inputResponses": { key.clone(): { "action": "decline" } }, "requestState": state });
    assert_eq!(pay(2, able.clone(), declined).result()["isError"], true);
    assert_eq!(upstream.calls().len(), 1);
    assert_eq!(text(&pay(3, able, accept(&key, &state)).result()), "paid");
    assert!(!upstream.last_call().text().contains("inputResponses"));
}
