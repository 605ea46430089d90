//! Rules of security that a reader can check at a glance: every one that people and their acts are under is held by a test
//! that says so, and nothing is done without saying who does it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, code, files, none, rust};

/// What becomes of a rule.
enum Rule {
    /// A test names it: `/// S-66: …`.
    Held,
    /// None does, and this is why.
    Exempt(&'static str),
}
use Rule::{Exempt, Held};

/// The rules about tokens, limits and people, the audit log, and the pages.
const RULES: &[(u32, Rule)] = &[
    (60, Held),
    (61, Held),
    (62, Held),
    (63, Exempt("one gateway serves a database: database.exclusive")),
    (64, Held),
    (65, Held),
    (66, Held),
    (67, Held),
    (70, Held),
    (71, Held),
    (72, Held),
    (73, Held),
    (74, Held),
    (75, Held),
    (80, Held),
    (81, Held),
    (82, Held),
    (83, Held),
    (84, Held),
    (85, Held),
    (86, Held),
    (87, Held),
    (88, Exempt("no test knows advisories: .ci/run asks cargo-deny")),
];

/// The rules that the line above a test names: `/// S-66, S-67: …`.
fn named(line: &str) -> impl Iterator<Item = u32> {
    let ids = line.trim().strip_prefix("/// S-").and_then(|rest| rest.split_once(':')).map(|(ids, _)| ids);
    ids.into_iter().flat_map(|ids| ids.split(", ").filter_map(|id| id.trim_start_matches("S-").parse().ok()))
}

/// Of each rule, the tests that name it.
fn held() -> BTreeMap<u32, Vec<String>> {
    let mut held: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for source in rust().iter().filter(|source| !source.path.starts_with("tests/tidy")) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let below = lines.iter().skip(at + 1).map(|line| line.trim());
            let mut attributes = below.take_while(|line| line.starts_with("///") || line.starts_with("#["));
            let is_test = attributes.any(|line| line.starts_with("#[") && line.contains("test]"));
            for id in named(line).filter(|_| is_test) {
                held.entry(id).or_default().push(format!("{}:{}", source.path, at + 1));
            }
        }
    }
    held
}

#[test]
fn every_rule_about_people_the_log_and_pages_is_named_by_a_test_that_holds_it() {
    let held = held();
    let mut wrong = Vec::new();
    for (id, rule) in RULES {
        match (rule, held.get(id)) {
            (Held, None) => wrong.push(format!("S-{id}: no test says `/// S-{id}: …`")),
            (Exempt(why), Some(tests)) => wrong.push(format!("S-{id} is held ({tests:?}); it was exempt: {why}")),
            _ => {}
        }
    }
    let known: BTreeSet<u32> = RULES.iter().map(|(id, _)| *id).collect();
    let unknown = held.keys().filter(|id| (60..90).contains(*id) && !known.contains(id));
    wrong.extend(unknown.map(|id| format!("S-{id} is named by a test and is not in RULES")));
    none("each rule has its tests (tests/tidy/security.rs)", wrong);
}

/// Where transactions are that nobody acts in, how many, and what they are.
const UPKEEP: &[(&str, usize, &str)] = &[
    ("src/actors/authority.rs", 3, "times of last use, sessions of editors that are over"),
    ("src/actors/authority_logins.rs", 1, "a login that somebody unknown begins"),
    ("src/actors/authority_sessions.rs", 2, "times of last use, sessions that are over"),
    ("src/actors/catalog_sharing.rs", 1, "what a removal left to do"),
    ("src/actors/catalog_tools.rs", 1, "what a server was seen to offer"),
    ("src/actors/keyring.rs", 1, "the installation's own keys"),
    ("src/actors/vault.rs", 1, "a damaged secret is marked"),
    ("src/admin/doctor.rs", 1, "does it take writes"),
    ("src/admin/idempotency.rs", 2, "answers that are kept"),
    ("src/gateway/session.rs", 3, "what an editor says of its session"),
    ("src/store/audit_check.rs", 1, "entries that are too old"),
];

/// Where entries are made of which nobody's rights are looked at, and why that is right.
const UNWARRANTED: &[(&str, &str)] = &[
    ("src/actors/audit_log.rs", "refusals"),
    ("src/actors/authority_sessions.rs", "signing in proves who it is; changes add a warrant"),
    ("src/actors/catalog_sharing.rs", "the gateway's own doing"),
    ("src/actors/catalog_tools.rs", "the gateway's own doing"),
    ("src/actors/vault.rs", "the gateway's own doing"),
    ("src/host.rs", "the operator on the host"),
    ("src/host/backup.rs", "the operator on the host"),
    ("src/store/audit.rs", "where it is defined"),
];

/// Acts that end or change the rights they are done with.
const OWN_RIGHTS: &[&str] = &["src/actors/authority_keys.rs", "src/actors/authority_members.rs", "src/store/audit.rs"];

/// The sources without their tests.
fn product() -> Vec<Source> {
    let is_test = |path: &str| ["tests", "testing", "fixture"].iter().any(|part| path.contains(part));
    let mut sources = files(&["src"], &[".rs"]);
    sources.retain(|source| !is_test(&source.path));
    for source in &mut sources {
        if let Some(at) = source.text.find("#[cfg(test)]\nmod tests {") {
            source.text.truncate(at);
        }
    }
    sources
}

/// In which files a line of code has `word`, and how often.
fn counts(sources: &[Source], word: &str) -> BTreeMap<String, usize> {
    let of = |source: &Source| code(source).map(|(_, line)| line.matches(word).count()).sum::<usize>();
    sources.iter().map(|source| (source.path.clone(), of(source))).filter(|(_, times)| *times > 0).collect()
}

#[test]
fn nothing_is_done_without_saying_who_does_it() {
    let sources = product();
    let upkeep = counts(&sources, ".upkeep(");
    let known: BTreeMap<String, usize> = UPKEEP.iter().map(|(path, times, _)| ((*path).to_owned(), *times)).collect();
    let differ = |path: &&String| upkeep.get(*path) != known.get(*path);
    let all: BTreeSet<&String> = upkeep.keys().chain(known.keys()).collect();
    let wrong = all.into_iter().filter(differ);
    none(
        "what somebody does is a Store::write; upkeep is in UPKEEP",
        wrong.map(|path| format!("{path}: {:?}, known {:?}", upkeep.get(path), known.get(path))).collect(),
    );
    let entries = counts(&sources, "AuditEntry::by_actor(");
    let fine = |path: &&String| UNWARRANTED.iter().any(|(known, _)| *known == path.as_str());
    none(
        "an act's entry is AuditEntry::new(by, …); others are in UNWARRANTED",
        entries.keys().filter(|path| !fine(path)).cloned().collect(),
    );
    let own = counts(&sources, "of_own_rights(");
    none("OWN_RIGHTS", own.keys().filter(|path| !OWN_RIGHTS.contains(&path.as_str())).cloned().collect());
}
