//! The rules of the house that a compiler does not know, as tests: layers, sizes, names, and documents that stay true.
//! They read the sources as text, so that they run in a moment and need nothing of the library's internals.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use aerostack::{cli::Cli, config::Config, error::ErrorCode};
use clap::Parser as _;

#[path = "tidy/docs.rs"]
mod docs;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/security.rs"]
mod security;
#[path = "tidy/steps.rs"]
mod steps;

/// Longest file, in lines.
const FILE_LINES: usize = 500;
/// Longest function, in lines.
const FUNCTION_LINES: usize = 70;

struct Source {
    /// Relative to the repository, with `/`.
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|cause| panic!("{path}: {cause}"))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let built =
            ["target", "node_modules", "run", "__pycache__"].contains(&name.as_str()) || name.starts_with(".venv");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !built => walk(&path, found),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
}

fn files(folders: &[&str], ends: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    folders.iter().for_each(|folder| walk(&root().join(folder), &mut found));
    found.sort();
    let wanted = found.into_iter().filter(|path| ends.iter().any(|end| path.to_string_lossy().ends_with(end)));
    wanted
        .filter_map(|path| {
            let shown = path.strip_prefix(root()).ok()?.to_string_lossy().replace('\\', "/");
            Some(Source { text: fs::read_to_string(&path).ok()?, path: shown })
        })
        .collect()
}

fn rust() -> Vec<Source> {
    files(&["src", "tests", "entities", "migration"], &[".rs"])
}

/// Lines of code with their numbers: comment lines are left out.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Fails with every violation at once.
#[track_caller]
fn none(rule: &str, violations: Vec<String>) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}

/// The places where a line of code contains one of `words`.
fn found(sources: &[Source], words: &[&str]) -> Vec<String> {
    let mut places = Vec::new();
    for source in sources {
        for (number, line) in code(source).filter(|(_, line)| words.iter().any(|word| line.contains(word))) {
            places.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    places
}

/// The module of this crate that a file belongs to, and those it imports: `crate::a…` and `use crate::{a…, b…}`.
fn imports(source: &Source) -> BTreeSet<String> {
    let mut imported = BTreeSet::new();
    let mut word = |rest: &str| {
        let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        if !name.is_empty() {
            imported.insert(name);
        }
    };
    let text = code(source).map(|(_, line)| line).collect::<Vec<_>>().join("\n");
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            word(rest);
            continue;
        };
        let (mut depth, mut fresh) = (1, true);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => fresh = true,
                c if fresh && depth == 1 && !c.is_whitespace() => {
                    word(&group[at..]);
                    fresh = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    imported
}

/// From the ground up. A module may import modules of lower layers; of its own layer only where it is written here.
const LAYERS: &[&[&str]] = &[
    &["error"],
    &["domain", "config", "telemetry"],
    &["protocol"],
    &["store", "upstream", "mail"],
    &["actors"],
    &["gateway", "admin", "web", "ops", "cli", "demo"],
    &["serve", "connect", "host"],
];
/// Imports inside a layer.
const BESIDE: &[(&str, &str)] =
    &[("telemetry", "config"), ("telemetry", "domain"), ("config", "domain"), ("web", "admin")];
/// The command line is an HTTP client: it may know only this much.
const CLI_MAY: &[&str] = &["cli", "admin", "domain", "error", "config", "protocol"];

#[test]
fn imports_point_down() {
    let rank = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut wrong = Vec::new();
    for source in files(&["src"], &[".rs"]) {
        let inner = source.path.trim_start_matches("src/");
        let module = inner.split(['/', '.']).next().unwrap_or_default();
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some(mine) = rank(module) else {
            wrong.push(format!("{}: `{module}` has no layer in tests/tidy.rs", source.path));
            continue;
        };
        for other in imports(&source) {
            let fine = match rank(&other) {
                _ if other == module => true,
                _ if module == "cli" => CLI_MAY.contains(&other.as_str()),
                Some(theirs) => theirs < mine || BESIDE.contains(&(module, other.as_str())),
                // Not a module of the crate's root.
                None => true,
            };
            if !fine {
                wrong.push(format!("{}: `{module}` may not import `{other}`", source.path));
            }
        }
    }
    none("a layer imports only what lies below it (LAYERS)", wrong);
}

#[test]
fn the_command_line_knows_only_the_words_of_the_admin_api() {
    let mut wrong = Vec::new();
    for source in files(&["src/cli"], &[".rs"]) {
        for (number, line) in code(&source) {
            let mut uses = line.match_indices("admin::").map(|(at, _)| &line[at + "admin::".len()..]);
            if !uses.all(|rest| rest.starts_with("dto") || rest.starts_with("{")) {
                wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    none("cli may import admin::dto* only", wrong);
}

#[test]
fn no_file_is_longer_than_a_person_reads_in_one_go() {
    let long = rust().into_iter().map(|source| (source.text.lines().count(), source.path));
    let long = long.filter(|(lines, _)| *lines > FILE_LINES);
    none("at most 500 lines a file", long.map(|(lines, path)| format!("{path}: {lines}")).collect());
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut long = Vec::new();
    for source in rust() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let bare = line.trim_start();
            let mut words = bare.split(' ').skip_while(|word| {
                word.starts_with("pub") || word.ends_with(')') || ["async", "const", "unsafe"].contains(word)
            });
            let (Some("fn"), Some(name)) = (words.next(), words.next()) else { continue };
            // The sources are formatted: a body ends at the first closing brace of the same depth.
            let close = format!("{}}}", &line[..line.len() - bare.len()]);
            let bodiless = format!("{})", close.trim_end_matches('}'));
            let ends = |line: &str| line == close || line.starts_with(&bodiless) && line.ends_with(';');
            let one_line = bare.ends_with('}') || bare.ends_with(';');
            let length = lines[at..].iter().position(|line| ends(line)).map_or(0, |end| end + 1);
            if length > FUNCTION_LINES && !one_line {
                long.push(format!("{}:{}: {name} has {length}", source.path, at + 1));
            }
        }
    }
    none("at most 70 lines a function", long);
}

#[test]
fn names_say_what_a_thing_is() {
    let mut vague = Vec::new();
    for source in rust() {
        for banned in ["util", "helper", "manager", "common", "misc"] {
            if source.path.to_ascii_lowercase().split('/').any(|part| part.trim_end_matches(".rs").contains(banned)) {
                vague.push(format!("{}: `{banned}` in its name", source.path));
            }
            for (number, line) in code(&source) {
                let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let declares = words.any(|word| ["struct", "enum", "trait", "mod", "type"].contains(&word));
                let name = words.next().unwrap_or_default().to_ascii_lowercase();
                if declares && name.contains(banned) && !source.path.ends_with("tidy.rs") {
                    vague.push(format!("{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    none("no utils, helpers, managers, commons", vague);
}

#[test]
fn actors_are_reached_only_through_their_bounded_reference() {
    let mut sources = files(&["src"], &[".rs"]);
    sources.retain(|source| !["src/actors/actor_ref.rs", "src/actors/supervisor.rs"].contains(&source.path.as_str()));
    none(
        "actix's own sends are unbounded: use ActorRef::ask and ActorRef::tell",
        found(&sources, &[".do_send(", "Addr<", "Recipient<"]),
    );
}

/// Everything but this file, which has to name what it forbids.
fn others(mut sources: Vec<Source>) -> Vec<Source> {
    sources.retain(|source| source.path != "tests/tidy.rs");
    sources
}

#[test]
fn an_exception_to_a_lint_gives_its_reason() {
    let sources = others(rust());
    none("use #[expect(…, reason = \"…\")]", found(&sources, &["#[allow(", "#![allow(", "cfg_attr(test, allow("]));
    let mut silent = Vec::new();
    for source in &sources {
        for (at, _) in source.text.match_indices("expect(clippy::").chain(source.text.match_indices("[expect(")) {
            let attribute = &source.text[at..];
            let end = attribute.find(")]").unwrap_or(attribute.len());
            if !attribute[..end].contains("reason = \"") {
                silent.push(format!("{}: {}", source.path, &attribute[..end.min(80)]));
            }
        }
    }
    none("an expectation has a reason", silent);
}

#[test]
fn nothing_is_left_for_later() {
    let sources =
        others(files(&["src", "tests", "entities", "migration", ".ci"], &[".rs", ".py", ".mjs", ".sh", "run"]));
    none("no notes to self in the code", found(&sources, &["TODO", "FIXME", "HACK"]));
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut sources = others(files(
        &["src", "tests", "entities", "migration", ".ci", ".cargo"],
        &[".rs", ".py", ".mjs", ".sh", ".toml", ".md", ".json", ".txt", "run"],
    ));
    for name in ["README.md", "CHANGELOG.md", "config.toml", "Cargo.toml", "clippy.toml", "deny.toml"] {
        sources.push(Source { path: name.into(), text: read(name) });
    }
    let mut places = Vec::new();
    for source in &sources {
        for path in ["/work/", "/root/", "/home/", "/Users/"] {
            for (number, line) in source.text.lines().enumerate().filter(|(_, line)| line.contains(path)) {
                places.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    none("no paths of one machine", places);
}

/// Where a pause is the thing itself: slow tools of example servers, the pace of a load.
const MAY_SLEEP: &[&str] = &["tests/fixtures/", "tests/bench/"];

#[test]
fn no_test_sleeps_until_something_has_happened() {
    let mut sources = others(files(&["tests"], &[".rs"]));
    sources.retain(|source| !MAY_SLEEP.iter().any(|allowed| source.path.starts_with(allowed)));
    none("tests wait for events, not for time", found(&sources, &["sleep("]));
}

#[test]
fn config_toml_names_every_setting_with_its_default_and_what_it_does() {
    let text = read("config.toml");
    let file: toml::Table = text.parse().unwrap();
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    for (section, values) in &defaults {
        for (key, default) in values.as_table().unwrap() {
            let said = file.get(section).and_then(|values| values.get(key));
            assert_eq!(said, Some(default), "config.toml: {section}.{key} (left: the file, right: the default)");
        }
    }
    assert_eq!(file.try_into::<Config>().unwrap(), Config::default(), "config.toml has settings that do not exist");
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ") && !line.starts_with('#')) {
        let comment = at > 0 && lines[at - 1].starts_with("# ");
        let one = at < 2 || !lines[at - 2].starts_with('#');
        assert!(comment && one, "config.toml:{}: exactly one comment line above `{line}`", at + 1);
    }
}

/// JSON-RPC codes with a meaning of their own: no second kind of failure may use them. The rest are the general codes
/// of JSON-RPC, which several kinds share, and "overloaded", which a database that does not answer shares.
const OWN: &[i32] = &[
    -32000, -32001, -32002, -32003, -32010, -32011, -32012, -32013, -32014, -32015, -32016, -32019, -32020, -32021,
    -32022, -32601, -32603, -32700,
];
const SHARED: &[i32] = &[-32600, -32602, -32017];

#[test]
fn error_codes_mean_one_thing_and_are_in_the_readme() {
    let mut uses: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for code in ErrorCode::ALL {
        uses.entry(code.rpc()).or_default().push(code.name());
        assert!(names.insert(code.name()), "{} is there twice", code.name());
    }
    for (code, users) in &uses {
        assert!(OWN.contains(code) || SHARED.contains(code), "{code} ({users:?}) is not in the table of tests/tidy.rs");
        assert!(SHARED.contains(code) || users.len() == 1, "{code} has one meaning, but {users:?} use it");
    }
    let readme = read("README.md");
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `-32")).collect();
    for code in ErrorCode::ALL.iter().filter(|code| OWN.contains(&code.rpc()) || code.rpc() == -32017) {
        let row = rows.iter().find(|row| row.contains(&format!("`{}`", code.rpc())));
        let row = row.unwrap_or_else(|| panic!("README.md lacks the row of {} ({})", code.rpc(), code.name()));
        assert!(row.contains(&code.gateway_status().to_string()), "HTTP {} in: {row}", code.gateway_status());
    }
}

/// The commands of a text's shell blocks, in order, without comments; a line that goes on is one with the next.
fn shell_commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let (mut shell, mut going_on) = (false, false);
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            shell = kind == "sh";
            going_on = false;
            continue;
        }
        let line = line.split(" #").next().unwrap_or_default().trim();
        if !shell || line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part.trim_end(), true));
        match commands.last_mut().filter(|_| going_on) {
            Some(last) => *last = format!("{last} {part}"),
            None => commands.push(part.to_owned()),
        }
        going_on = more;
    }
    commands
}

fn readme_commands() -> Vec<String> {
    shell_commands(&read("README.md"))
}

#[test]
fn the_readme_starts_with_the_two_commands_that_need_nothing() {
    let commands = readme_commands();
    assert_eq!(commands[..2], ["cargo run --release -- serve --demo", "cargo test --workspace"]);
}

/// Splits a line as a shell does, as far as the README needs it; ends at a pipe or a redirection.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '|' | '>' | '<' | ';' | ')') => break,
            (None, ' ') if word.is_empty() => {}
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (_, c) => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[test]
fn every_command_in_the_readme_exists() {
    let mut tried = 0;
    for command in readme_commands() {
        let command = command.replace("cargo run --release --", "aerostack");
        let Some(at) = command.find("aerostack ") else { continue };
        let foreign = command[..at].contains('/') || command[..at].contains("git ");
        if foreign {
            continue;
        }
        let line = words(&command[at..]);
        if let Err(error) = Cli::try_parse_from(&line) {
            let asked_for_help = error.exit_code() == 0;
            assert!(asked_for_help, "README.md: `{command}` does not parse: {error}");
        }
        tried += 1;
    }
    assert!(tried >= 10, "only {tried} commands found: has the form of the code blocks changed?");
}

#[test]
fn every_promise_in_the_readme_has_its_test() {
    let readme = read("README.md");
    let from = readme.find("## What it guarantees").expect("the README says what it guarantees");
    let section = readme[from + 3..].split("\n## ").next().unwrap_or_default();
    let sources = rust();
    let rows: Vec<&str> =
        section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Promise")).collect();
    assert!(rows.len() >= 8, "{} promises", rows.len());
    for row in rows {
        let tests = row.split('|').nth(2).unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test in: {row}");
        for test in named {
            let declared = format!("fn {test}(");
            assert!(sources.iter().any(|source| source.text.contains(&declared)), "no test `{test}` (of: {row})");
        }
    }
}
