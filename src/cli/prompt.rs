//! Asking the person. Only ever on a terminal: a script must never hang on a question.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use secrecy::SecretString;

use super::failure::{Failure, Outcome};

/// Longest value read from a file or stdin; the server's own limit is far lower.
const LONGEST: u64 = 64 * 1024;

/// Whether there is a person to ask.
pub fn someone_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a value without showing it. Without a terminal this is refused, with `instead` as the hint.
pub fn hidden(question: &str, instead: &str) -> Outcome<SecretString> {
    if !someone_is_there() {
        return Err(Failure::usage("no value given, and there is no terminal to ask on").with_hint(instead));
    }
    let typed = rpassword::prompt_password(format!("{question}: "))
        .map_err(|error| Failure::local(format!("cannot read from the terminal: {error}")))?;
    not_empty(typed)
}

/// Asks for a value that there may be none of, without showing it.
pub fn hidden_or_none(question: &str) -> Outcome<Option<SecretString>> {
    let typed = rpassword::prompt_password(format!("{question}: "))
        .map_err(|error| Failure::local(format!("cannot read from the terminal: {error}")))?;
    Ok((!typed.is_empty()).then(|| SecretString::from(typed)))
}

/// The whole of stdin, without the line end that `echo` adds.
pub fn from_stdin() -> Outcome<SecretString> {
    let mut text = String::new();
    io::stdin()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| Failure::local(format!("cannot read stdin: {error}")))?;
    not_empty(without_line_end(text))
}

/// The whole of a file, without the line end at its end.
pub fn from_file(path: &std::path::Path) -> Outcome<SecretString> {
    let cannot = |error: io::Error| Failure::local(format!("cannot read {}: {error}", path.display()));
    let mut text = String::new();
    std::fs::File::open(path).map_err(cannot)?.take(LONGEST).read_to_string(&mut text).map_err(cannot)?;
    not_empty(without_line_end(text))
}

/// Asks for `word` to be typed before something that cannot be undone.
pub fn confirm(question: &str, word: &str) -> Outcome<bool> {
    let failed = |error: io::Error| Failure::local(format!("cannot read from the terminal: {error}"));
    let mut err = io::stderr();
    write!(err, "{question} Type {word} to go on: ").and_then(|()| err.flush()).map_err(failed)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(line.trim() == word)
}

fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn not_empty(text: String) -> Outcome<SecretString> {
    if text.is_empty() { Err(Failure::usage("the value is empty")) } else { Ok(SecretString::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_end_is_taken_off() {
        assert_eq!(without_line_end("a\r\n".into()), "a");
        assert_eq!(without_line_end("a\n\n".into()), "a\n");
        assert_eq!(without_line_end("a".into()), "a");
    }
}
