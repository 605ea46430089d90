//! Skills at the command line: the document's script and sentences, and the life of a published skill.

use super::{
    documents::{self, cells},
    gateway::{Gateway, Said},
};
use crate::support::Editor;

const TEAM: [&str; 3] = ["internal-crm-skill", "deploy-skill", "jira-skill"];

/// The gateway of @acme, with more people.
struct Town {
    gateway: Gateway,
}

impl Town {
    fn new() -> Self {
        let gateway = Gateway::start();
        gateway.ok("workspace create acme-team");
        Town { gateway }
    }
    /// Runs a script of shell commands with a profile.
    fn script(&self, profile: &str, text: &str) -> Said {
        let file = self.gateway.file("step.sh", &format!("set -e\nexport AEROSTACK_PROFILE={profile}\n{text}\n"));
        self.gateway.script(&file, &[])
    }
    /// Publishes an example in a folder of its own.
    fn publish(&self, profile: &str, name: &str, flags: &str) -> Said {
        let text = format!(
            "mkdir -p {name} && cd {name} && {{ test -e SKILL.md || aerostack skill init {name}; }} && aerostack skill publish {flags}"
        );
        let said = self.script(profile, &text);
        assert_eq!(said.exit, 0, "{said:?}");
        said
    }
    /// Gives a published example's folder another version.
    fn version(&self, name: &str, version: &str) {
        let path = self.gateway.path(name).join("aerostack.json");
        let mut manifest: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        manifest["version"] = version.into();
        manifest["tool"]["description"] = format!("As of {version}.").into();
        std::fs::write(path, manifest.to_string()).unwrap();
    }
    fn editor(&self) -> Editor {
        let token = self.gateway.ok("workspace token create acme-team --name Alice -o token");
        Editor::new(self.gateway.url.trim_start_matches("http://").parse().unwrap(), "/ws/acme-team", token.trim())
    }
}

#[test]
fn team_setup_sh_runs_unchanged_and_a_second_time_changes_nothing() {
    let town = Town::new();
    town.gateway.person("alice", "acme", Some("member"));
    town.gateway.person("johndoe", "johndoe", None);
    for name in TEAM {
        let said = town.publish("local", name, "--private team");
        assert!(said.out.ends_with(&format!("✓ Published @acme/{name} 1.0.0 (team)\n")), "{said:?}");
    }
    town.publish("johndoe", "github-skill", "");
    let editor = town.editor();
    assert!(editor.tools().is_empty());

    let script = documents::script(documents::SKILLS, "team-setup.sh");
    town.gateway.file("team-setup.sh", &script);
    let traced = || town.script("alice", "exec bash -ex team-setup.sh");
    let first = traced();
    assert_eq!(first.exit, 0, "{first:?}");
    let lines: Vec<&str> = first.out.lines().collect();
    assert_eq!(lines[0], "✓ Now using workspace acme-team.");
    assert_eq!(lines[1..4], ["✓ Installed (team membership verified)"; 3]);
    assert_eq!(lines[4], "✓ Installed (public skill)");
    assert_eq!(
        lines[5..],
        [
            "✓ All team skills installed.",
            "Add this to your editor MCP config:",
            "URL: https://gateway.aerostack.dev/ws/acme-team",
        ]
    );
    for line in script.lines().filter(|line| line.starts_with("aerostack ")) {
        let command = line.split(" #").next().unwrap();
        assert!(first.err.contains(&format!("+ {command}\n")), "{command} was not run: {}", first.err);
    }
    let tools = ["internal_crm__run", "deploy__run", "jira__run", "github__run"];
    assert_eq!(editor.tools(), tools);

    let audit = town.gateway.ok("workspace audit acme-team --kind install");
    let rows: Vec<Vec<&str>> = audit.lines().map(cells).collect();
    assert_eq!(rows[0], ["DATE", "USER", "SKILL", "ACTION"]);
    assert_eq!(rows[1][1..], ["alice@acme", "@acme/internal-crm-skill", "install"]);
    assert_eq!(rows[4][1..], ["alice@acme", "@johndoe/github-skill", "install"]);

    let second = traced();
    assert_eq!(second.exit, 0, "{second:?}");
    assert_eq!(second.out.matches("✓ Already installed: ").count(), 4, "{second:?}");
    assert_eq!(editor.tools(), tools);
    assert_eq!(town.gateway.ok("workspace audit acme-team --kind install"), audit);
}

#[test]
fn a_stranger_cannot_tell_what_a_namespace_has() {
    let town = Town::new();
    town.publish("local", "crm-skill", "--private team");
    town.publish("local", "my-dev-tool", "--private");
    town.publish("local", "open-skill", "");
    town.gateway.person("mallory", "mallory", None);
    let bare =
        |said: &Said| said.err.lines().filter(|line| !line.starts_with("request id")).collect::<Vec<_>>().join("\n");
    town.script("mallory", "aerostack workspace create mallory-team");
    for command in ["skill install", "skill show", "skill pull", "mcp install"] {
        let flag = if command.ends_with("install") { "--workspace mallory-team" } else { "" };
        let mut seen = Vec::new();
        for name in ["crm-skill", "my-dev-tool", "nothing-skill"] {
            let said = town.script("mallory", &format!("aerostack {command} @acme/{name} {flag}"));
            assert_eq!((said.exit, said.out.as_str()), (5, ""), "{command} {name}: {said:?}");
            assert!(said.err.starts_with("✗ 403: You are not a member of @acme\n"), "{said:?}");
            seen.push(bare(&said));
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    }
    let said = town.script("mallory", "aerostack skill install @nobody/x --workspace mallory-team");
    assert!(said.err.starts_with("✗ 403: You are not a member of @nobody\n"), "{said:?}");
    assert_eq!(town.script("mallory", "aerostack skill show @acme/open-skill").exit, 0);
    let found = town.script("mallory", "aerostack skill search skill -q");
    assert_eq!(found.out, "@acme/open-skill\n");
    assert_eq!(town.script("mallory", "aerostack skill list -q").out, "");
    let said = town.script("mallory", "aerostack skill install @acme/open-skill --workspace acme-team");
    assert_eq!(said.exit, 3, "a foreign workspace is unknown: {said:?}");
}

#[test]
fn who_may_see_a_skill_is_who_it_was_published_for() {
    let town = Town::new();
    town.gateway.person("alice", "acme", Some("member"));
    town.publish("local", "team-skill", "--private team");
    town.publish("local", "own-skill", "--private");
    town.publish("local", "open-skill", "");
    let list = |profile: &str| town.script(profile, "aerostack skill list -q").out;
    assert_eq!(list("local"), "@acme/open-skill\n@acme/own-skill\n@acme/team-skill\n");
    assert_eq!(list("alice"), "@acme/open-skill\n@acme/team-skill\n");
    assert_eq!(town.gateway.ok("skill search -q"), "@acme/open-skill\n");
    let said = town.script("alice", "aerostack skill install @acme/own-skill --workspace acme-team");
    assert_eq!(said.exit, 3, "{said:?}");
    let head = town.gateway.ok("skill list");
    assert_eq!(cells(head.lines().next().unwrap()), ["SKILL", "VERSION", "VISIBILITY", "UPDATED", "DESCRIPTION"]);

    // Publishing again says nothing about who may see it unless it is said.
    town.version("team-skill", "1.1.0");
    assert!(town.publish("local", "team-skill", "").out.contains("@acme/team-skill 1.1.0 (team)"));
    let same = town.publish("local", "team-skill", "");
    assert!(same.out.contains("@acme/team-skill 1.1.0 was published already (team)"), "{same:?}");
    assert!(town.publish("local", "team-skill", "--visibility public").out.ends_with("already (public)\n"));
    let said = town.script("local", "cd team-skill && aerostack skill publish --private --visibility team");
    assert_eq!((said.exit, said.err.lines().next()), (2, Some("✗ --private means private, --visibility says team")));
    let said = town.script("alice", "cd team-skill && aerostack skill publish");
    assert_eq!(said.exit, 5, "a member publishes in their own namespace: {said:?}");
}

#[test]
fn an_installation_keeps_its_version_until_somebody_asks_for_another() {
    let town = Town::new();
    town.publish("local", "deploy-skill", "");
    town.gateway.ok("skill install deploy-skill --workspace acme-team");
    let editor = town.editor();
    let said = |editor: &Editor| editor.list().result()["tools"][0]["description"].as_str().unwrap().to_owned();
    let before = said(&editor);
    for version in ["1.1.0", "1.1.1", "2.0.0"] {
        town.version("deploy-skill", version);
        town.publish("local", "deploy-skill", "");
    }
    assert_eq!(said(&editor), before);
    let install = |what: &str| town.gateway.run(&format!("skill install {what} --workspace acme-team"));
    let again = install("@acme/deploy-skill");
    assert_eq!(again.out, "✓ Already installed: @acme/deploy-skill 1.0.0 (public skill)\n");
    assert!(
        again.err.starts_with("hint: 2.0.0 is out: aerostack skill install @acme/deploy-skill --upgrade"),
        "{again:?}"
    );
    assert_eq!(install("acme/deploy-skill@1.1").out, "✓ Upgraded to 1.1.1 (public skill)\n");
    assert_eq!(said(&editor), "As of 1.1.1.", "an upgrade asks for no approval");
    assert_eq!(install("acme/deploy-skill@1.1").out, "✓ Already installed: @acme/deploy-skill 1.1.1 (public skill)\n");
    assert_eq!(install("deploy-skill --upgrade").out, "✓ Upgraded to 2.0.0 (public skill)\n");
    assert_eq!(said(&editor), "As of 2.0.0.");
    assert_eq!(install("deploy-skill@3").exit, 3);
    let list = town.gateway.ok("mcp list --workspace acme-team");
    assert_eq!(cells(list.lines().nth(1).unwrap())[..2], ["@acme/deploy-skill@2.0.0", "deploy"], "{list}");

    town.version("deploy-skill", "1.9.0");
    let lower = town.script("local", "cd deploy-skill && aerostack skill publish");
    assert_eq!(lower.exit, 6, "{lower:?}");
    assert!(lower.err.contains("Version 1.9.0 of deploy-skill is not greater than 2.0.0"), "{lower:?}");
    town.version("deploy-skill", "2.0.0");
    std::fs::write(town.gateway.path("deploy-skill").join("SKILL.md"), "other").unwrap();
    assert_eq!(town.script("local", "cd deploy-skill && aerostack skill publish").exit, 6, "a version never changes");
}

#[test]
fn a_withdrawn_version_stays_where_it_is_and_goes_nowhere_else() {
    let town = Town::new();
    town.publish("local", "deploy-skill", "");
    town.version("deploy-skill", "1.1.0");
    town.publish("local", "deploy-skill", "");
    town.gateway.ok("skill install deploy-skill --workspace acme-team");
    town.gateway.ok("skill remove deploy-skill@1.1.0");
    let editor = town.editor();
    assert_eq!(editor.tools(), ["deploy__run"]);
    town.gateway.ok("workspace create other");
    assert_eq!(
        town.gateway.run("skill install deploy-skill@1.1 --workspace other").err.lines().next(),
        Some("✗ 409: Version 1.1 of @acme/deploy-skill was withdrawn")
    );
    town.gateway.ok("skill install deploy-skill --workspace other");
    assert!(town.gateway.ok("mcp list --workspace other").contains("@acme/deploy-skill@1.0.0"));
    let show = town.gateway.ok("skill show @acme/deploy-skill");
    assert_eq!(cells(show.lines().nth(1).unwrap())[3], "withdrawn", "{show}");
    town.gateway.ok("skill remove deploy-skill@1.1.0 --restore");
    assert_eq!(town.gateway.run("skill remove deploy-skill").exit, 6, "it is installed");
    town.gateway.ok("skill uninstall @acme/deploy-skill --workspace acme-team");
    town.gateway.ok("skill uninstall deploy-skill --workspace other");
    town.gateway.ok("skill remove deploy-skill");
    assert!(editor.tools().is_empty());
    assert_eq!(town.gateway.run("skill show deploy-skill").exit, 3);
}

#[test]
fn a_skills_files_come_back_as_they_were_published() {
    let town = Town::new();
    town.publish("local", "deploy-skill", "--name other-skill");
    let said = town.gateway.ok("skill pull @acme/other-skill@1.0.0");
    assert_eq!(said, "✓ Pulled @acme/other-skill 1.0.0 into other-skill\n");
    let read = |folder: &str, file: &str| std::fs::read_to_string(town.gateway.path(folder).join(file)).unwrap();
    assert_eq!(read("other-skill", "SKILL.md"), read("deploy-skill", "SKILL.md"));
    let manifest =
        |folder: &str| -> serde_json::Value { serde_json::from_str(&read(folder, "aerostack.json")).unwrap() };
    let mut expected = manifest("deploy-skill");
    expected["name"] = "other-skill".into();
    assert_eq!(manifest("other-skill"), expected);
    assert!(town.publish("local", "other-skill", "").out.contains("was published already"));
    assert_eq!(town.gateway.run("skill pull @acme/other-skill").exit, 6, "files are not overwritten");
    assert_eq!(
        town.gateway.run("skill publish").err.lines().next(),
        Some("✗ There is no aerostack.json in this folder")
    );
    let bad = town.gateway.path("bad");
    std::fs::create_dir(&bad).unwrap();
    std::fs::write(bad.join("aerostack.json"), r#"{"name":"bad-skill","type":"skill"}"#).unwrap();
    std::fs::write(bad.join("SKILL.md"), "x").unwrap();
    let said = town.script("local", "cd bad && aerostack skill publish");
    assert_eq!((said.exit, said.err.lines().next()), (1, Some("✗ aerostack.json: version is missing")));
}

#[test]
fn servers_and_skills_are_installed_with_either_command() {
    let town = Town::new();
    town.publish("local", "deploy-skill", "");
    let url = super::gateway::mcp_server(&["create_issue"]);
    town.gateway.ok(&format!("mcp add github-mcp --url {url}"));
    let skill = town.gateway.run("mcp install @acme/deploy-skill --workspace acme-team");
    assert_eq!((skill.exit, skill.out.as_str()), (0, "✓ Installed (public skill)\n"), "{skill:?}");
    assert!(skill.err.starts_with("@acme/deploy-skill is a skill"), "{skill:?}");
    let server = town.gateway.run("skill install @acme/github-mcp --workspace acme-team");
    assert_eq!(server.exit, 0, "{server:?}");
    assert!(server.out.starts_with("✓ Installed github-mcp in acme-team"), "{server:?}");
    assert!(server.err.starts_with("github-mcp is an MCP server"), "{server:?}");
    assert_eq!(town.editor().tools(), ["deploy__run", "github__create_issue"]);
    assert_eq!(town.gateway.run("mcp remove deploy-skill").exit, 6);
    assert_eq!(town.gateway.run("skill install github-mcp@1 --workspace acme-team").exit, 1);
    town.gateway.ok("mcp uninstall @acme/deploy-skill --workspace acme-team");
    assert_eq!(town.editor_tools_after_uninstall(), ["github__create_issue"]);
}

impl Town {
    fn editor_tools_after_uninstall(&self) -> Vec<String> {
        let token = self.gateway.ok("workspace token create acme-team --name Bob -o token");
        Editor::new(self.gateway.url.trim_start_matches("http://").parse().unwrap(), "/ws/acme-team", token.trim())
            .tools()
    }
}

#[test]
fn a_member_installs_skills_but_not_servers() {
    let town = Town::new();
    town.gateway.person("alice", "acme", Some("member"));
    town.gateway.person("victor", "acme", Some("viewer"));
    town.publish("local", "deploy-skill", "--private team");
    town.publish("local", "jira-skill", "--private team");
    let run = |profile: &str, line: &str| town.script(profile, &format!("aerostack {line} --workspace acme-team")).exit;
    assert_eq!(run("victor", "skill install @acme/deploy-skill"), 5);
    assert_eq!(run("alice", "skill install @acme/deploy-skill"), 0);
    assert_eq!(run("local", "skill install @acme/jira-skill"), 0);
    assert_eq!(run("alice", "mcp install github-mcp"), 5);
    assert_eq!(run("alice", "skill uninstall @acme/jira-skill"), 5, "somebody else installed it");
    assert_eq!(run("alice", "skill uninstall @acme/deploy-skill"), 0);
}
