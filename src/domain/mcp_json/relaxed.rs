//! Comments and trailing commas, which editors allow in their settings, taken out. Lines keep their numbers.

/// The same text as strict JSON, if it was JSON with comments.
pub(crate) fn strict(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    without_trailing_commas(&without_comments(text))
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut in_string = false;
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', _) if in_string => {
                out.push(letter);
                out.extend(letters.next());
                continue;
            }
            ('"', _) => in_string = !in_string,
            ('/', Some('/')) if !in_string => {
                while letters.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            ('/', Some('*')) if !in_string => {
                let mut before = ' ';
                letters.next();
                for c in letters.by_ref() {
                    if c == '\n' {
                        out.push(c);
                    }
                    if before == '*' && c == '/' {
                        break;
                    }
                    before = c;
                }
                continue;
            }
            _ => {}
        }
        out.push(letter);
    }
    out
}

fn without_trailing_commas(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // A comma and the white space after it, until it is known what follows.
    let mut held = String::new();
    let (mut in_string, mut escaped) = (false, false);
    for letter in text.chars() {
        if in_string {
            in_string = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
            out.push(letter);
            continue;
        }
        match letter {
            ',' if held.is_empty() => held.push(letter),
            letter if letter.is_ascii_whitespace() && !held.is_empty() => held.push(letter),
            letter => {
                let kept = if matches!(letter, '}' | ']') { held.trim_start_matches(',') } else { &held };
                out.push_str(kept);
                held.clear();
                in_string = letter == '"';
                if letter == ',' { held.push(letter) } else { out.push(letter) }
            }
        }
    }
    out + &held
}
