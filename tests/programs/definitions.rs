//! Who may say what runs on the gateway's machine: files there, and the API only as far as the operator allows it.

use serde_json::json;

use crate::support::{
    TestGateway, place_with,
    programs::{child, definition, programs, write},
    until,
};

#[test]
fn the_api_defines_no_programs_unless_the_operator_allows_it() {
    let place = place_with(TestGateway::setup(), &[]);
    let command = child().display().to_string();
    let refused = place.admin.post("/mcp-servers", json!({ "slug": "evil", "command": command })).expect(403);
    assert!(refused.text().contains("aerostack mcp add evil -- COMMAND"), "{}", refused.text());
    assert!(place.gateway.family().is_empty());
    place.admin.get("/mcp-servers/evil").expect(404);
}

#[test]
fn an_allowed_api_defines_only_listed_commands_that_nothing_steers() {
    let command = child().display().to_string();
    let setup = TestGateway::setup().set("stdio.allow_api", true).set("stdio.allow_commands", &command);
    let place = place_with(setup, &[]);
    let add = |body: serde_json::Value| place.admin.post("/mcp-servers", body);
    for body in [
        json!({ "slug": "a", "command": "sh", "args": ["-c", "id"] }),
        json!({ "slug": "a", "command": "/bin/sh" }),
        json!({ "slug": "a", "command": "stdio_child" }),
        json!({ "slug": "a", "command": command, "env": { "LD_PRELOAD": "/tmp/x.so" } }),
        json!({ "slug": "a", "command": command, "env": { "PATH": "/tmp" } }),
        json!({ "slug": "a", "command": command, "url": "https://x.example" }),
        json!({ "slug": "a", "url": "https://x.example", "args": ["x"] }),
    ] {
        add(body.clone()).expect(422);
    }
    add(json!({ "slug": "good", "command": command, "args": ["modern"], "env": { "COLOUR": "blue" } })).expect(201);
    place.admin.install("eng", "good");
    until("listed", || place.editor.tools().contains(&"good__env".to_owned()));
    let text = place.editor.call("good__env", json!({})).expect(200).text();
    assert!(text.contains("COLOUR=blue"), "{text}");
    place.admin.delete("/workspaces/eng/servers/good").expect(200);
    place.admin.delete("/mcp-servers/good").expect(200);
    until("nothing is left", || place.gateway.family().is_empty());
}

#[test]
fn a_program_whose_file_is_gone_or_says_otherwise_is_not_started() {
    let place = programs(TestGateway::setup().set("stdio.idle_seconds", 1), &[("toy", &[])]);
    until("listed", || place.editor.tools().contains(&"toy__pid".to_owned()));
    until("it was ended", || place.gateway.family().is_empty());
    write(&place.gateway.setup, "toy", &definition(&["both"]));
    let refused = place.editor.call("toy__pid", json!({})).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("was changed"), "{refused}");
    std::fs::remove_file(place.gateway.setup.data_dir().join("servers.d/toy.toml")).unwrap();
    let refused = place.editor.call("toy__pid", json!({})).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("is gone"), "{refused}");
    let done = place.admin.post("/mcp-servers:reload", json!({})).expect(200).json();
    assert!(done["problems"][0].as_str().unwrap().contains("toy.toml is gone"), "{done}");
    place.admin.delete("/workspaces/eng/servers/toy").expect(200);
    let done = place.admin.post("/mcp-servers:reload", json!({})).expect(200).json();
    assert_eq!(done["removed"], json!(["toy"]));
    assert!(place.gateway.family().is_empty());
}

#[test]
fn definitions_outlive_a_restart_and_new_files_count_from_the_next_start() {
    let mut place = programs(TestGateway::setup(), &[("toy", &[])]);
    write(&place.gateway.setup, "later", &definition(&["modern"]));
    write(&place.gateway.setup, "wrong", "comand = \"x\"\n");
    place.gateway.restart();
    let admin = place.gateway.admin();
    admin.get("/mcp-servers/later").expect(200);
    admin.get("/mcp-servers/wrong").expect(404);
    assert!(place.gateway.log().contains("wrong.toml"), "the log names the file");
    until("the old one answers", || place.editor.call("toy__pid", json!({})).json().get("result").is_some());
}

#[test]
fn what_a_removed_servers_program_kept_is_deleted_with_the_next_start() {
    let mut place = programs(TestGateway::setup(), &[("toy", &[]), ("other", &[])]);
    until("running", || place.gateway.family().len() == 6);
    let children = place.gateway.setup.data_dir().join("children");
    let folders = || std::fs::read_dir(&children).unwrap().flatten().count();
    std::fs::create_dir(children.join("notes")).unwrap();
    assert_eq!(folders(), 3);
    place.admin.delete("/workspaces/eng/servers/toy").expect(200);
    place.admin.delete("/mcp-servers/toy").expect(200);
    place.gateway.restart();
    until("only what is in use is left", || folders() == 2 && children.join("notes").exists());
    place.editor.call("other__pid", json!({})).expect(200).result();
}

#[test]
fn the_file_of_a_server_that_was_not_removed_stays() {
    let place = programs(TestGateway::setup(), &[("toy", &[])]);
    place.admin.delete("/workspaces/eng/servers/toy").expect(200);
    let file = place.gateway.setup.data_dir().join("servers.d/toy.toml");
    place.gateway.schema("CREATE TRIGGER refuse BEFORE DELETE ON mcp_servers BEGIN SELECT RAISE(FAIL, 'no'); END");
    let refused = place.admin.delete("/mcp-servers/toy");
    assert!(refused.status >= 500, "{}", refused.text());
    assert!(file.exists());
    place.admin.get("/mcp-servers/toy").expect(200);
    place.gateway.schema("DROP TRIGGER refuse");
    place.admin.delete("/mcp-servers/toy").expect(200);
    assert!(!file.exists());
}
