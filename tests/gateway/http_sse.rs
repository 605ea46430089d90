//! HTTP+SSE of 2024-11-05: what is posted to the endpoint is answered on the stream.

use serde_json::{Value, json};

use crate::support::{Place, Request, place, servers};

fn toy() -> Place {
    place(&[("toy", &servers::plain(&["echo"]))])
}

#[test]
fn a_client_of_2024_11_05_lists_and_calls_tools() {
    let place = toy();
    for path in ["/ws/eng", "/ws/eng/sse", "/ws/eng/mcp"] {
        let mut client = place.editor.at(path).http_sse();
        assert!(client.endpoint.starts_with("/ws/eng/messages?sessionId="), "{}", client.endpoint);
        let params = json!({ "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": { "name": "old", "version": "1" } });
        let hello = client.ask(&json!(0), "initialize", params);
        assert_eq!(hello["result"]["protocolVersion"], "2024-11-05");
        client.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).expect(202);
        assert_eq!(client.ask(&json!("p"), "ping", json!({}))["result"], json!({}));
        let list = client.ask(&json!(2), "tools/list", json!({}));
        assert_eq!(list["result"]["tools"][0]["name"], "toy__echo");
        let answer = client.ask(&json!(3), "tools/call", json!({ "name": "toy__echo", "arguments": {} }));
        assert_eq!(answer["result"]["content"][0]["text"], "done");
        let refused = client.ask(&json!(4), "tools/call", json!({ "name": "toy__no" }));
        assert_eq!(refused["error"]["code"], -32602);
        assert_eq!(client.ask(&json!(5), "no/such", json!({}))["error"]["code"], -32601);
    }
}

#[test]
fn the_stream_has_the_headers_that_keep_proxies_out() {
    let place = toy();
    let client = place.editor.http_sse();
    assert_eq!(client.events.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(client.events.header("x-accel-buffering"), Some("no"));
}

#[test]
fn posts_need_a_stream_that_is_open_and_ones_own() {
    let place = toy();
    let client = place.editor.http_sse();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let post =
        |path: &str, token: &str| Request::post(path, ping.to_string()).bearer(token).send(place.gateway.address);
    let mine = &place.token.raw;
    post("/ws/eng/messages", mine).expect(400);
    assert_eq!(post("/ws/eng/messages?sessionId=nobody", mine).expect(404).code(), -32001);
    let other = place.admin.token("eng", "Bob").raw;
    post(&client.endpoint, &other).expect(404);
    post(&client.endpoint, "mwt_wrong").expect(401);
    post(&client.endpoint, mine).expect(202);
    for body in ["", "{", "[]", "5", r#"{"jsonrpc":"2.0"}"#] {
        Request::post(&client.endpoint, body).bearer(mine).send(place.gateway.address).expect(400);
    }
    let get = Request::get(&client.endpoint).bearer(mine).send(place.gateway.address).expect(405);
    assert_eq!(get.header("allow"), Some("POST"));

    let endpoint = client.endpoint.clone();
    client.events.leave();
    crate::support::until("the stream's end is noticed", || post(&endpoint, mine).status == 404);
}

#[test]
fn answers_come_as_they_are_ready_and_keep_their_ids() {
    let place = toy();
    place.editor.tools();
    let mut client = place.editor.http_sse();
    let ids: Vec<Value> = vec![json!(1), json!("1"), json!(-7), json!("ü"), json!(9_007_199_254_740_993_u64)];
    for id in &ids {
        client
            .post(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": "toy__echo", "arguments": {} } }))
            .expect(202);
    }
    let mut answered: Vec<Value> = ids.iter().map(|_| client.events.message()["id"].clone()).collect();
    for id in &ids {
        let at = answered.iter().position(|one| one == id).unwrap_or_else(|| panic!("no answer to {id}"));
        answered.remove(at);
    }
}
