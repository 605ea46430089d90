//! What holds for every command: formats, columns, quiet and exact output, help, completions, manual pages.

use serde_json::{Value, json};

use super::gateway::Gateway;

fn gateway() -> Gateway {
    let gateway = Gateway::start();
    gateway.ok("workspace create engineering");
    gateway.ok("workspace create sales");
    gateway.ok("workspace token create engineering --name \"Alice Chen\"");
    gateway
}

#[test]
fn a_list_is_shown_in_every_format_with_the_columns_that_were_asked_for() {
    let gateway = gateway();
    let table = gateway.ok("workspace list --fields workspace,active_tokens");
    assert_eq!(table, "WORKSPACE    TOKENS\nengineering       1\nsales             0\n");
    assert_eq!(gateway.ok("workspace list --fields workspace --no-headers"), "engineering\nsales\n");
    assert_eq!(gateway.ok("workspace list -q"), "engineering\nsales\n");
    let csv = gateway.ok("ws ls -o csv --fields active_tokens,workspace");
    assert_eq!(csv, "active_tokens,workspace\r\n1,engineering\r\n0,sales\r\n");
    let chosen: Value = serde_json::from_str(&gateway.ok("workspace list --json --fields slug,active_tokens")).unwrap();
    assert_eq!(chosen, json!([{ "slug": "engineering", "active_tokens": 1 }, { "slug": "sales", "active_tokens": 0 }]));
    let yaml = gateway.ok("workspace list --format yaml --fields slug");
    assert_eq!(yaml, "- slug: \"engineering\"\n- slug: \"sales\"\n");
    for line in ["workspace list --fields workspce", "workspace list --json --fields sulg", "workspace list -o xml"] {
        let said = gateway.run(line);
        assert_eq!((said.exit, said.out.as_str()), (2, ""), "{line}: {}", said.err);
    }
    let exact = gateway.ok("workspace token list engineering --absolute");
    assert!(exact.contains("never") && !exact.contains(" ago"), "{exact}");
    let json = gateway.ok("workspace token list engineering --json");
    let created = serde_json::from_str::<Value>(&json).unwrap()[0]["created_at"].as_str().unwrap().to_owned();
    assert!(created.contains('T') && created.ends_with('Z'), "{created}");
}

/// What bash is told when the last word is completed.
fn complete(gateway: &Gateway, words: &[&str]) -> Vec<String> {
    let index = words.len();
    let line = format!("AEROSTACK_COMPLETE=bash _CLAP_IFS=, _CLAP_COMPLETE_INDEX={index} aerostack -- aerostack");
    let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let said = gateway.shell(&["-c", &format!("{line} {}", words.join(" "))], "");
    assert_eq!(said.exit, 0, "{said:?}");
    said.out.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

#[test]
fn names_of_what_is_there_are_completed() {
    let gateway = gateway();
    gateway.ok("mcp add github-mcp --url http://127.0.0.1:9/mcp");
    let wanted: [(&[&str], &[&str]); 7] = [
        (&["workspace", "use", ""], &["engineering", "sales"]),
        (&["workspace", "audit", "s"], &["sales"]),
        (&["analytics", "--workspace", "eng"], &["engineering"]),
        (&["secrets", "set", "git"], &["github-mcp"]),
        (&["mcp", "install", "g"], &["github-mcp"]),
        (&["workspace", "token", "revoke", "engineering", "--name", "Al"], &["Alice\\ Chen"]),
        (&["workspace", "create", "e"], &[]),
    ];
    for (words, expected) in wanted {
        let found: Vec<String> = complete(&gateway, words).into_iter().filter(|one| !one.starts_with('-')).collect();
        assert_eq!(found, expected, "{words:?}");
    }
    let ids = complete(&gateway, &["workspace", "token", "rotate", "engineering", "tok_"]);
    assert!(ids.len() == 1 && ids[0].starts_with("tok_"), "{ids:?}");
}

#[test]
fn help_completions_and_manual_pages_come_without_a_gateway() {
    let gateway = Gateway::start();
    gateway.ok("logout");
    let codes = gateway.ok("help exit-codes");
    assert!(codes.contains("3    no such thing") && codes.contains("130  interrupted"), "{codes}");
    assert!(gateway.ok("help environment").contains("AEROSTACK_API_KEY"));
    assert!(gateway.ok("help output").contains("--fields"));
    assert!(gateway.ok("help workspace token rotate").contains("--overlap"));
    let lost = gateway.run("help exit-code");
    assert_eq!(
        (lost.exit, lost.err.lines().next()),
        (3, Some("✗ No help topic \"exit-code\". Did you mean exit-codes?"))
    );
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = gateway.ok(&format!("completion {shell}"));
        assert!(script.contains("aerostack") && script.contains("AEROSTACK_COMPLETE"), "{shell}");
    }
    let script = gateway.file("completion.bash", &gateway.ok("completion bash"));
    let syntax = std::process::Command::new("bash").arg("-n").arg(script).output().unwrap();
    assert!(syntax.status.success(), "{}", String::from_utf8_lossy(&syntax.stderr));
    // It knows commands without a gateway, and names of what is there with one.
    assert_eq!(complete(&gateway, &["workspace", "token", "rot"]), ["rotate"]);
    assert_eq!(complete(&gateway, &["workspace", "use", "e"]), [""; 0], "not logged in");
    gateway.ok("man pages");
    let page = |name: &str| std::fs::read_to_string(gateway.path(&format!("pages/{name}.1"))).unwrap();
    assert!(page("aerostack").contains(".TH") && page("aerostack-workspace-token-rotate").contains("overlap"));
    let typo = gateway.run("workspace tokn list");
    assert_eq!(typo.exit, 2);
    assert!(typo.err.contains("token"), "{}", typo.err);
}
