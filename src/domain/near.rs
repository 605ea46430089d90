//! "Did you mean …?": the known name that is most like a mistyped one.

/// Below this likeness a guess is more confusing than none.
const LIKELY: f64 = 0.8;

/// The name among `known` that was probably meant.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|name| (strsim::jaro_winkler(typed, name), name));
    scored.filter(|(score, _)| *score > LIKELY).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// A mistyped name as a message may repeat it: short, and without characters that do something.
pub fn shown(typed: &str) -> String {
    typed.chars().take(64).flat_map(char::escape_debug).collect()
}

/// `No server "githb-mcp". Did you mean github-mcp?`
pub fn no_such<'a>(kind: &str, typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let shown = shown(typed);
    match nearest(typed, known) {
        Some(near) if near != typed => format!("No {kind} \"{shown}\". Did you mean {near}?"),
        _ => format!("No {kind} \"{shown}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognized_and_strangers_are_not() {
        assert_eq!(
            no_such("server", "githb-mcp", ["slack-mcp", "github-mcp"]),
            "No server \"githb-mcp\". Did you mean github-mcp?"
        );
        assert_eq!(no_such("server", "zzz", ["slack-mcp", "github-mcp"]), "No server \"zzz\"");
        assert_eq!(no_such("server", "a\nb", []), "No server \"a\\nb\"");
    }
}
