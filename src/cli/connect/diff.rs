//! What changes in a file, line by line, as people read it.

/// Lines of context around a change.
const CONTEXT: usize = 2;

/// The lines from a little before the first change to a little after the last: ` kept`, `-old`, `+new`.
pub(super) fn lines(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let (old_rest, new_rest) = (old.get(same..).unwrap_or_default(), new.get(same..).unwrap_or_default());
    let ends = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(one, other)| one == other).count();
    let changed = |lines: &[&str], mark: char| -> Vec<String> {
        let changed = lines.get(same..lines.len() - ends).unwrap_or_default();
        changed.iter().map(|line| format!("{mark}{line}")).collect()
    };
    let kept = |line: &&str| format!(" {line}");
    let above = old.get(same.saturating_sub(CONTEXT)..same).unwrap_or_default();
    let below = old.get(old.len() - ends..).unwrap_or_default();
    let mut shown: Vec<String> = above.iter().map(kept).collect();
    shown.extend(changed(&old, '-'));
    shown.extend(changed(&new, '+'));
    shown.extend(below.iter().take(CONTEXT).map(kept));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_shown_with_a_little_around_it() {
        assert_eq!(lines("1\n2\n3\n4\n5\n6\n7", "1\n2\n3\nx\n5\n6\n7"), [" 2", " 3", "-4", "+x", " 5", " 6"]);
        assert_eq!(lines("", "a\nb\n"), ["+a", "+b"]);
        assert_eq!(lines("a\na", "a\na\na"), [" a", " a", "+a"]);
    }
}
