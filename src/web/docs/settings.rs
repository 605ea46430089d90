//! The page of settings, from `config.toml` itself; a test of the repository holds that file to the program.

use std::fmt::Write as _;

use super::markdown::{code, text};

const FILE: &str = include_str!("../../../config.toml");

/// A section for every table of the file, and in it one for every setting.
pub fn page() -> String {
    let (mut out, mut section, mut comment) = (String::new(), "", "");
    for line in FILE.lines() {
        if let Some(said) = line.strip_prefix("# ") {
            comment = said;
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            let _infallible = write!(out, "\n## {name} {{#{name}}}\n\n{}\n", text(comment));
        } else if let Some((key, default)) = line.split_once(" = ") {
            let variable = format!("AEROSTACK_{section}_{key}").to_uppercase();
            let _infallible = write!(
                out,
                "\n### {section}.{} {{#{section}-{key}}}\n\n{}\n\nDefault {} · environment {}\n",
                text(key),
                text(comment),
                code(default),
                code(&variable),
            );
        }
    }
    out
}
