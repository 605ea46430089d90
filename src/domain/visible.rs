//! Characters that change how the text around them looks, or that nobody sees: shown as what they are. Names, and what
//! a server says of its tools, come from elsewhere; a person who reads them decides by what is there.

/// Whether a character can change how the text around it looks, or hide in it.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' | '\u{fe00}'..='\u{fe0f}')
        || matches!(c, '\u{180b}'..='\u{180e}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}')
}

/// The text with such characters written as `\u{…}`.
pub fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_invisible(c) {
            out.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            out.push(c);
        }
        out
    })
}

/// Characters with which spreadsheets begin a formula, and their wide forms.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// A CSV cell that no spreadsheet takes for a formula (S-83): neither what it begins with, be it behind spaces or a byte
/// order mark, nor what follows a separator at which some spreadsheets cut a cell in two.
pub fn csv_safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 1);
    for piece in text.split_inclusive([';', '\t', '\r', '\n']) {
        let begins = piece.trim_start_matches(|c: char| c == ' ' || (is_invisible(c) && !"\t\r\n".contains(c)));
        let at_once = safe.is_empty() && begins.starts_with(['\t', '\r', '\n']);
        if at_once || begins.starts_with(FORMULA) {
            safe.push('\'');
        }
        safe.push_str(piece);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_in_a_text_is_shown() {
        assert_eq!(visible("read\u{200b}\u{e0041} \u{202e}me"), "read\\u{200b}\\u{e0041} \\u{202e}me");
        assert_eq!(visible("a\nb\u{fe0f}"), "a\\u{a}b\\u{fe0f}");
        assert_eq!(visible("Zoë 李 ✓"), "Zoë 李 ✓");
    }

    #[test]
    fn formulas_become_text() {
        for bad in
            ["=HYPERLINK(1)", "+1", "-1+cmd", "@SUM", "\tx", "\rx", "\nx", "＝1", "  =1", "\u{feff}=1", "\u{200b} @a"]
        {
            assert_eq!(csv_safe(bad), format!("'{bad}"), "{bad:?}");
        }
        for (cut, safe) in [("a;=1", "a;'=1"), ("a\tb; +1", "a\tb;' +1"), ("a\n@b", "a\n'@b"), ("\t=1", "'\t'=1")] {
            assert_eq!(csv_safe(cut), safe);
        }
        for fine in ["Alice", "", "a=b; c-d", "O'Brien; \"Ltd\", Köln", "2026-03-15T14:32:00Z", " x"] {
            assert_eq!(csv_safe(fine), fine);
        }
    }
}
