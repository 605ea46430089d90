//! An old row of a secret that somebody writes back by SQL still decrypts; the audit log knows better (C-05).

use serde_json::{Value, json};

use super::audit::{said, sql, sqlite};
use crate::support::{TestGateway, database::fresh_postgres, place_with, process::Setup};

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
        assert!(text.contains(&format!("the secret that entry {set} is about is stored as it was before")), "{text}");
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
