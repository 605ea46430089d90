//! The rules of the pages: nothing inline, nothing from elsewhere, and files of others that are what they say.

use std::fs;

use sha2::{Digest as _, Sha256};

use super::{files, none, read, root};

#[test]
fn templates_hold_no_script_and_no_style_and_mark_safe_only_what_was_made_safe() {
    let mut wrong = Vec::new();
    for source in files(&["src/web"], &[".html"]) {
        for (number, line) in source.text.lines().enumerate() {
            let lower = line.to_ascii_lowercase();
            let mut complain = |what: &str| wrong.push(format!("{}:{}: {what}", source.path, number + 1));
            let scripts = lower.match_indices("<script").all(|(at, _)| lower[at..].starts_with("<script src=\""));
            if !scripts || lower.contains("javascript:") || lower.contains("hx-on") || lower.contains("js:") {
                complain("a script inside the page");
            }
            if lower.contains("<style") || lower.contains(" style=") {
                complain("a style inside the page");
            }
            if handles_event(&lower) {
                complain("an event handler inside the page");
            }
            for (at, _) in line.match_indices("|safe") {
                let from = line[..at].rfind("{{").map_or(0, |open| open + 2);
                let expression = line[from..at].trim();
                let made = ["show::", "self::"].iter().any(|known| expression.starts_with(known));
                if !made && !expression.ends_with(".state") {
                    complain(&format!("safe: {expression}"));
                }
            }
        }
    }
    none("the pages' policy allows nothing inline; what is safe comes from web::show", wrong);
}

/// Whether a line has an attribute like `onclick=`.
fn handles_event(line: &str) -> bool {
    line.split(' ').any(|word| {
        let name = word.split('=').next().unwrap_or_default();
        word.contains('=')
            && name.len() > 3
            && name.starts_with("on")
            && name.bytes().all(|byte| byte.is_ascii_lowercase())
    })
}

#[test]
fn files_of_others_are_what_their_projects_published() {
    let folder = "src/web/assets/vendor";
    let table = read(&format!("{folder}/VENDOR.md"));
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('.') && !line.starts_with("| File"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let mut there: Vec<String> = files(&[folder], &[".js", ".css"]).into_iter().map(|source| source.path).collect();
    there.sort();
    let mut named: Vec<String> = rows.iter().map(|row| format!("{folder}/{}", row[1])).collect();
    named.sort();
    assert_eq!(named, there, "VENDOR.md names every file (left), and every file is there (right)");
    for row in &rows {
        let bytes = fs::read(root().join(folder).join(row[1])).unwrap();
        assert!(bytes.len() < 256 * 1024, "{}: {} bytes", row[1], bytes.len());
        let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sum, row[4], "{}", row[1]);
        let licence = row[3].split('`').nth(1).unwrap_or_default();
        assert!(root().join(folder).join(licence).exists(), "{}: its licence {licence}", row[1]);
    }
}
