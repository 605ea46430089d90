//! The audit log shows tampering: through the API, on the command line, and offline with the database and the key alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::support::{Place, TestGateway, database::fresh_postgres, place_with, process::Setup, until};

/// Changes a database behind the gateway's back.
pub(super) fn sql(url: &str, statements: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = sea_orm::Database::connect(url).await.unwrap();
        db.execute_unprepared(statements).await.unwrap();
        db.close().await.unwrap();
    });
}

pub(super) fn sqlite(data_dir: &Path) -> String {
    format!("sqlite://{}", data_dir.join("aerostack.db").display())
}

/// Runs `aerostack audit verify` on the gateway's machine.
pub(super) fn verify(setup: &Setup, arguments: &[&str]) -> Output {
    setup.command().args(["audit", "verify"]).args(arguments).output().unwrap()
}

pub(super) fn said(output: &Output) -> String {
    format!(
        "{:?} {}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn acts(setup: Setup) -> Place {
    let place = place_with(setup, &[]);
    for n in 1..=8 {
        place.admin.token("eng", &format!("Token {n}"));
    }
    place
}

fn copy_of(data_dir: &Path, to: PathBuf) -> PathBuf {
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(data_dir).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    to
}

const TAMPERING: &[(&str, &str, &str)] = &[
    ("changed", "entry 4 was changed", "UPDATE audit_entries SET actor = 'user:bob@acme' WHERE seq = 4"),
    ("redated", "entry 7 was changed", "UPDATE audit_entries SET ts_ms = ts_ms - 1 WHERE seq = 7"),
    ("removed", "entry 5 is missing", "DELETE FROM audit_entries WHERE seq = 5"),
    ("beheaded", "entry 1 is missing", "DELETE FROM audit_entries WHERE seq < 4"),
    ("cut", "entry 9 is missing", "DELETE FROM audit_entries WHERE seq > 8"),
    ("hidden", "entry 6 is shown under another", "DELETE FROM audit_workspaces WHERE seq = 6"),
    (
        "swapped",
        "entry 4 was changed",
        "UPDATE audit_entries SET seq = CASE seq WHEN 4 THEN -5 ELSE -4 END WHERE seq IN (4, 5);
         UPDATE audit_entries SET seq = -seq WHERE seq < 0",
    ),
    (
        "inserted",
        "entry 5 was changed",
        "UPDATE audit_entries SET seq = -seq WHERE seq > 4; UPDATE audit_entries SET seq = 1 - seq WHERE seq < 0;
         INSERT INTO audit_entries SELECT 5, ts_ms, namespace_id, kind, actor, action, target, meta, key_version, mac
         FROM audit_entries WHERE seq = 4",
    ),
];

/// Each column of an entry, changed alone.
fn changed_columns() -> Vec<(String, String, String)> {
    let column = |(name, to, found): &(&str, &str, &str)| {
        (
            format!("{name}-changed"),
            (*found).to_owned(),
            format!("UPDATE audit_entries SET {name} = {to} WHERE seq = 4"),
        )
    };
    let changed = "entry 4 was changed";
    let columns = [
        ("ts_ms", "ts_ms + 1", changed),
        ("actor", "'user:bob@acme'", changed),
        ("action", "'token_revoked'", changed),
        ("target", "'token:X'", changed),
        ("meta", "meta || ' '", changed),
        ("mac", "(SELECT mac FROM audit_entries WHERE seq = 5)", changed),
        ("kind", "'security'", "entry 4 is shown under another"),
        ("key_version", "7", "version 7 of the audit key"),
    ];
    columns.iter().map(column).collect()
}

fn all_tampering() -> Vec<(String, String, String)> {
    let done = |(name, found, statements): &(&str, &str, &str)| {
        ((*name).to_owned(), (*found).to_owned(), (*statements).to_owned())
    };
    TAMPERING.iter().map(done).chain(changed_columns()).collect()
}

/// S-70: tampering is found, with the entry it begins at.
#[test]
fn whatever_is_done_to_an_entry_by_sql_is_found_without_the_gateway() {
    let mut place = acts(TestGateway::setup());
    let setup = place.gateway.setup.clone();
    // Beside the gateway that runs.
    let data = setup.data_dir();
    let whole = verify(&setup, &["--data-dir", data.to_str().unwrap()]);
    assert_eq!(whole.status.code(), Some(0), "{}", said(&whole));
    assert!(said(&whole).contains("✓ The audit log is intact: "), "{}", said(&whole));
    place.gateway.signal("TERM");
    place.gateway.ended(std::time::Duration::from_secs(20));
    for (name, found, statements) in all_tampering() {
        let copy = copy_of(&data, data.with_file_name(&name));
        sql(&sqlite(&copy), &statements);
        let checked = verify(&setup, &["--data-dir", copy.to_str().unwrap()]);
        assert_eq!(checked.status.code(), Some(1), "{name}: {}", said(&checked));
        assert!(said(&checked).contains(&found), "{name}: {}", said(&checked));
    }
    let json = verify(&setup, &["--data-dir", data.with_file_name("removed").to_str().unwrap(), "-o", "json"]);
    let verdict: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&verdict["intact"], &verdict["broken"]["seq"]), (&json!(false), &json!(5)), "{verdict}");
}

#[test]
fn whatever_is_done_to_an_entry_by_sql_is_found_on_postgres_too() {
    let Some(url) = fresh_postgres() else { return };
    let mut place = acts(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url));
    let setup = place.gateway.setup.clone();
    let data = setup.data_dir();
    place.gateway.signal("TERM");
    place.gateway.ended(std::time::Duration::from_secs(20));
    let name = url.rsplit('/').next().and_then(|rest| rest.split('?').next()).unwrap();
    let server = url.replace(&format!("/{name}?"), "/postgres?");
    for (number, (what, found, statements)) in all_tampering().into_iter().enumerate() {
        let copy = format!("{name}_{number}");
        sql(&server, &format!("CREATE DATABASE {copy} TEMPLATE {name}"));
        let copy = url.replace(&format!("/{name}?"), &format!("/{copy}?"));
        let check = || {
            let mut command = setup.command();
            command.env_remove("AEROSTACK_DATABASE_URL").args(["audit", "verify", "--data-dir"]).arg(&data);
            command.args(["--database-url", &copy]).output().unwrap()
        };
        let whole = if number == 0 { check().status.code() } else { Some(0) };
        assert_eq!(whole, Some(0), "{what}");
        sql(&copy, &statements);
        let checked = check();
        assert_eq!(checked.status.code(), Some(1), "{what}: {}", said(&checked));
        assert!(said(&checked).contains(&found), "{what}: {}", said(&checked));
    }
}

/// Makes a log older: every entry was written that many days before, by the same gateway. Nobody can do that without the
/// gateway's key.
fn age(setup: &Setup, url: &str, days: i64) {
    use aerostack::{
        actors::{key_source::ConfiguredKeys, secret_vault::Vault},
        config::DatabaseConfig,
        domain::audit_chain::{AuditRow, GENESIS},
        store::Store,
    };
    use entities::{audit_entry, audit_head};
    use sea_orm::{ActiveModelTrait as _, EntityTrait as _, QueryOrder as _, Set};

    let folder = setup.data_dir();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = match url.starts_with("sqlite") {
            true => DatabaseConfig::default(),
            false => DatabaseConfig { url: url.to_owned(), ..DatabaseConfig::default() },
        };
        let store = Store::open_beside(&config, &folder).await.unwrap();
        let keys = Vault::audit_keys_beside(&store, ConfiguredKeys::default(), &folder).await.unwrap();
        store.close().await;
        let db = sea_orm::Database::connect(url).await.unwrap();
        let (mut mac, mut last) = (GENESIS, 0);
        for row in audit_entry::Entity::find().order_by_asc(audit_entry::Column::Seq).all(&db).await.unwrap() {
            let ts_ms = row.ts_ms - days * 86_400_000;
            let (seq, at) = (u64::try_from(row.seq).unwrap(), u64::try_from(ts_ms).unwrap());
            let signed = AuditRow {
                seq,
                ts_ms: at,
                actor: &row.actor,
                action: &row.action,
                target: &row.target,
                meta: &row.meta,
            };
            mac = keys.iter().find(|key| key.version == 1).unwrap().mac(&mac, &signed);
            last = ts_ms;
            let older = audit_entry::ActiveModel { ts_ms: Set(ts_ms), mac: Set(mac.to_vec()), ..row.into() };
            older.update(&db).await.unwrap();
        }
        let head = audit_head::Entity::find_by_id("head".to_owned()).one(&db).await.unwrap().unwrap();
        let head = audit_head::ActiveModel { mac: Set(mac.to_vec()), ts_ms: Set(last), ..head.into() };
        head.update(&db).await.unwrap();
        db.close().await.unwrap();
    });
}

fn what_is_too_old_goes(setup: Setup, url: &str) {
    let mut place = acts(setup);
    let setup = place.gateway.setup.clone();
    let key = place.admin.key.clone();
    place.gateway.signal("TERM");
    place.gateway.ended(std::time::Duration::from_secs(20));
    age(&setup, url, 40);
    let folder = setup.data_dir();
    let offline = || verify(&setup, &["--data-dir", folder.to_str().unwrap()]);
    assert_eq!(offline().status.code(), Some(0), "an old log is intact: {}", said(&offline()));
    let kept = setup.clone().start();
    kept.admin_with(&key).token("eng", "The first of today");
    let before = kept.admin_with(&key).post("/audit:verify", json!({})).expect(200).json();
    assert_eq!((&before["intact"], &before["pruned_through"]), (&json!(true), &json!(0)), "{before}");
    drop(kept);

    let next = setup.clone().set("audit.retention_days", 30).start();
    let admin = next.admin_with(&key);
    let verdict = || admin.post("/audit:verify", json!({})).expect(200).json();
    until("what is too old is removed", || verdict()["pruned_through"].as_u64() > Some(0));
    let after = verdict();
    assert_eq!(after["intact"], json!(true), "{after}");
    let rows = admin.get("/audit?limit=500&kind=admin").expect(200).json();
    let targets: Vec<&Value> = rows["data"].as_array().unwrap().iter().map(|row| &row["target"]).collect();
    assert_eq!(targets, [&json!("The first of today")], "{rows}");
    // Written on, and checked offline: from the cut on, and what stands of it.
    admin.token("eng", "After the cut");
    let whole = offline();
    assert_eq!(whole.status.code(), Some(0), "{}", said(&whole));
    assert!(said(&whole).contains(" removed in order"), "{}", said(&whole));
    // A cut that the gateway did not make is no cut.
    sql(
        url,
        "UPDATE audit_head SET seq = seq + 1, mac = (SELECT mac FROM audit_entries WHERE seq = audit_head.seq + 1) WHERE name = 'pruned'",
    );
    sql(url, "DELETE FROM audit_entries WHERE seq <= (SELECT seq FROM audit_head WHERE name = 'pruned')");
    let forged = offline();
    assert_eq!(forged.status.code(), Some(1), "{}", said(&forged));
    assert!(said(&forged).contains("is not genuine"), "{}", said(&forged));
    assert_eq!(verdict()["broken"]["flaw"], json!("forged_prune"));
}

#[test]
fn what_is_older_than_it_is_kept_goes_with_a_cut_that_only_the_gateway_can_make() {
    let setup = TestGateway::setup();
    let url = sqlite(&setup.data_dir());
    what_is_too_old_goes(setup, &url);
}

#[test]
fn what_is_older_than_it_is_kept_goes_on_postgres_too() {
    let Some(url) = fresh_postgres() else { return };
    what_is_too_old_goes(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url), &url);
}

/// S-71: no act without its entry.
#[test]
fn what_cannot_be_written_into_the_log_is_not_done() {
    let place = acts(TestGateway::setup());
    let url = sqlite(&place.gateway.setup.data_dir());
    sql(&url, "CREATE TRIGGER refuse BEFORE INSERT ON audit_entries BEGIN SELECT RAISE(FAIL, 'no more'); END");
    let names = || -> Vec<String> {
        let rows = place.admin.get("/workspaces/eng/tokens?limit=500").expect(200).json();
        rows["data"].as_array().unwrap().iter().map(|row| format!("{} {}", row["name"], row["status"])).collect()
    };
    let before = names();
    let made = place.admin.post("/workspaces/eng/tokens", json!({ "name": "Untraced" }));
    assert!(made.status >= 500, "{}", made.text());
    let revoked = place.admin.delete(&format!("/workspaces/eng/tokens/{}", place.token.id));
    assert!(revoked.status >= 500, "{}", revoked.text());
    assert_eq!(names(), before, "neither was done");
    sql(&url, "DROP TRIGGER refuse");
    place.admin.revoke("eng", &place.token.id);
    assert_eq!(place.admin.post("/audit:verify", json!({})).expect(200).json()["intact"], json!(true));
}

#[test]
fn what_cannot_be_checked_is_not_called_intact() {
    let mut place = acts(TestGateway::setup());
    let setup = place.gateway.setup.clone();
    place.gateway.signal("TERM");
    place.gateway.ended(std::time::Duration::from_secs(20));
    let data = setup.data_dir();
    let nowhere = data.with_file_name("nowhere");
    let other =
        setup.clone().env("WORKFLOW_SECRETS_KEY", "f3a1c95b07de4286b9d25e8f17a0643cc84b9e02d76f31a5807c2be94d105f6a");
    let folder = data.to_str().unwrap();
    for (what, output) in [
        ("no database", verify(&setup, &["--data-dir", nowhere.to_str().unwrap()])),
        ("another key", verify(&other, &["--data-dir", folder])),
        ("no checkpoints", verify(&setup, &["--data-dir", folder, "--checkpoint", "out"])),
    ] {
        assert_eq!(output.status.code(), Some(2), "{what}: {}", said(&output));
        assert!(!said(&output).contains("is intact"), "{what}: {}", said(&output));
    }
    assert!(!nowhere.exists(), "nothing is made");
    // A log in JSON holds checkpoints as well.
    let logged = verify(&setup, &["--data-dir", folder, "--checkpoint", "log"]);
    assert_eq!(logged.status.code(), Some(0), "{}", said(&logged));
    assert!(!said(&logged).contains(" 0 checkpoints"), "{}", said(&logged));
}

/// The seq of the last checkpoint in a file.
fn last_checkpoint(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let last = text.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
    last.and_then(|line| line["seq"].as_u64()).unwrap_or_default()
}

#[test]
fn a_log_cut_at_its_end_is_found_when_a_checkpoint_was_kept() {
    let setup = TestGateway::setup();
    let file = setup.data_dir().with_file_name("checkpoints.jsonl");
    let setup = setup.set("audit.checkpoint_file", file.display()).set("audit.checkpoint_seconds", 1);
    let mut place = acts(setup.clone());
    let head = place.admin.post("/audit:verify", json!({})).expect(200).json()["head"]["seq"].as_u64().unwrap();
    until("a checkpoint of the end", || last_checkpoint(&file) >= head);
    place.gateway.signal("TERM");
    place.gateway.ended(std::time::Duration::from_secs(20));
    let kept = last_checkpoint(&file);
    let cut = kept - 2;
    sql(
        &sqlite(&setup.data_dir()),
        &format!(
            "DELETE FROM audit_entries WHERE seq > {cut}; DELETE FROM audit_workspaces WHERE seq > {cut};
             UPDATE audit_head SET seq = {cut}, mac = (SELECT mac FROM audit_entries WHERE seq = {cut}) WHERE name = 'head'"
        ),
    );
    let folder = setup.data_dir();
    let folder = folder.to_str().unwrap();
    let blind = setup
        .command()
        .env_remove("AEROSTACK_AUDIT_CHECKPOINT_FILE")
        .args(["audit", "verify", "--data-dir", folder])
        .output()
        .unwrap();
    assert_eq!(blind.status.code(), Some(0), "nothing inside the database shows it: {}", said(&blind));
    assert!(said(&blind).contains("without a checkpoint"), "{}", said(&blind));
    let seeing = setup
        .command()
        .env_remove("AEROSTACK_AUDIT_CHECKPOINT_FILE")
        .args(["audit", "verify", "--data-dir", folder, "--checkpoint", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(seeing.status.code(), Some(1), "{}", said(&seeing));
    assert!(said(&seeing).contains(&format!("entry {} is missing", cut + 1)), "{}", said(&seeing));
    // The gateway goes on from the cut, and its own file still tells.
    let next = setup.start();
    for n in 20..24 {
        next.admin_with(&place.admin.key).token("eng", &format!("Later {n}"));
    }
    let verdict = next.admin_with(&place.admin.key).post("/audit:verify", json!({})).expect(200).json();
    assert_eq!((&verdict["intact"], &verdict["broken"]["flaw"]), (&json!(false), &json!("other_than_checkpoint")));
}

#[test]
fn a_command_gets_each_checkpoint_and_none_of_the_keys() {
    let setup = TestGateway::setup();
    let file = setup.data_dir().with_file_name("told");
    let script = format!("[\"sh\", \"-c\", \"cat >> {0}; env >> {0}\"]", file.display());
    let setup = setup.set("audit.checkpoint_command", script).set("audit.checkpoint_seconds", 1);
    let place =
        acts(setup.env("WORKFLOW_SECRETS_KEY", "f3a1c95b07de4286b9d25e8f17a0643cc84b9e02d76f31a5807c2be94d105f6a"));
    let told = || fs::read_to_string(&file).unwrap_or_default();
    until("the command got a checkpoint", || told().contains("\"mac\":\"") && told().contains("PATH="));
    assert!(!told().contains("WORKFLOW_") && !told().contains("f3a1c95b"), "{}", told());
    let line = told().lines().next().unwrap().to_owned();
    let known: Value = serde_json::from_str(&line).unwrap();
    let place_of = |seq: u64, mac: &Value| json!({ "checkpoints": [{ "seq": seq, "mac": mac }] });
    let fitting = place.admin.post("/audit:verify", place_of(known["seq"].as_u64().unwrap(), &known["mac"]));
    let verdict = fitting.expect(200).json();
    assert_eq!((&verdict["intact"], &verdict["checkpoints"]), (&json!(true), &json!(1)), "{verdict}");
    let beyond = place.admin.post("/audit:verify", place_of(10_000, &known["mac"])).expect(200).json();
    assert_eq!(beyond["broken"]["flaw"], "missing");
    place.admin.post("/audit:verify", place_of(1, &json!("00"))).expect(422);
    let foreign = json!({ "checkpoints": [{ "seq": 1, "mac": known["mac"], "instance": "0" }] });
    place.admin.post("/audit:verify", foreign).expect(422);
}

#[test]
fn a_place_for_checkpoints_that_cannot_be_used_is_said_at_the_start() {
    let setup = TestGateway::setup().set("audit.checkpoint_file", "/no/such/folder/checkpoints");
    let output = setup.fails();
    assert!(said(&output).contains("audit.checkpoint_file cannot be used"), "{}", said(&output));
}

#[test]
fn tampering_is_found_on_postgres_through_the_api_and_offline() {
    let Some(url) = fresh_postgres() else { return };
    let place = acts(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url));
    let check = || place.admin.post("/audit:verify", json!({})).expect(200).json();
    assert_eq!(check()["intact"], json!(true));
    sql(&url, "UPDATE audit_entries SET target = 'token:X' WHERE seq = 3");
    assert_eq!(
        check()["broken"],
        json!({ "seq": 3, "flaw": "changed",
        "explanation": "entry 3 was changed, put there or moved, or the one before it was" })
    );
    let data = place.gateway.setup.data_dir();
    let offline = |setup: &Setup, more: &[&str]| {
        let mut command: Command = setup.command();
        command.env_remove("AEROSTACK_DATABASE_URL").args(["audit", "verify", "--data-dir"]).arg(&data).args(more);
        command.output().unwrap()
    };
    let found = offline(&place.gateway.setup, &["--database-url", &url]);
    assert_eq!(found.status.code(), Some(1), "{}", said(&found));
    assert!(said(&found).contains("entry 3 was changed"), "{}", said(&found));
    sql(&url, "DELETE FROM audit_entries WHERE seq = 2");
    assert_eq!(check()["broken"]["seq"], json!(2));
}

#[test]
fn the_whole_namespaces_log_is_listed_and_its_cells_are_no_formulas() {
    let place = place_with(TestGateway::setup(), &[]);
    place.admin.token("eng", "=HYPERLINK(\"http://x\")");
    place.admin.server("toy", "http://127.0.0.1:9/mcp");
    let all = place.admin.get("/audit?limit=3").expect(200).json();
    assert_eq!(all["data"].as_array().unwrap().len(), 3);
    let cursor = all["next_cursor"].as_str().unwrap();
    let next = place.admin.get(&format!("/audit?limit=100&cursor={cursor}")).expect(200).json();
    let actions: Vec<&str> = [&all, &next]
        .iter()
        .flat_map(|page| page["data"].as_array().unwrap())
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    assert!(actions.contains(&"account_created") && actions.contains(&"workspace_created"), "{actions:?}");
    place.admin.get("/audit?kind=call").expect(400);
    let list = |more: &[&str]| {
        let output = place.gateway.setup.command().args(["audit", "list"]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(list(&[]).lines().next().unwrap().starts_with("DATE"));
    let csv = list(&["-o", "csv", "--kind", "admin"]);
    assert!(csv.starts_with("at,user,action\r\n"), "{csv}");
    assert!(csv.contains("token_created: =HYPERLINK"), "an action before it keeps it from being a formula: {csv}");
    let tokens =
        place.gateway.setup.command().args(["workspace", "token", "list", "eng", "-o", "csv"]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&tokens.stdout).contains("\"'=HYPERLINK(\"\"http://x\"\")\","),
        "{}",
        said(&tokens)
    );
    assert!(csv.lines().all(|line| line.split(',').all(|cell| !cell.trim_matches('"').starts_with('='))), "{csv}");
}

#[test]
fn a_log_that_the_gateway_did_not_check_is_not_called_broken() {
    let mut place = acts(TestGateway::setup());
    let setup = place.gateway.setup.clone();
    let foreign = setup.data_dir().with_file_name("foreign.jsonl");
    let line = format!(
        "{{\"instance\":\"0190a0b0-0000-7000-8000-000000000000\",\"seq\":1,\"mac\":\"{}\"}}\n",
        "ab".repeat(32)
    );
    fs::write(&foreign, line).unwrap();
    let accounts = crate::support::Accounts::in_folder(&setup.data_dir());
    accounts.make("mallory");
    let key = accounts.key("mallory", "mallory");
    let unchecked = |what: &str, output: &Output, why: &str| {
        assert_eq!(output.status.code(), Some(2), "{what}: {}", said(output));
        assert!(said(output).contains(why), "{what}: {}", said(output));
    };
    assert_eq!(verify(&setup, &[]).status.code(), Some(0));
    let checkpoint = ["--checkpoint", foreign.to_str().unwrap()];
    unchecked("foreign", &verify(&setup, &checkpoint), "belongs to another installation");
    unchecked("forbidden", &verify(&setup.clone().env("AEROSTACK_API_KEY", &key), &[]), "403");
    unchecked("no key", &verify(&setup.clone().env("AEROSTACK_API_KEY", "aak_x"), &[]), "401");
    place.gateway.signal("TERM");
    place.gateway.ended(std::time::Duration::from_secs(20));
    unchecked("nobody there", &verify(&setup, &[]), "127.0.0.1");
}
