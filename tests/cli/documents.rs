//! The product's documents as they are printed: their scripts, and that every command line of theirs is run by one of the
//! [`transcripts`](super::transcripts) with what it prints below it.

use super::{gateway::Gateway, transcripts::TRANSCRIPTS};

/// The documents. They lost the line ends where their blocks end, and every email address.
pub const TEAM: &str = include_str!("../fixtures/documents/team-management.txt");
pub const SKILLS: &str = include_str!("../fixtures/documents/private-skills.txt");
const SECRETS: &str = include_str!("../fixtures/documents/secrets-and-security.txt");
const TOKENS: &str = include_str!("../fixtures/documents/tokens.txt");
const ADDRESS: &str = "[email protected]";

/// A script of a document, byte for byte: it ends where another text is glued to one of its lines.
#[track_caller]
pub fn script(document: &str, name: &str) -> String {
    let at = document.find(&format!("#!/bin/bash\n# {name}")).expect("the script's beginning");
    let mut script = String::new();
    for line in document[at..].lines() {
        let close = line.rfind('"').filter(|_| line.starts_with("echo \"")).map_or(line.len(), |at| at + 1);
        script.push_str(&line[..close]);
        if close < line.len() {
            return script;
        }
        script.push('\n');
    }
    panic!("{name} has no end")
}

/// Cells of a line: the documents lost their column widths.
pub fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// Whether a line is what was printed: `…` stands for whatever differs from day to day, further columns are ours.
fn is_as_printed(line: &str, printed: &str) -> bool {
    let (got, wanted) = (cells(line), cells(printed));
    let same = |(got, wanted): (&&str, &&str)| match wanted.split_once('…') {
        None => got == wanted,
        Some((begin, end)) => got.starts_with(begin) && got.ends_with(end),
    };
    got.len() >= wanted.len() && got.iter().zip(&wanted).all(same)
}

/// Plays a transcript; what each command printed. Its lines are commands, but for those that begin with
/// - `|`: this is in what the command above printed, in this order;
/// - `@`: from here on somebody else acts, who is logged in under a profile of this name;
/// - `>`: from here on in this folder;
/// - `!`: the next command ends with this exit code, and what is printed is on stderr.
#[track_caller]
pub fn play(gateway: &Gateway, transcript: &str) -> Vec<String> {
    let mut lines = transcript.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let (mut who, mut folder, mut exit) = ("local", ".", 0);
    let mut outputs = Vec::new();
    while let Some(line) = lines.next() {
        match line.split_at_checked(1) {
            Some(("@", name)) => who = name.trim(),
            Some((">", place)) => folder = place.trim(),
            Some(("!", code)) => exit = code.trim().parse().expect("an exit code"),
            _ => {
                let said = gateway.run_as(who, folder, line);
                assert_eq!(said.exit, exit, "aerostack {line}\n{}{}", said.out, said.err);
                let text = if exit == 0 { said.out } else { said.err };
                let mut shown = text.lines();
                while let Some(printed) = lines.next_if(|line| line.starts_with('|')) {
                    let printed = printed.trim_start_matches('|').trim();
                    let there = shown.any(|line| is_as_printed(line, printed));
                    assert!(there, "aerostack {line}: no `{printed}` in\n{text}");
                }
                outputs.push(text);
                exit = 0;
            }
        }
    }
    outputs
}

/// A command line without a comment, with single blanks, and with what the documents print for an address and an id.
fn normal(line: &str) -> String {
    let bare = line.split(" #").next().unwrap_or_default().replace("alice@example.com", ADDRESS);
    bare.replace("bob@example.com", ADDRESS).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The commands of a transcript or a script, as it stands there.
fn commands(text: &str) -> Vec<String> {
    let of_script = text.starts_with("#!");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.filter_map(|line| match of_script {
        true => line.split_once("aerostack ").map(|(_, rest)| rest.trim_end_matches(')')),
        false => (!line.starts_with(['|', '@', '>', '!'])).then_some(line),
    });
    lines.map(normal).collect()
}

/// Everything that is run, with the name of the test that runs it.
fn run() -> Vec<(&'static str, String)> {
    let of = |(test, text): &(&'static str, &str)| -> Vec<_> {
        commands(text).into_iter().map(|command| (*test, command)).collect()
    };
    let mut all: Vec<_> = TRANSCRIPTS.iter().flat_map(of).collect();
    all.extend(of(&("onboard_sh_runs_unchanged", &script(TEAM, "onboard.sh"))));
    all.extend(of(&(
        "team_setup_sh_runs_unchanged_and_a_second_time_changes_nothing",
        &script(SKILLS, "team-setup.sh"),
    )));
    all
}

#[test]
fn every_command_line_that_the_documents_print_is_run() {
    let run = run();
    let mut printed = 0;
    for line in [TEAM, SKILLS, SECRETS, TOKENS].iter().flat_map(|document| document.lines()) {
        let Some(command) = line.trim().strip_prefix("aerostack ") else { continue };
        // How a command is formed, not a command.
        if command.contains("<SECRET_NAME>") {
            continue;
        }
        printed += 1;
        let command = normal(command);
        // What follows without a blank is the next heading.
        let is_run = |(_, one): &(&str, String)| command.strip_prefix(one).is_some_and(|rest| !rest.starts_with(' '));
        assert!(run.iter().any(is_run), "`aerostack {command}` is run by no transcript");
    }
    assert_eq!(printed, 70, "the documents print other command lines than before");
}

/// The kinds of command lines that the documents have, and the test that runs one of each.
const ROWS: [(u32, &str, &str); 29] = [
    (1, "workspace create eng-full", "the_team_document"),
    (2, "workspace use acme-team", "team_setup_sh_runs_unchanged_and_a_second_time_changes_nothing"),
    (3, "workspace token create engineering --name", "the_team_document"),
    (4, "--output token", "onboard_sh_runs_unchanged"),
    (5, "--expires-in 86400", "the_document_about_tokens"),
    (6, "workspace token list engineering", "the_team_document"),
    (7, "workspace token revoke engineering --name", "the_team_document"),
    (8, "workspace token revoke my-workspace TOKEN_ID", "the_document_about_tokens"),
    (9, "workspace audit engineering", "the_team_document"),
    (10, "workspace audit acme-team", "the_document_about_skills"),
    (11, "team invite", "the_team_document"),
    (12, "team list", "the_team_document"),
    (13, "team remove", "the_team_document"),
    (14, "analytics --workspace engineering --period 7d", "the_team_document"),
    (15, "--user \"Alice Chen\" --period 30d", "the_team_document"),
    (16, "--server github-mcp --period 7d", "the_team_document"),
    (17, "--period 30d --format csv > usage-report.csv", "the_team_document"),
    (18, "mcp install internal-api --workspace eng-full", "the_team_document"),
    (19, "mcp list --workspace engineering --tools-only", "onboard_sh_runs_unchanged"),
    (20, "skill publish --name \"internal-crm-skill\" --private team", "the_document_about_skills"),
    (21, "skill publish --name \"my-dev-tool\" --private", "the_document_about_skills"),
    (22, "skill list", "the_document_about_skills"),
    (23, "skill install @acme/internal-crm-skill", "the_document_about_skills"),
    (24, "secrets set github-mcp GITHUB_TOKEN", "the_document_about_secrets"),
    (25, "secrets inject github-mcp GITHUB_TOKEN --header \"Authorization\"", "the_document_about_secrets"),
    (26, "secrets inject github-mcp GITHUB_TOKEN --bearer", "the_document_about_secrets"),
    (27, "secrets list github-mcp", "the_document_about_secrets"),
    (28, "secrets delete github-mcp GITHUB_TOKEN", "the_document_about_secrets"),
    (29, "secrets delete github-mcp --all", "the_document_about_secrets"),
];

#[test]
fn every_kind_of_command_line_is_run_where_the_table_says() {
    let run = run();
    for (number, part, test) in ROWS {
        let there = run.iter().any(|(name, command)| *name == test && command.contains(part));
        assert!(there, "row {number}: {test} runs no `{part}`");
    }
}
