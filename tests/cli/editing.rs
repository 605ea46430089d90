//! `mcp edit` changes what a definition says, and nothing that was not named.

use serde_json::{Value, json};

use super::gateway::Gateway;

#[test]
fn a_definition_is_changed_and_what_is_not_named_stays() {
    let gateway = Gateway::start();
    gateway.ok("mcp add internal-api --url http://127.0.0.1:9/mcp --timeout 20s");
    let shown = |command: &str| -> Value {
        let text = gateway.ok(&format!("{command} --output json"));
        serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{cause}: {text}"))
    };
    let said = gateway.ok("mcp edit internal-api --title Internal --max-in-flight 8");
    assert!(said.contains("Changed internal-api (http://127.0.0.1:9/mcp)."), "{said}");
    let one = shown("mcp edit internal-api --protocol legacy --total-timeout 5m");
    let expected = json!({ "title": "Internal", "protocol": "legacy", "timeout_seconds": 20, "total_seconds": 300,
        "max_in_flight": 8 });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&one[name], value, "{name}: {one}");
    }
    let one = shown("mcp edit internal-api --timeout default --max-in-flight default");
    assert!(one["timeout_seconds"].is_null() && one["max_in_flight"].is_null(), "{one}");
    assert_eq!((&one["total_seconds"], &one["title"]), (&json!(300), &json!("Internal")), "{one}");
    gateway.ok("secrets set internal-api API_KEY a-secret-of-the-old-place");
    let moved = gateway.ok("mcp edit internal-api --url http://127.0.0.1:9/v2/mcp");
    assert!(moved.contains("(http://127.0.0.1:9/v2/mcp)") && !moved.contains("API_KEY"), "{moved}");
    let moved = gateway.ok("mcp edit internal-api --url http://127.0.0.1:10/mcp");
    assert!(
        moved.contains("API_KEY is bound to the old address: aerostack secrets set internal-api API_KEY"),
        "{moved}"
    );

    for (wrong, exit) in [
        ("mcp edit internal-api", 2),
        ("mcp edit internal-api --timeout 0", 2),
        ("mcp edit internal-api --max-in-flight none", 2),
        ("mcp edit internal-api --protocol telepathy", 2),
        ("mcp edit nobody-knows-it --title x", 3),
    ] {
        let refused = gateway.run(wrong);
        assert_eq!(refused.exit, exit, "{wrong}: {refused:?}");
    }
}
