//! What the servers of a workspace list, merged: tools, prompts, resources and templates, for clients of either era.

use serde_json::{Value, json};

use crate::support::{Editor, Library, Place, Response, TestGateway, Upstream, place, place_with, until};

const LISTS: [(&str, &str, &str); 4] = [
    ("tools/list", "tools", "name"),
    ("prompts/list", "prompts", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
];

fn ask(editor: &Editor, method: &str, params: Value) -> Response {
    editor.send(&editor.modern(&json!(1), method, params))
}

/// What names the items of a result's list.
fn names(result: &Value, member: &str, key: &str) -> Vec<String> {
    let items = result[member].as_array().unwrap_or_else(|| panic!("no {member} in {result}"));
    items.iter().map(|item| item[key].as_str().expect("a name").to_owned()).collect()
}

fn tool(name: &str) -> String {
    json!({ "name": name, "inputSchema": { "type": "object" } }).to_string()
}

/// A shelf with one thing of everything.
fn shelf(scheme: &str) -> Library {
    Library::new()
        .having("tools", &[&tool("find")])
        .having("prompts", &[r#"{"name":"greet","x":1e-400,"arguments":[{"name":"who","required":true}]}"#])
        .having("resources", &[&format!(r#"{{"uri":"{scheme}://a","name":"a","size":9007199254740993}}"#)])
        .having("resourceTemplates", &[&format!(r#"{{"uriTemplate":"{scheme}://of/{{id}}","name":"t"}}"#)])
}

#[test]
fn every_list_is_merged_in_order_and_answered_in_both_eras() {
    let (new, old) = (shelf("new").ttl_ms(5000), shelf("old"));
    let place = place(&[("fresh", &new.modern()), ("old", &old.legacy())]);
    let expected = [
        ["fresh__find", "old__find"],
        ["fresh__greet", "old__greet"],
        ["new://a", "old://a"],
        ["new://of/{id}", "old://of/{id}"],
    ];
    let session = place.editor.initialize("2025-11-25");
    for ((method, member, key), expected) in LISTS.into_iter().zip(expected) {
        let answer = ask(&place.editor, method, json!({})).expect(200).result();
        assert_eq!(names(&answer, member, key), expected, "{method}");
        assert_eq!((&answer["resultType"], &answer["cacheScope"]), (&json!("complete"), &json!("private")), "{answer}");
        // One part is of an older revision, which has no such promise.
        assert_eq!(answer["ttlMs"], 0);
        assert_eq!(answer["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "aerostack");
        assert_eq!(answer.get("nextCursor"), None);

        let answer = session.request(method, json!({})).expect(200).result();
        assert_eq!(names(&answer, member, key), expected, "{method}");
        assert_eq!(answer.as_object().unwrap().len(), 1, "nothing of 2026-07-28: {answer}");
    }
}

#[test]
fn unknown_members_of_items_and_large_numbers_arrive_as_they_were_sent() {
    let place = place(&[("fresh", &shelf("new").modern())]);
    let prompts = ask(&place.editor, "prompts/list", json!({})).expect(200).text();
    assert!(
        prompts.contains(r#"{"name":"fresh__greet","x":1e-400,"arguments":[{"name":"who","required":true}]}"#),
        "{prompts}"
    );
    let resources = ask(&place.editor, "resources/list", json!({})).expect(200).text();
    assert!(resources.contains(r#"[{"uri":"new://a","name":"a","size":9007199254740993}]"#), "{resources}");
}

#[test]
fn a_list_may_be_relied_on_as_long_as_every_server_lets_it() {
    let (long, short) = (shelf("a").ttl_ms(60_000), shelf("b").ttl_ms(1500));
    let without = Library::new().capabilities(json!({ "tools": {} }));
    let place = place(&[("long", &long.modern()), ("short", &short.modern()), ("without", &without.modern())]);
    assert_eq!(ask(&place.editor, "prompts/list", json!({})).expect(200).result()["ttlMs"], 1500);
    assert_eq!(ask(&place.editor, "tools/list", json!({})).expect(200).result()["ttlMs"], 0);
}

#[test]
fn equal_uris_of_two_servers_are_shown_apart_and_web_addresses_stay() {
    let library = |ui: &str| {
        let app = json!({ "name": "app", "inputSchema": { "type": "object" }, "outputSchema": { "type": "object" },
            "_meta": { "ui": { "resourceUri": ui, "visibility": ["model"] }, "ui/resourceUri": ui, "other": 1 } });
        Library::new()
            .having("tools", &[&app.to_string()])
            .having(
                "resources",
                &[
                    r#"{"uri":"file:///same","name":"same"}"#,
                    r#"{"uri":"ui://view/main","name":"view"}"#,
                    r#"{"uri":"https://example.com/page","name":"page"}"#,
                ],
            )
            .having("resourceTemplates", &[r#"{"uriTemplate":"db://{table}","name":"rows"}"#])
    };
    let place =
        place(&[("one", &library("ui://view/main").modern()), ("two-mcp", &library("ui://view/main").legacy())]);
    let resources = ask(&place.editor, "resources/list", json!({})).expect(200).result();
    assert_eq!(
        names(&resources, "resources", "uri"),
        [
            "file:///same",
            "ui://view/main",
            "https://example.com/page",
            "two-mcp+file:///same",
            "ui://two-mcp/view/main",
        ]
    );
    let templates = ask(&place.editor, "resources/templates/list", json!({})).expect(200).result();
    assert_eq!(names(&templates, "resourceTemplates", "uriTemplate"), ["db://{table}", "two-mcp+db://{table}"]);
    // A tool's user interface is named as its resource is.
    let tools = place.editor.list().expect(200).result();
    assert_eq!(tools["tools"][0]["_meta"]["ui"]["resourceUri"], "ui://view/main");
    let meta = &tools["tools"][1]["_meta"];
    assert_eq!(meta["ui"], json!({ "resourceUri": "ui://two-mcp/view/main", "visibility": ["model"] }));
    assert_eq!((&meta["ui/resourceUri"], &meta["other"]), (&json!("ui://two-mcp/view/main"), &json!(1)));
}

#[test]
fn uris_in_answers_are_those_that_lead_back_to_their_server() {
    let uri = "file:///same";
    let blocks = json!([{ "type": "resource_link", "uri": uri, "name": "same" },
        { "type": "resource", "resource": { "uri": uri, "text": uri } }, { "type": "text", "text": uri }]);
    let library = || {
        Library::new()
            .having("tools", &[&tool("find")])
            .having("prompts", &[r#"{"name":"greet"}"#])
            .having("resources", &[&json!({ "uri": uri, "name": "same" }).to_string()])
            .answering(
                "resources/read",
                &json!({ "contents": [{ "uri": uri, "text": uri }], "resultType": "complete" }),
            )
            .answering("tools/call", &json!({ "content": blocks, "structuredContent": { "uri": uri } }))
            .answering("prompts/get", &json!({ "messages": [{ "role": "user", "content": blocks[1] }] }))
    };
    let (one, two) = (library().modern(), library().modern());
    let place = place(&[("one", &one), ("two", &two)]);
    for (server, upstream, shown) in [("one", &one, "file:///same"), ("two", &two, "two+file:///same")] {
        let read = place.editor.modern(&json!(1), "resources/read", json!({ "uri": shown }));
        let read = place.editor.send(&read).expect(200).result();
        assert_eq!(read["contents"], json!([{ "uri": shown, "text": uri }]), "{server}");
        let asked = upstream.of("resources/read").pop().unwrap();
        assert_eq!((&asked.json()["params"]["uri"], asked.header("mcp-name")), (&json!(uri), Some(uri)));
        let called = place.editor.call(&format!("{server}__find"), json!({})).expect(200).result();
        assert_eq!(
            (&called["content"][0]["uri"], &called["content"][1]["resource"]["uri"]),
            (&json!(shown), &json!(shown))
        );
        assert_eq!(called["content"][2]["text"], uri);
        assert_eq!(called["structuredContent"], json!({ "uri": uri }), "what is not known to be a resource stays");
        let prompt =
            ask(&place.editor, "prompts/get", json!({ "name": format!("{server}__greet") })).expect(200).result();
        assert_eq!(prompt["messages"][0]["content"]["resource"], json!({ "uri": shown, "text": uri }), "{server}");
    }
}

#[test]
fn long_lists_come_in_pages_with_cursors_that_say_nothing() {
    let prompts: Vec<String> = (0..7).map(|number| format!(r#"{{"name":"p{number}"}}"#)).collect();
    let library = Library::new().having("prompts", &prompts.iter().map(String::as_str).collect::<Vec<_>>());
    let setup = TestGateway::setup().set("limits.list_page", 3);
    let mut place = place_with(setup, &[("lib", &library.modern())]);
    let session = place.editor.initialize("2025-11-25");
    let walk = |list: &dyn Fn(Value) -> Value| {
        let (mut seen, mut cursors, mut params) = (Vec::new(), Vec::new(), json!({}));
        loop {
            let page = list(params);
            seen.push(names(&page, "prompts", "name"));
            let Some(next) = page["nextCursor"].as_str() else { return (seen.concat(), cursors) };
            cursors.push(next.to_owned());
            params = json!({ "cursor": next });
        }
    };
    let expected: Vec<String> = (0..7).map(|number| format!("lib__p{number}")).collect();
    let (seen, cursors) = walk(&|params| ask(&place.editor, "prompts/list", params).expect(200).result());
    assert_eq!((seen, cursors.len()), (expected.clone(), 2));
    let (seen, old) = walk(&|params| session.request("prompts/list", params).expect(200).result());
    assert_eq!((seen, old.len()), (expected, 2));
    let first = cursors.first().unwrap().clone();
    assert!(!first.contains("lib") && ask(&place.editor, "prompts/list", json!({ "cursor": null })).status == 200);

    // Of another list, another token, or nobody: all alike.
    let other = place.gateway.editor("eng", &place.admin.token("eng", "Bob").raw);
    let refused = |editor: &Editor, method: &str, cursor: &Value| {
        let answer = ask(editor, method, json!({ "cursor": cursor }));
        assert_eq!((answer.status, answer.code()), (200, -32602), "{method} {cursor}: {}", answer.text());
    };
    refused(&place.editor, "tools/list", &json!(first));
    refused(&other, "prompts/list", &json!(first));
    for cursor in [json!(""), json!("3"), json!(3), json!({}), json!(format!("{first}A"))] {
        refused(&place.editor, "prompts/list", &cursor);
    }
    // It outlives a restart, but not a change of the list.
    place.gateway.restart();
    until("the list is there again", || {
        ask(&place.editor, "prompts/list", json!({})).result()["prompts"].as_array().is_some_and(|all| all.len() == 3)
    });
    let page = ask(&place.editor, "prompts/list", json!({ "cursor": first })).expect(200).result();
    assert_eq!(names(&page, "prompts", "name"), ["lib__p3", "lib__p4", "lib__p5"]);
    library.put("prompts", &[r#"{"name":"q"}"#]);
    library.announce("prompts");
    until("the list has changed", || {
        ask(&place.editor, "prompts/list", json!({ "cursor": first })).status != 500
            && ask(&place.editor, "prompts/list", json!({})).text().contains("lib__q")
    });
    refused(&place.editor, "prompts/list", &json!(first));
}

#[test]
fn capabilities_are_the_union_and_what_no_server_has_is_no_method() {
    let tools_only = Library::new().capabilities(json!({ "tools": {} })).instructions("Use with care.");
    let place = place(&[("plain", &tools_only.modern())]);
    let session = place.editor.initialize("2025-06-18");
    assert_eq!(session.initialized["capabilities"], json!({ "tools": { "listChanged": true } }));
    for (method, ..) in LISTS.into_iter().skip(1) {
        assert_eq!(ask(&place.editor, method, json!({})).expect(404).code(), -32601, "{method}");
        assert_eq!(session.request(method, json!({})).expect(200).code(), -32601, "{method}");
    }

    let modern = Library::new().instructions("Ask the modern one first.").capabilities(json!({
        "tools": {}, "prompts": {}, "completions": {},
        "extensions": { "io.modelcontextprotocol/ui": {}, "io.modelcontextprotocol/tasks": {} } }));
    let legacy = Library::new().capabilities(json!({
        "tools": {}, "resources": { "subscribe": true }, "logging": {}, "tasks": { "list": {}, "cancel": {} } }));
    place.admin.add("eng", "modern", &modern.modern());
    place.admin.add("eng", "legacy", &legacy.legacy());
    let session = place.editor.initialize("2025-11-25");
    let both = json!({ "tools": { "listChanged": true }, "prompts": { "listChanged": true }, "completions": {},
        "resources": { "subscribe": true, "listChanged": true }, "logging": {} });
    let mut expected = both.clone();
    // Whose tasks a server lists nobody can tell, so that is not offered.
    expected["tasks"] = json!({ "cancel": {} });
    expected["extensions"] = json!({ "io.modelcontextprotocol/ui": {} });
    assert_eq!(session.initialized["capabilities"], expected);
    let discovered = ask(&place.editor, "server/discover", json!({})).expect(200).result();
    let mut expected = both;
    expected["extensions"] = json!({ "io.modelcontextprotocol/ui": {}, "io.modelcontextprotocol/tasks": {} });
    assert_eq!(discovered["capabilities"], expected);
    assert_eq!(ask(&place.editor, "prompts/list", json!({})).expect(200).result()["prompts"], json!([]));

    let instructions = discovered["instructions"].as_str().unwrap();
    assert!(instructions.contains("## plain\nUse with care."), "{instructions}");
    assert!(instructions.contains("## modern\nAsk the modern one first."), "{instructions}");
    assert_eq!(session.initialized["instructions"].as_str(), Some(instructions));
}

#[test]
fn instructions_of_many_servers_share_two_kilobytes() {
    let place = place(&[]);
    let libraries: Vec<Library> = (0..4)
        .map(|number| {
            Library::new().instructions(&if number == 0 { "é".repeat(3000) } else { format!("short {number}") })
        })
        .collect();
    for (number, library) in libraries.iter().enumerate() {
        place.admin.add("eng", &format!("s{number}"), &library.modern());
    }
    let text = ask(&place.editor, "server/discover", json!({})).expect(200).result()["instructions"].clone();
    let text = text.as_str().unwrap();
    assert!(text.len() < 2048, "{}", text.len());
    for part in ["## s0\néé", "## s1\nshort 1", "## s2\nshort 2", "## s3\nshort 3"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_dead_server_hides_no_other_and_its_last_good_copy_stays() {
    let (failing, good) = (shelf("failing"), shelf("good"));
    let place: Place = place(&[("failing", &failing.modern()), ("good", &good.modern())]);
    for (method, ..) in LISTS {
        failing.fail(method, 503);
    }
    good.put("prompts", &[r#"{"name":"greet"}"#, r#"{"name":"leave"}"#]);
    good.announce("prompts");
    failing.announce("prompts");
    until("the change is there", || {
        let result = ask(&place.editor, "prompts/list", json!({})).expect(200).result();
        names(&result, "prompts", "name") == ["failing__greet", "good__greet", "good__leave"]
    });

    // One that never answered a list is no reason for a refusal, and hides nothing either.
    let silent = Upstream::start(|_, conn| conn.reply(503, &[], ""));
    place.admin.server("silent", &silent.url());
    place.admin.install("eng", "silent");
    let result = ask(&place.editor, "resources/list", json!({})).expect(200).result();
    assert_eq!(names(&result, "resources", "uri"), ["failing://a", "good://a"]);
}

#[test]
fn one_list_that_fails_does_not_hide_the_others_of_its_server() {
    let library = shelf("lib");
    library.fail("prompts/list", 500);
    let place = place(&[("lib", &library.modern())]);
    assert_eq!(place.editor.tools(), ["lib__find"]);
    assert_eq!(ask(&place.editor, "prompts/list", json!({})).expect(200).result()["prompts"], json!([]));
    let resources = ask(&place.editor, "resources/list", json!({})).expect(200).result();
    assert_eq!(names(&resources, "resources", "uri"), ["lib://a"]);
}

fn tool_with(name: &str, more: Value) -> String {
    let mut tool = json!({ "name": name, "inputSchema": { "type": "object" } });
    tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    tool.to_string()
}

#[test]
fn older_clients_see_every_output_schema_as_that_of_an_object_and_no_foreign_tasks() {
    let list = json!({ "type": "array", "items": { "$ref": "#/$defs/n" }, "$defs": { "n": { "type": "integer" } } });
    let library = Library::new().having(
        "tools",
        &[
            &tool_with("list", json!({ "outputSchema": list, "execution": { "taskSupport": "optional" } })),
            &tool_with("object", json!({ "outputSchema": { "type": "object" }, "execution": { "x": 1 }, "y": 2 })),
            &tool_with("any", json!({ "outputSchema": true })),
        ],
    );
    let place = place(&[("lib", &library.modern())]);
    let session = place.editor.initialize("2025-11-25");
    let tools = session.request("tools/list", json!({})).expect(200).result()["tools"].clone();
    assert_eq!(
        tools[0]["outputSchema"],
        json!({ "type": "object", "properties": { "result": list },
        "required": ["result"], "$defs": { "n": { "type": "integer" } } })
    );
    assert_eq!(tools[1]["outputSchema"], json!({ "type": "object" }));
    assert_eq!(tools[2]["outputSchema"]["properties"], json!({ "result": true }));
    for tool in tools.as_array().unwrap() {
        assert_eq!(tool.get("execution"), None, "{tool}");
    }
    assert_eq!(tools[1]["y"], 2);
    let same_era = place.editor.list().expect(200).result()["tools"].clone();
    assert_eq!(same_era[0]["outputSchema"], list);
    assert_eq!(same_era[0]["execution"], json!({ "taskSupport": "optional" }));
}

#[test]
fn clients_of_2026_07_28_see_no_tools_that_run_only_as_tasks_of_2025() {
    let library = Library::new().having(
        "tools",
        &[
            &tool_with("only-as-task", json!({ "execution": { "taskSupport": "required" } })),
            &tool_with("either", json!({ "execution": { "taskSupport": "optional" }, "z": 1 })),
            &tool_with("more", json!({ "execution": { "later": 1, "taskSupport": "forbidden" } })),
        ],
    );
    let place = place(&[("lib", &library.legacy())]);
    let tools = place.editor.list().expect(200).result()["tools"].clone();
    assert_eq!(
        tools,
        json!([
            { "name": "lib__either", "inputSchema": { "type": "object" }, "z": 1 },
            { "name": "lib__more", "inputSchema": { "type": "object" }, "execution": { "later": 1 } },
        ])
    );
    let session = place.editor.initialize("2025-11-25");
    let tools = session.request("tools/list", json!({})).expect(200).result()["tools"].clone();
    assert_eq!(tools[0]["execution"], json!({ "taskSupport": "required" }));
    assert_eq!(tools.as_array().unwrap().len(), 3);
}

#[test]
fn a_change_of_each_list_is_told_to_those_who_asked_for_it() {
    let library = shelf("lib");
    let place = place(&[("lib", &library.modern())]);
    let listen = |id: u8, notifications: Value| {
        let request =
            place.editor.modern(&json!(id), "subscriptions/listen", json!({ "notifications": notifications }));
        let mut events = request.open(place.gateway.address).events();
        assert_eq!(events.message()["params"]["notifications"], notifications);
        events
    };
    let mut prompts = listen(1, json!({ "promptsListChanged": true }));
    let mut resources = listen(2, json!({ "resourcesListChanged": true }));
    let session = place.editor.initialize("2025-11-25");
    let mut stream = session.stream();
    until("the gateway listens", || library.listeners() == 1);

    library.put("prompts", &[]);
    library.announce("prompts");
    assert_eq!(prompts.message()["method"], "notifications/prompts/list_changed");
    assert_eq!(stream.message()["method"], "notifications/prompts/list_changed");
    library.put("resourceTemplates", &[]);
    library.announce("resources");
    let told = resources.message();
    assert_eq!(told["method"], "notifications/resources/list_changed", "the other list was not its business");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 2);
    assert_eq!(stream.message()["method"], "notifications/resources/list_changed");
}
