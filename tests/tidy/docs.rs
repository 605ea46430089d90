//! The rules of the documentation: its command lines make sense, and nothing in it needs more than the renderer knows.

use aerostack::cli::Cli;
use clap::Parser as _;

use super::{files, none, shell_commands, words};

#[test]
fn every_command_in_the_documentation_exists() {
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for page in files(&["src/docs"], &[".md"]) {
        for command in shell_commands(&page.text) {
            let command = command.replace("cargo run --release --", "aerostack");
            if !command.starts_with("aerostack ") {
                continue;
            }
            tried += 1;
            if let Err(error) = Cli::try_parse_from(words(&command)) {
                wrong.push(format!("{}: `{command}`: {error}", page.path));
            }
        }
    }
    none("command lines of the documentation parse", wrong);
    assert!(tried >= 80, "only {tried} commands found: has the form of the code blocks changed?");
}

#[test]
fn pages_link_to_pages_by_file_and_hold_no_markup_of_their_own() {
    let mut wrong = Vec::new();
    for page in files(&["src/docs"], &[".md"]) {
        let mut code = false;
        for (number, line) in page.text.lines().enumerate() {
            if line.starts_with("```") {
                code = !code;
            }
            if code {
                continue;
            }
            let mut complain = |what: &str| wrong.push(format!("{}:{}: {what}", page.path, number + 1));
            let plain: String = line.split('`').step_by(2).collect();
            if plain.contains('<') {
                complain("markup is shown as text");
            }
            if plain.contains("](/docs") {
                complain("name the page's file, so that the link works in a checkout as well");
            }
            if plain.contains("![") {
                complain("pages have no pictures");
            }
        }
    }
    none("src/docs/*.md", wrong);
}
