//! An old row of a secret that somebody writes back by SQL still decrypts, and one that is removed is missed by nobody;
//! the audit log knows better (C-05). Tokens and API keys likewise.

use serde_json::{Value, json};

use super::audit::{said, sql, sqlite};
use crate::support::{Admin, TestGateway, database::fresh_postgres, place_with, process::Setup};

const KEEP: &str = "CREATE TABLE kept AS SELECT * FROM mcp_workspace_secrets";
const PUT_BACK: &str = "DELETE FROM mcp_workspace_secrets WHERE name IN (SELECT name FROM kept);
    INSERT INTO mcp_workspace_secrets SELECT * FROM kept; DROP TABLE kept";

/// Runs `aerostack audit verify` with more arguments: its exit status and what it said.
fn verify(setup: &Setup, more: &[&str]) -> (Option<i32>, String) {
    let output = setup.command().args(["audit", "verify"]).args(more).output().unwrap();
    (output.status.code(), said(&output))
}

fn an_older_row_is_found(setup: Setup, url: &str) {
    let place = place_with(setup, &[]);
    let setup = place.gateway.setup.clone();
    let data = setup.data_dir();
    let offline = ["--data-dir", data.to_str().unwrap()];
    let with_state = ["--with-state", "--data-dir", data.to_str().unwrap()];
    let api = |body: Value| place.admin.post("/audit:verify", body).expect(200).json();
    place.admin.server("toy", "http://127.0.0.1:9/mcp");
    place.admin.secret("toy", "KEY", "the-value-of-march");
    place.admin.secret("toy", "OTHER", "another-value");
    sql(url, KEEP);
    place.admin.secret("toy", "KEY", "the-value-of-april");
    place.admin.secret("toy", "THIRD", "a-third-value");
    let whole = api(json!({ "with_state": true }));
    assert_eq!((&whole["intact"], &whole["secrets"]), (&json!(true), &json!(3)), "{whole}");
    assert_eq!(api(json!({}))["secrets"], json!(null), "nobody asked");
    for (more, words) in [(&["--with-state"][..], "3 secrets as new as it says"), (&with_state[..], "3 secrets as new")]
    {
        let (status, text) = verify(&setup, more);
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains(words), "{text}");
    }

    sql(url, PUT_BACK);
    let blind = api(json!({}));
    assert_eq!(blind["intact"], json!(true), "the chain alone does not show it: {blind}");
    let set = blind["head"]["seq"].as_u64().unwrap() - 1;
    let found = api(json!({ "with_state": true }));
    assert_eq!(found["broken"]["flaw"], json!("rolled_back"), "{found}");
    assert_eq!(found["broken"]["seq"], json!(set), "the entry that set the newer value: {found}");
    assert_eq!(verify(&setup, &offline).0, Some(0));
    for more in [&["--with-state"][..], &with_state[..]] {
        let (status, text) = verify(&setup, more);
        assert_eq!(status, Some(1), "{text}");
        let words = format!("secret toy/KEY, which entry {set} is about, is stored as it was before");
        assert!(text.contains(&words), "{text}");
        assert!(!text.contains("the-value-of"), "{text}");
    }

    // Set again, everything fits again; what was deleted and comes back is found, too.
    for _ in 0..2 {
        place.admin.secret("toy", "KEY", "the-value-of-may");
    }
    assert_eq!(api(json!({ "with_state": true }))["secrets"], json!(3));
    sql(url, KEEP);
    place.admin.delete("/mcp-servers/toy/secrets/OTHER").expect(200);
    assert_eq!(api(json!({ "with_state": true }))["secrets"], json!(2));
    sql(url, PUT_BACK);
    let back = api(json!({ "with_state": true }));
    assert_eq!(back["broken"]["flaw"], json!("rolled_back"), "{back}");
    let (status, text) = verify(&setup, &with_state);
    assert_eq!(status, Some(1), "{text}");
}

#[test]
fn an_old_row_of_a_secret_that_was_put_back_by_sql_is_found_with_the_state() {
    let setup = TestGateway::setup();
    let url = sqlite(&setup.data_dir());
    an_older_row_is_found(setup, &url);
}

#[test]
fn an_old_row_of_a_secret_that_was_put_back_by_sql_is_found_on_postgres_too() {
    let Some(url) = fresh_postgres() else { return };
    an_older_row_is_found(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url), &url);
}

/// What somebody does by SQL, what is found, and which words name it.
const REMOVED: &[(&str, &str, &str)] = &[
    ("DELETE FROM mcp_workspace_secrets WHERE name = 'KEY'", "row_missing", "secret toy/KEY, which entry"),
    ("DELETE FROM mcp_workspace_secrets WHERE name = 'OWN'", "row_missing", "secret toy/OWN, which entry"),
    ("DELETE FROM workspace_tokens WHERE name = 'Kept'", "row_missing", "token \"Kept\", which entry"),
    ("DELETE FROM workspace_tokens WHERE name = 'Old'", "row_missing", "token \"Old\", which entry"),
    ("DELETE FROM api_keys WHERE name = 'ci'", "row_missing", "API key \"ci\", which entry"),
    ("UPDATE workspace_tokens SET revoked_at = NULL WHERE name = 'Old'", "rolled_back", "token \"Old\", which entry"),
    ("UPDATE api_keys SET revoked_at = NULL WHERE name = 'old ci'", "rolled_back", "API key \"old ci\", which entry"),
    // A value that was replaced works again.
    (
        "DELETE FROM workspace_tokens WHERE name = 'Turned'; INSERT INTO workspace_tokens SELECT * FROM turned",
        "rolled_back",
        "token \"Turned\", which entry",
    ),
    // Revoked with their member, and by the operator.
    ("UPDATE workspace_tokens SET revoked_at = NULL WHERE name = 'gone'", "rolled_back", "token \"gone\", which entry"),
    ("UPDATE api_keys SET revoked_at = NULL WHERE name = 'theirs'", "rolled_back", "API key \"theirs\", which entry"),
    (
        "UPDATE api_keys SET revoked_at = NULL WHERE name = 'test' AND account_id = \
         (SELECT id FROM accounts WHERE username = 'vic')",
        "rolled_back",
        "API key \"test\", which entry",
    ),
    ("DELETE FROM members WHERE role = 'viewer'", "row_missing", "member vic@example.com, which entry"),
    ("UPDATE members SET role = 'owner' WHERE role = 'viewer'", "rolled_back", "member vic@example.com, which entry"),
    (
        "INSERT INTO members SELECT a.id, b.id, 'admin', NULL, b.created_at FROM accounts a, accounts b \
         WHERE a.username = 'admin' AND b.username = 'gone'",
        "rolled_back",
        "member gone@example.com, which entry",
    ),
];

/// A token that got another value, and a scope later. The row that it had before is kept.
fn turn(admin: &Admin, url: &str) {
    let at = format!("/workspaces/eng/tokens/{}", admin.token("eng", "Turned").id);
    sql(url, "CREATE TABLE turned AS SELECT * FROM workspace_tokens WHERE name = 'Turned'");
    let scope = json!({ "scope": { "read_only": true } });
    for done in [admin.post(&format!("{at}/rotate"), json!({})), admin.patch(&at, scope)] {
        assert!(done.status < 300, "{}", done.text());
    }
}

/// Each change is made alone: what it touches is kept aside and put back afterwards.
fn removed_rows_are_found(setup: Setup, url: &str) {
    const TABLES: [&str; 4] = ["mcp_workspace_secrets", "workspace_tokens", "api_keys", "members"];
    let place = place_with(setup, &[]);
    let setup = place.gateway.setup.clone();
    let data = setup.data_dir();
    let api = || place.admin.post("/audit:verify", json!({ "with_state": true })).expect(200).json();
    let gone = |path: &str| assert!(place.admin.delete(path).status < 300, "{path}");
    let key = |name: &str| place.admin.post("/api-keys", json!({ "name": name })).expect(201).json();
    let own = |workspace: &str, name: &str| {
        let path = format!("/mcp-servers/toy/secrets?workspace={workspace}");
        place.admin.post(&path, json!({ "name": name, "value": "a-value" })).expect(201);
    };
    place.admin.server("toy", "http://127.0.0.1:9/mcp");
    place.admin.secret("toy", "KEY", "a-value");
    own("eng", "OWN");
    place.admin.token("eng", "Kept");
    let old = place.admin.token("eng", "Old");
    place.admin.revoke("eng", &old.id);
    turn(&place.admin, url);
    key("ci");
    let old = key("old ci");
    gone(&format!("/api-keys/{}", old["id"].as_str().unwrap()));

    place.gateway.member("vic", "member", None);
    let lower = place.admin.patch("/team/members/vic", json!({ "role": "viewer" }));
    assert_eq!(lower.status, 200, "{}", lower.text());
    let reset = ["admin", "reset-key", "--account", "vic", "--revoke-others", "--data-dir"];
    let reset = setup.command().args(reset).arg(&data).output().unwrap();
    assert!(reset.status.success(), "{}", said(&reset));
    let (theirs, _) = place.gateway.member("gone", "member", Some("eng"));
    theirs.post("/api-keys?namespace=admin", json!({ "name": "theirs" })).expect(201);
    gone("/team/members/gone");

    // What goes in order goes with what it belongs to, and is not missed.
    place.admin.workspace("gone");
    place.admin.token("gone", "Gone");
    own("gone", "KEY");
    gone("/workspaces/gone");
    place.admin.server("lost", "http://127.0.0.1:9/mcp");
    place.admin.secret("lost", "LOST", "a-value");
    gone("/mcp-servers/lost");
    place.admin.secret("toy", "BRIEF", "a-value");
    gone("/mcp-servers/toy/secrets/BRIEF");
    let whole = api();
    assert_eq!((&whole["intact"], &whole["secrets"]), (&json!(true), &json!(2)), "{whole}");

    for table in TABLES {
        sql(url, &format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}"));
    }
    for (tampering, flaw, words) in REMOVED {
        sql(url, tampering);
        let found = api();
        assert_eq!((&found["intact"], &found["broken"]["flaw"]), (&json!(false), &json!(flaw)), "{tampering}: {found}");
        for more in [&["--with-state"][..], &["--with-state", "--data-dir", data.to_str().unwrap()]] {
            let (status, text) = verify(&setup, more);
            assert_eq!(status, Some(1), "{tampering}: {text}");
            assert!(text.contains(words) && text.contains("What is stored is not what"), "{tampering}: {text}");
        }
        for table in TABLES {
            sql(url, &format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}"));
        }
        assert_eq!(api()["intact"], json!(true), "put back after: {tampering}");
    }
}

#[test]
fn a_row_that_was_removed_by_sql_or_is_in_force_again_is_found_with_the_state() {
    let setup = TestGateway::setup();
    let url = sqlite(&setup.data_dir());
    removed_rows_are_found(setup, &url);
}

#[test]
fn a_row_that_was_removed_by_sql_or_is_in_force_again_is_found_on_postgres_too() {
    let Some(url) = fresh_postgres() else { return };
    removed_rows_are_found(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url), &url);
}
