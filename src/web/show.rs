//! How things look on the pages: small pieces of HTML that templates put together. Everything that comes from elsewhere
//! is escaped here, and characters that hide or turn text around are shown as what they are; a template marks as safe
//! what this module returns, and nothing else (`tests/tidy.rs` holds it).

pub mod figures;
pub mod json;

use std::{borrow::Borrow, fmt::Write as _};

use chrono::{Datelike as _, TimeDelta};

use crate::{
    domain::{clock::Timestamp, visible},
    web::icons::ICONS,
};

/// Text for a page: what hides in it is shown, what would be markup is not. It fits into attributes in quotes as well.
pub fn text(raw: impl AsRef<str>) -> String {
    let shown = visible::visible(raw.as_ref());
    let mut out = String::with_capacity(shown.len());
    for c in shown.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Longest text of somebody else's that a list shows, in characters.
const SHORT: usize = 280;

/// The beginning of a long text.
pub fn short(raw: &str) -> String {
    match raw.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", raw.get(..end).unwrap_or_default()),
        None => raw.to_owned(),
    }
}

/// The last characters of an id, to recognize it: the first ones tell the time, and those of a day look alike.
pub fn ending(id: &str) -> String {
    id.chars().skip(id.chars().count().saturating_sub(8)).collect()
}

/// A part of a path or a query, as it is written in a link.
pub fn part(raw: &str) -> String {
    url::form_urlencoded::byte_serialize(raw.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A drawing; it says nothing to those who do not see it.
pub fn icon(name: &str) -> String {
    let inside = ICONS.iter().find(|(known, _)| *known == name).map_or("", |(_, inside)| inside);
    format!(r#"<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{inside}</svg>"#)
}

/// `12,345`.
pub fn number(n: impl Borrow<u64>) -> String {
    let digits = n.borrow().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 tool`, `12,345 tools`.
pub fn counted(n: impl Borrow<u64>, noun: &str) -> String {
    let n = *n.borrow();
    if n == 1 { format!("1 {noun}") } else { format!("{} {noun}s", number(n)) }
}

/// Microseconds as `0.4 ms`, `212 ms` or `2.4 s`, the unit apart.
pub fn duration(us: impl Borrow<u64>) -> String {
    let (figure, unit) = duration_parts(*us.borrow());
    format!(r#"{figure}<span class="unit">{unit}</span>"#)
}

/// Microseconds as figure and unit.
pub fn duration_parts(us: u64) -> (String, &'static str) {
    match us {
        0..10_000 => (format!("{}.{}", us / 1000, us % 1000 / 100), "ms"),
        10_000..1_000_000 => (number(us / 1000), "ms"),
        1_000_000..100_000_000 => (format!("{}.{}", us / 1_000_000, us % 1_000_000 / 100_000), "s"),
        _ => (number(us / 1_000_000), "s"),
    }
}

/// `412 B`, `1.2 KB`, `61.4 GB`.
pub fn bytes(n: impl Borrow<u64>) -> String {
    match *n.borrow() {
        n @ 0..1000 => format!("{n} B"),
        n @ 1000..1_000_000 => format!("{}.{} KB", n / 1000, n % 1000 / 100),
        n @ 1_000_000..1_000_000_000 => format!("{}.{} MB", n / 1_000_000, n % 1_000_000 / 100_000),
        n => format!("{}.{} GB", number(n / 1_000_000_000), n % 1_000_000_000 / 100_000_000),
    }
}

/// `0.84` of 17 in 2024: a share in percent, two digits while it is small.
pub fn percent(part: impl Borrow<u64>, whole: impl Borrow<u64>) -> String {
    let (part, whole) = (*part.borrow(), *whole.borrow());
    if whole == 0 || part == 0 {
        return "0".into();
    }
    // To the nearest.
    let share =
        |of: u128| u64::try_from((u128::from(part) * of * 2 / u128::from(whole)).div_ceil(2)).unwrap_or(u64::MAX);
    match share(10_000) {
        0 => "<0.01".into(),
        hundredths @ 1..1000 => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        _ => number(share(100)),
    }
}

fn time(at: Timestamp, said: &str) -> String {
    format!(
        r#"<time datetime="{}" title="{}">{said}</time>"#,
        at.format("%Y-%m-%dT%H:%M:%SZ"),
        at.format("%Y-%m-%d %H:%M:%S UTC")
    )
}

/// How long ago, in words: `just now`, `2 min ago`, `3 days ago`; the exact moment on hover.
pub fn ago(at: impl Borrow<Timestamp>, now: impl Borrow<Timestamp>) -> String {
    let (at, now) = (*at.borrow(), *now.borrow());
    time(at, &since(now - at))
}

/// The same for what may not have happened.
pub fn ago_or_never(at: Option<&Timestamp>, now: impl Borrow<Timestamp>) -> String {
    at.map_or_else(|| r#"<span class="dim">never</span>"#.into(), |at| ago(at, now.borrow()))
}

fn since(span: TimeDelta) -> String {
    let (minutes, hours, days) = (span.num_minutes(), span.num_hours(), span.num_days());
    let some = |n: i64, one: &str, many: &str| if n == 1 { format!("1 {one} ago") } else { format!("{n} {many} ago") };
    match () {
        () if span.num_seconds() < 10 => "just now".into(),
        () if minutes < 1 => format!("{} s ago", span.num_seconds()),
        () if hours < 1 => some(minutes, "min", "min"),
        () if days < 1 => some(hours, "hr", "hr"),
        () if days < 60 => some(days, "day", "days"),
        () => some(days / 30, "month", "months"),
    }
}

/// How long from now: `in 2 days`.
pub fn left(until: impl Borrow<Timestamp>, now: impl Borrow<Timestamp>) -> String {
    let span = *until.borrow() - *now.borrow();
    match () {
        () if span.num_hours() < 1 => format!("{} min", span.num_minutes().max(1)),
        () if span.num_days() < 2 => format!("{} h", span.num_hours()),
        () => format!("{} d", span.num_days()),
    }
}

/// A day: `1 Mar`, in another year `1 Mar 2025`; the exact moment on hover.
pub fn day(at: impl Borrow<Timestamp>, now: impl Borrow<Timestamp>) -> String {
    let (at, now) = (*at.borrow(), *now.borrow());
    let form = if at.year() == now.year() { "%-d %b" } else { "%-d %b %Y" };
    time(at, &at.format(form).to_string())
}

/// A day or what is said instead.
pub fn day_or(at: Option<&Timestamp>, otherwise: &str, now: impl Borrow<Timestamp>) -> String {
    at.map_or_else(|| format!(r#"<span class="dim">{otherwise}</span>"#), |at| day(at, now.borrow()))
}

/// A moment: today its time, before that day and time.
pub fn moment(at: impl Borrow<Timestamp>, now: impl Borrow<Timestamp>) -> String {
    let (at, now) = (*at.borrow(), *now.borrow());
    let form = match () {
        () if at.date_naive() == now.date_naive() => "%H:%M",
        () if at.year() == now.year() => "%-d %b %H:%M",
        () => "%-d %b %Y %H:%M",
    };
    time(at, &at.format(form).to_string())
}

/// A moment to the second: `2026-03-01 09:12:44 UTC`.
pub fn exactly(at: impl Borrow<Timestamp>) -> String {
    let at = *at.borrow();
    time(at, &at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// Who or what a token stands for, drawn small: people round, machines square.
pub fn face(name: &str) -> String {
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let first = |word: &&str| word.chars().next().unwrap_or('?');
    let initials: String = match words.as_slice() {
        [] => "?".into(),
        [one] => one.chars().take(2).collect(),
        [one, .., last] => [first(one), first(last)].into_iter().collect(),
    };
    let machine = words.iter().any(|word| {
        ["ci", "bot", "pipeline", "agent", "service", "deploy", "cron", "build"].contains(&word.to_lowercase().as_str())
    });
    drawn(machine, &initials)
}

/// What is not a person, by its name: square.
pub fn emblem(name: &str) -> String {
    let initials: String = name.chars().filter(|c| c.is_alphanumeric()).take(2).collect();
    drawn(true, &initials)
}

fn drawn(machine: bool, initials: &str) -> String {
    let class = if machine { "face machine" } else { "face" };
    format!(r#"<span class="{class}" aria-hidden="true">{}</span>"#, text(initials.to_uppercase()))
}

/// What somebody did, as one says it: `created token`.
pub fn deed(action: &str) -> String {
    let words = action.replace('_', " ").replace("mcp", "MCP server").replace("api key", "API key");
    match words.rsplit_once(' ') {
        Some(("sign in", _)) => "failed to sign in".into(),
        Some((what, did)) if did.ends_with("ed") || did.ends_with("held") => text(format!("{did} {what}")),
        _ => text(words),
    }
}

/// The name of a tool: its server's part steps back.
pub fn tool(name: &str) -> String {
    match name.split_once("__") {
        Some((server, rest)) => {
            format!(r#"<code class="any"><span class="dim">{}__</span>{}</code>"#, text(server), text(rest))
        }
        None => format!(r#"<code class="any">{}</code>"#, text(name)),
    }
}

/// How something is: shape, word, colour. `kind` is `run`, `wait`, `fail`, `idle` or `gone`.
pub fn state(kind: &str, word: &str) -> String {
    format!(r#"<span class="state {kind}">{}</span>"#, text(word))
}

/// A fact. `tint` is empty, `accent`, `ok`, `warn` or `bad`.
pub fn chip(tint: &str, word: &str) -> String {
    format!(r#"<span class="chip {tint}">{}</span>"#, text(word))
}

/// What a server says of a tool, as facts.
pub fn facts(reads: impl Borrow<bool>, destroys: impl Borrow<bool>, open_world: impl Borrow<bool>) -> String {
    let all = [
        (*reads.borrow(), "", "read-only"),
        (*destroys.borrow(), "bad", "destructive"),
        (*open_world.borrow(), "", "open world"),
    ];
    let said = all.into_iter().filter(|(said, ..)| *said).map(|(_, tint, word)| chip(tint, word));
    said.collect::<Vec<_>>().join(" ")
}

/// A value that nobody may read; always as long, whatever it hides.
pub fn seal(size: &str) -> String {
    format!(r#"<span class="seal {size}" role="img" aria-label="hidden value"></span>"#)
}

/// A button that copies `what`.
pub fn copy(what: &str, label: &str) -> String {
    format!(
        r#"<button type="button" class="glyph" data-copy-text="{}" aria-label="{}" title="{}">{}</button>"#,
        text(what),
        text(label),
        text(label),
        icon("copy")
    )
}

/// A text to paste, with its file's name and a button to copy it. What is `secret` in it is marked.
pub fn code(title: &str, source: impl AsRef<str>, secret: Option<&str>) -> String {
    let source = source.as_ref();
    let mut inside = String::with_capacity(source.len() * 2);
    for line in source.split_inclusive('\n') {
        // The key of a line of JSON.
        let bare = line.trim_start();
        let key = bare.strip_prefix('"').and_then(|rest| rest.split_once("\":")).map(|(key, _)| key.len() + 2);
        let (head, tail) = match key.and_then(|length| line.split_at_checked(line.len() - bare.len() + length)) {
            Some((head, tail)) => (format!(r#"<span class="k">{}</span>"#, escaped(head)), tail),
            None => (String::new(), line),
        };
        inside.push_str(&head);
        match secret.filter(|secret| !secret.is_empty() && tail.contains(*secret)) {
            Some(secret) => {
                let parts: Vec<String> = tail.split(secret).map(escaped).collect();
                inside.push_str(&parts.join(&format!("<mark>{}</mark>", escaped(secret))));
            }
            None => inside.push_str(&escaped(tail)),
        }
    }
    // The name of a file is written as in a shell, words are not.
    let class = if title.contains(['.', '/']) { "mono" } else { "" };
    let mut out = String::with_capacity(inside.len() + 400);
    let _infallible = write!(
        out,
        r#"<div class="code"><header><span class="{class}">{}</span><button type="button" class="btn sm quiet" data-copy>{}<span>Copy</span></button></header><pre tabindex="0" role="group" aria-label="{}"><code>{inside}</code></pre></div>"#,
        text(title),
        icon("copy"),
        text(title),
    );
    out
}

/// Like [`text`], line ends stay.
pub fn escaped(raw: &str) -> String {
    raw.split('\n').map(text).collect::<Vec<_>>().join("\n")
}

/// The three planes of an empty page; the one that is `missing` (0 top, 1 middle, 2 bottom) is dashed.
pub fn planes(missing: usize) -> String {
    let mut out = String::from(r#"<svg class="planes" viewBox="0 0 72 44" aria-hidden="true">"#);
    for (at, (y, class)) in [(30, ""), (17, "mid"), (4, "")].into_iter().enumerate() {
        let class = if 2 - at == missing { "gap" } else { class };
        let _infallible = write!(out, r#"<path class="{class}" d="M22 {y}h42l-14 11H8z"/>"#);
    }
    out + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_elsewhere_are_text_and_nothing_else() {
        let hostile = "<img src=x onerror=\"alert('1')\">\u{202e}\u{0}&";
        let shown = text(hostile);
        assert_eq!(shown, "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;\\u{202e}\\u{0}&amp;");
        for piece in [
            tool(hostile),
            state("run", hostile),
            chip("", hostile),
            copy(hostile, hostile),
            code(hostile, hostile, None),
        ] {
            assert!(!piece.contains("<img") && !piece.contains('\u{202e}'), "{piece}");
        }
        assert!(face("\"><script>").contains("SC") && !face("<<>>").contains("<<"), "{}", face("<<>>"));
    }

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(
            (number(0_u64), number(999_u64), number(1_234_567_u64)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        let said = |us| {
            let (figure, unit) = duration_parts(us);
            format!("{figure} {unit}")
        };
        assert_eq!((said(412), said(212_900), said(2_420_000)), ("0.4 ms".into(), "212 ms".into(), "2.4 s".into()));
        assert_eq!((bytes(412_u64), bytes(1_234_567_u64)), ("412 B".into(), "1.2 MB".into()));
        assert_eq!(bytes(1_234_567_890_123_u64), "1,234.5 GB");
        assert_eq!((percent(17, 2024), percent(0, 5), percent(1, 1)), ("0.84".into(), "0".into(), "100".into()));
        assert_eq!((percent(1, 1_000_000), percent(3, 0)), ("<0.01".into(), "0".into()));
        assert_eq!((percent(2, 3), percent(1, 8), percent(9_994, 100_000)), ("67".into(), "13".into(), "9.99".into()));
        let since = |seconds| since(TimeDelta::seconds(seconds));
        assert_eq!(
            (since(3), since(130), since(3600), since(86_400 * 3)),
            ("just now".into(), "2 min ago".into(), "1 hr ago".into(), "3 days ago".into())
        );
    }

    #[test]
    fn deeds_are_said_as_people_say_them() {
        for (action, said) in [
            ("token_created", "created token"),
            ("mcp_prefix_changed", "changed MCP server prefix"),
            ("skill_withheld", "withheld skill"),
            ("signed_in", "signed in"),
            ("sign_in_failed", "failed to sign in"),
            ("secret_needs_reentry", "secret needs reentry"),
            ("<b>", "&lt;b&gt;"),
        ] {
            assert_eq!(deed(action), said);
        }
    }

    #[test]
    fn code_marks_keys_and_the_secret() {
        let shown = code("a.json", "{\n  \"k\": \"Bearer mwt_x\"\n}", Some("mwt_x"));
        assert!(
            shown.contains("<span class=\"k\">  &quot;k&quot;</span>: &quot;Bearer <mark>mwt_x</mark>&quot;"),
            "{shown}"
        );
    }
}
