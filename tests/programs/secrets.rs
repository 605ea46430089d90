//! Secrets of programs: in their environment and nowhere else.

use serde_json::{Value, json};

use crate::support::{
    Place, TestGateway,
    programs::{definition, programs, write},
    until,
};

const CANARY: &str = "canary-9f2b61c7-do-not-leak";

/// What a program sees of its environment.
pub fn environment(place: &Place, tool: &str) -> Vec<String> {
    let answer = place.editor.call(tool, json!({})).expect(200).result();
    answer["content"][0]["text"].as_str().unwrap().lines().map(str::to_owned).collect()
}

fn started() -> Place {
    let place = programs(TestGateway::setup().env("SECRET_OF_THE_HOST", "host-canary"), &[("one", &[]), ("two", &[])]);
    place.admin.secret("one", "API_KEY", CANARY);
    until("listed", || place.editor.tools().contains(&"two__env".to_owned()));
    place
}

#[test]
fn a_program_has_the_allowed_variables_and_its_own_secrets_and_no_others() {
    let place = started();
    let names = |lines: &[String]| -> Vec<String> {
        lines.iter().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect()
    };
    let (one, two) = (environment(&place, "one__env"), environment(&place, "two__env"));
    assert!(names(&one).contains(&"API_KEY".to_owned()), "{one:?}");
    for lines in [&one, &two] {
        let known = ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "API_KEY"];
        let other: Vec<String> = names(lines).into_iter().filter(|name| !known.contains(&name.as_str())).collect();
        assert!(other.is_empty(), "{other:?}");
        let home = lines.iter().find(|line| line.starts_with("HOME=")).unwrap();
        assert!(home.contains("/children/"), "{home}");
    }
    assert!(!names(&two).contains(&"API_KEY".to_owned()), "{two:?}");
    assert_ne!(one.iter().find(|line| line.starts_with("HOME=")), two.iter().find(|line| line.starts_with("HOME=")));
}

#[test]
fn a_programs_secret_comes_back_neither_in_answers_nor_in_what_it_complains_about() {
    let place = started();
    assert_eq!(
        environment(&place, "one__env").iter().find(|line| line.starts_with("API_KEY=")).unwrap(),
        "API_KEY=[redacted secret]"
    );
    let failed = place.editor.call("one__exit", json!({}));
    assert!(failed.json().get("error").is_some(), "{}", failed.text());
    place.gateway.program("eng", "broken", &["die"]);
    place.admin.secret("broken", "API_KEY", CANARY);
    let test = || place.admin.post("/mcp-servers/broken/test", json!({})).expect(200);
    let mut report = Value::Null;
    until("its last words", || {
        report = test().json();
        report["last_words"]
            .as_array()
            .is_some_and(|lines| lines.iter().any(|line| line.to_string().contains("[redacted secret]")))
    });
    assert_eq!(report["ok"], false);
    assert!(report["error"].as_str().unwrap().contains("exit code 3"), "{report}");
    assert!(report["last_words"][0].as_str().unwrap().contains("cannot begin"), "{report}");
    for place_of_words in [report.to_string(), place.gateway.log(), place.gateway.operators("/health/actors").text()] {
        assert!(!place_of_words.contains(CANARY), "{place_of_words}");
    }
    // Members are told that it failed, not what it printed.
    let refused = place.editor.call("broken__echo", json!({})).text();
    assert!(!refused.contains("cannot begin"), "{refused}");
}

#[test]
fn a_changed_secret_is_used_by_the_very_next_call() {
    let place = started();
    let sees = || environment(&place, "one__env").into_iter().find(|line| line.starts_with("API_KEY=")).unwrap();
    assert_eq!(sees(), "API_KEY=[redacted secret]");
    for value in ["short-1", "short-2"] {
        // Values of less than eight bytes are not searched for, so they can be seen here.
        place.admin.secret("one", "API_KEY", value);
        assert_eq!(sees(), format!("API_KEY={value}"));
    }
    let inject = json!({ "mode": "env", "name": "OTHER_NAME" });
    place.admin.patch("/mcp-servers/one/secrets/API_KEY", inject).expect(200);
    assert!(environment(&place, "one__env").contains(&"OTHER_NAME=short-2".to_owned()));
    // Of each of the two programs: its launcher, the one that watches, itself.
    until("the replaced processes are gone", || place.gateway.family().len() == 6);
}

#[test]
fn a_secret_of_a_program_cannot_be_a_header_or_steer_it() {
    let place = started();
    let set = |name: &str, rule: Value| {
        place
            .admin
            .post("/mcp-servers/one/secrets", json!({ "name": name, "value": "x-value", "injection": rule }))
            .status
    };
    assert_eq!(set("A", json!({ "mode": "bearer" })), 422);
    assert_eq!(set("A", json!({ "mode": "header", "header": "X-A" })), 422);
    for steering in ["LD_PRELOAD", "PATH", "NODE_OPTIONS"] {
        assert_eq!(set("A", json!({ "mode": "env", "name": steering })), 422, "{steering}");
        assert_eq!(place.admin.post("/mcp-servers/one/secrets", json!({ "name": steering, "value": "x" })).status, 422);
    }
    assert_eq!(set("API_KEY_2", json!({ "mode": "env", "name": "API_KEY" })), 409, "two secrets in one variable");
}

#[test]
fn another_command_line_disables_the_secrets_until_they_are_entered_again() {
    let place = started();
    write(&place.gateway.setup, "one", &definition(&["legacy"]));
    let done = place.admin.post("/mcp-servers:reload", json!({})).expect(200).json();
    assert_eq!(done["changed"], json!(["one"]));
    let refused = place.editor.call("one__env", json!({})).json();
    assert_eq!(refused["error"]["code"], -32015, "{refused}");
    assert_eq!(refused["error"]["data"]["reason"], "secret_needs_reentry");
    place.admin.secret("one", "API_KEY", "again-1");
    assert!(environment(&place, "one__env").contains(&"API_KEY=again-1".to_owned()));
}
