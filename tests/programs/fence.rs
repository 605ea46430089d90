//! What a curious program finds (S-26): three descriptors, and nothing of the gateway's or of its neighbours'.

use serde_json::{Value, json};

use super::secrets::environment;
use crate::support::{TestGateway, programs::programs, until};

#[test]
fn a_program_sees_neither_the_gateway_nor_other_programs() {
    let place = programs(TestGateway::setup(), &[("spy", &[]), ("victim", &[])]);
    place.admin.secret("victim", "API_KEY", "victims-secret-value");
    until("listed", || place.editor.tools().contains(&"victim__pid".to_owned()));
    let victim = place.editor.call("victim__pid", json!({})).expect(200).result()["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned();
    let (data, gateway) = (place.gateway.setup.data_dir(), place.gateway.pid());
    let inside = |name: &str| data.join(name).display().to_string();
    let mut paths = vec![inside("aerostack.db"), inside("admin-key"), inside("servers.d"), inside("")];
    paths.push(place.gateway.setup.config_dir().join("credentials.toml").display().to_string());
    for pid in [gateway.to_string(), victim] {
        paths.extend(["environ", "mem", "maps", "fd/1"].map(|file| format!("/proc/{pid}/{file}")));
    }
    let answer = place.editor.call("spy__sees", json!({ "paths": paths })).expect(200).result();
    let seen: Value = serde_json::from_str(answer["content"][0]["text"].as_str().unwrap()).unwrap();
    // The fourth is the one that reads the folder of descriptors.
    let foreign = |fd: &&str| !["0", "1", "2"].contains(fd);
    let open: Vec<&str> = seen["fds"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(open.into_iter().filter(foreign).count(), 1, "{seen}");
    let landlock = std::fs::read_to_string("/sys/kernel/security/lsm").map_or(true, |all| all.contains("landlock"));
    for (path, readable) in seen["may"].as_object().unwrap() {
        let fenced = landlock || path.contains(&format!("/proc/{gateway}/"));
        assert!(!fenced || readable == false, "{path} can be read");
    }
}

#[test]
fn programs_do_not_see_each_others_folders_wherever_they_are() {
    let chosen = tempfile::tempdir().unwrap();
    let landlock = std::fs::read_to_string("/sys/kernel/security/lsm").map_or(true, |all| all.contains("landlock"));
    let default = TestGateway::setup();
    let elsewhere = TestGateway::setup().set("stdio.home_dir", chosen.path().display().to_string());
    for setup in [default, elsewhere] {
        let place = programs(setup, &[("spy", &[]), ("victim", &[])]);
        until("listed", || place.editor.tools().contains(&"victim__pid".to_owned()));
        let home = |slug: &str| {
            let lines = environment(&place, &format!("{slug}__env"));
            lines.iter().find_map(|line| line.strip_prefix("HOME=").map(str::to_owned)).unwrap()
        };
        let (own, foreign) = (home("spy"), home("victim"));
        let answer = place.editor.call("spy__sees", json!({ "paths": [own, foreign] })).expect(200).result();
        let seen: Value = serde_json::from_str(answer["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(seen["may"][&own], true, "{seen}");
        assert!(!landlock || seen["may"][&foreign] == false, "{seen}");
    }
}

#[test]
fn a_program_may_write_into_its_own_folder_and_starts_there() {
    let setup = TestGateway::setup();
    let place = programs(setup, &[]);
    let text = "command = \"sh\"\nargs = [\"-c\", \"echo mine > note && cat note >&2 && pwd >&2 && exit 9\"]\n";
    crate::support::programs::write(&place.gateway.setup, "writer", text);
    place.admin.post("/mcp-servers:reload", json!({})).expect(200);
    let report = place.admin.post("/mcp-servers/writer/test", json!({})).expect(200).json();
    assert!(report["error"].as_str().unwrap().contains("exit code 9"), "{report}");
    assert_eq!(report["last_words"][0], "mine");
    assert!(report["last_words"][1].as_str().unwrap().ends_with("/home"), "{report}");
}

#[test]
fn a_command_that_does_not_exist_is_named_to_the_administrator() {
    let place = programs(TestGateway::setup(), &[]);
    crate::support::programs::write(&place.gateway.setup, "none", "command = \"no-such-program\"\n");
    place.admin.post("/mcp-servers:reload", json!({})).expect(200);
    let report = place.admin.post("/mcp-servers/none/test", json!({})).expect(200).json();
    assert!(report["error"].as_str().unwrap().contains("could not be started"), "{report}");
    assert!(report["last_words"][0].as_str().unwrap().contains("no-such-program"), "{report}");
}
