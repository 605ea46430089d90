//! The documents' scripts, byte for byte, without a terminal.

use super::{
    documents,
    gateway::{Gateway, mcp_server},
};

#[test]
fn onboard_sh_runs_unchanged() {
    let gateway = Gateway::start();
    gateway.ok("workspace create engineering");
    gateway.ok(&format!("mcp add github-mcp --url {}", mcp_server(&["create_issue", "list_pull_requests"])));
    gateway.ok("mcp install github-mcp --workspace engineering");
    gateway.person("mia", "acme", Some("member"));
    gateway.file("onboard.sh", &documents::script(documents::TEAM, "onboard.sh"));
    for (who, name) in [("local", "Alice Chen"), ("mia", "Mia's laptop")] {
        let step =
            gateway.file("step.sh", &format!("export AEROSTACK_PROFILE={who}\nexec bash -e onboard.sh \"$1\"\n"));
        let said = gateway.script(&step, &[name]);
        assert_eq!(said.exit, 0, "{said:?}");
        let token = said.out.lines().find_map(|line| line.strip_prefix(" Authorization: Bearer ")).unwrap();
        assert!(token.starts_with("mwt_"), "{said:?}");
        assert!(said.out.contains("\ngithub__create_issue\ngithub__list_pull_requests\n"), "{}", said.out);
        assert_eq!(gateway.call("engineering", token, "github__create_issue").0, 200);
        assert_eq!(said.err, "");
    }
    // A second time: that name is taken, and nothing changes.
    let active = gateway.ok("workspace token list engineering --fields name,status");
    let script = gateway.path("onboard.sh");
    let again = gateway.script(&script, &["Alice Chen"]);
    assert!(again.err.starts_with("✗ 409: "), "{again:?}");
    assert_eq!(gateway.ok("workspace token list engineering --fields name,status"), active);
}

#[test]
fn separate_workspaces_hold_what_was_installed_in_them() {
    let gateway = Gateway::start();
    for (slug, tools) in [("internal-api", &["query"][..]), ("deploy-pipeline", &["trigger"][..])] {
        gateway.ok(&format!("mcp add {slug} --url {}", mcp_server(tools)));
    }
    for line in [
        "workspace create eng-full",
        "mcp install internal-api --workspace eng-full",
        "mcp install deploy-pipeline --workspace eng-full",
        "workspace create eng-readonly",
        "mcp install internal-api --workspace eng-readonly",
        "workspace use eng-readonly",
    ] {
        gateway.ok(line);
    }
    let full = gateway.ok("mcp list --workspace eng-full --tools-only");
    assert_eq!(full, "internal_api__query\ndeploy_pipeline__trigger\n");
    assert_eq!(gateway.ok("mcp list --tools-only"), "internal_api__query\n");
    let file =
        gateway.file("mcp.json", &format!("{{\"mcpServers\":{{\"Third\":{{\"url\":\"{}\"}}}}}}", mcp_server(&["go"])));
    let said = gateway.run(&format!("mcp import {} --workspace eng-readonly", file.display()));
    assert_eq!(
        (said.exit, said.out.as_str()),
        (0, "✓ Imported 1 server and 0 secrets into eng-readonly.\n"),
        "{}",
        said.err
    );
    assert_eq!(gateway.ok("mcp list --tools-only"), "internal_api__query\nthird__go\n");
}
