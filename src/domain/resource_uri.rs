//! URIs of resources in a workspace. They pass as the server wrote them; only a URI that another server has already is
//! shown apart, as `<slug>+<uri>`, and mapped back exactly. Also: which URIs a template (RFC 6570) stands for, as far
//! as finding its server needs it.

/// Longest URI that is compared with templates, bytes.
const MATCHED_BYTES: usize = 8192;

/// The scheme prefix of a server's URIs that are shown apart. A scheme begins with a letter.
fn scheme(slug: &str) -> String {
    match slug.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => format!("{slug}+"),
        false => format!("x-{slug}+"),
    }
}

fn strip_ignoring_case<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}

/// `uri` (or a template) as it is shown when another server has it already; none for web addresses, which clients may
/// fetch themselves.
pub fn apart(slug: &str, uri: &str) -> Option<String> {
    if strip_ignoring_case(uri, "http://").is_some() || strip_ignoring_case(uri, "https://").is_some() {
        return None;
    }
    // Clients know what to do with `ui:` by its scheme.
    if let Some(rest) = strip_ignoring_case(uri, "ui://") {
        return Some(format!("ui://{slug}/{rest}"));
    }
    Some(scheme(slug) + uri)
}

/// The server's own URI behind one that is shown apart under its slug.
pub fn together(slug: &str, shown: &str) -> Option<String> {
    if let Some(rest) = strip_ignoring_case(shown, "ui://") {
        return Some(format!("ui://{}", rest.strip_prefix(slug)?.strip_prefix('/')?));
    }
    let own = strip_ignoring_case(shown, &scheme(slug))?;
    (!own.is_empty()).then(|| own.to_owned())
}

/// What a part of a template stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Itself.
    Literal(Box<[u8]>),
    /// `{x}`: any text within a path segment.
    Segment,
    /// `{/x}` and the like: nothing, or any text that begins with this byte. The flag: it may go on over slashes.
    Led(u8, bool),
    /// `{+x}`, `{#x}`: anything.
    Anything,
}

/// A URI template, ready for matching.
#[derive(Debug, Clone)]
pub struct UriTemplate {
    parts: Vec<Part>,
    literal: usize,
}

impl UriTemplate {
    /// Reads a template; none if it is malformed or has no expression.
    pub fn parse(template: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = template;
        let mut literal = 0;
        while let Some(open) = rest.find('{') {
            let (before, after) = rest.split_at(open);
            let (expression, tail) = after.strip_prefix('{')?.split_once('}')?;
            if !before.is_empty() {
                literal += before.len();
                parts.push(Part::Literal(before.as_bytes().into()));
            }
            parts.push(match expression.as_bytes().first()? {
                b'+' | b'#' => Part::Anything,
                b'/' => Part::Led(b'/', expression.ends_with('*') || expression.contains(',')),
                b'?' => Part::Led(b'?', true),
                b'&' => Part::Led(b'&', true),
                lead @ (b'.' | b';') => Part::Led(*lead, false),
                _ => Part::Segment,
            });
            rest = tail;
        }
        if !rest.is_empty() {
            literal += rest.len();
            parts.push(Part::Literal(rest.as_bytes().into()));
        }
        let expressions = parts.iter().any(|part| !matches!(part, Part::Literal(_)));
        (expressions && !template.contains("{}")).then_some(UriTemplate { parts, literal })
    }

    /// How much of it is fixed text: of several templates that match, the one with most is meant.
    pub fn literal_bytes(&self) -> usize {
        self.literal
    }

    /// Whether the template stands for `uri`. Linear in the length of both: all places that the parts so far can end
    /// at are followed at once.
    pub fn matches(&self, uri: &str) -> bool {
        let uri = uri.as_bytes();
        if uri.len() > MATCHED_BYTES {
            return false;
        }
        let mut ends = vec![false; uri.len() + 1];
        if let Some(start) = ends.first_mut() {
            *start = true;
        }
        for part in &self.parts {
            ends = advance(part, uri, &ends);
        }
        ends.last() == Some(&true)
    }
}

/// Where `part` can end if it begins at one of `starts`.
fn advance(part: &Part, uri: &[u8], starts: &[bool]) -> Vec<bool> {
    let mut ends = vec![false; starts.len()];
    let mut running = false;
    for (at, starting) in starts.iter().enumerate() {
        match part {
            Part::Literal(text) => {
                if *starting && uri.get(at..).is_some_and(|rest| rest.starts_with(text)) {
                    mark(&mut ends, at + text.len());
                }
            }
            Part::Anything => {
                running |= *starting;
                if running {
                    mark(&mut ends, at);
                }
            }
            Part::Segment => {
                // Having come this far within the segment, or beginning one here.
                running = *starting || running && within_segment(uri, at);
                if running {
                    mark(&mut ends, at);
                }
            }
            Part::Led(lead, over_slashes) => {
                let before = at.checked_sub(1);
                let led =
                    before.is_some_and(|before| starts.get(before) == Some(&true) && uri.get(before) == Some(lead));
                let goes_on = before
                    .and_then(|before| uri.get(before))
                    .is_some_and(|byte| *over_slashes && !matches!(byte, b'#') || !matches!(byte, b'/' | b'?' | b'#'));
                running = led || running && goes_on;
                if running || *starting {
                    mark(&mut ends, at);
                }
            }
        }
    }
    ends
}

/// Whether the byte before `at` belongs to a path segment.
fn within_segment(uri: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| uri.get(before));
    before.is_some_and(|byte| !matches!(byte, b'/' | b'?' | b'#'))
}

fn mark(ends: &mut [bool], at: usize) {
    if let Some(end) = ends.get_mut(at) {
        *end = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stands_for(template: &str, uri: &str) -> bool {
        UriTemplate::parse(template).unwrap().matches(uri)
    }

    #[test]
    fn templates_stand_for_what_they_expand_to() {
        for (template, uri) in [
            ("test://template/{id}/data", "test://template/123/data"),
            ("test://template/{id}/data", "test://template/a%20b/data"),
            ("file:///{path}", "file:///a.txt"),
            ("file:///{+path}", "file:///a/b/c.txt"),
            ("db://{table}/{row}", "db://users/7"),
            ("x://a{/b*}", "x://a/1/2/3"),
            ("x://a{/b}", "x://a/1"),
            ("x://a{/b}", "x://a"),
            ("x://a{?q,r}", "x://a?q=1&r=2"),
            ("x://a{?q}", "x://a"),
            ("x://a?z=1{&q}", "x://a?z=1&q=2"),
            ("x://f{.ext}", "x://f.txt"),
            ("{a}{b}", "xy"),
        ] {
            assert!(stands_for(template, uri), "{template} {uri}");
        }
    }

    #[test]
    fn templates_do_not_stand_for_other_uris() {
        for (template, uri) in [
            ("test://template/{id}/data", "test://template/1/2/data"),
            ("test://template/{id}/data", "test://template/1/dat"),
            ("file:///{path}", "file:///a/b"),
            ("file:///{path}", "FILE:///a"),
            ("x://a{/b}", "x://a/1/2"),
            ("x://a{?q}", "x://ab"),
            ("x://f{.ext}", "x://f.a/b"),
        ] {
            assert!(!stands_for(template, uri), "{template} {uri}");
        }
        assert!(!stands_for("x://{+a}", &format!("x://{}", "y".repeat(MATCHED_BYTES))));
        for bad in ["x://a", "x://{a", "x://{}", ""] {
            assert!(UriTemplate::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn many_expressions_are_matched_in_linear_time() {
        let template = UriTemplate::parse(&"{a}".repeat(300)).unwrap();
        assert!(!template.matches(&format!("{}/", "x".repeat(4000))));
    }

    #[test]
    fn web_addresses_stay_and_ui_keeps_its_scheme() {
        assert_eq!(apart("b", "file:///x").as_deref(), Some("b+file:///x"));
        assert_eq!(apart("7b", "file:///x").as_deref(), Some("x-7b+file:///x"));
        assert_eq!(apart("b", "ui://x/y").as_deref(), Some("ui://b/x/y"));
        for web in ["http://a", "HTTPS://a/b"] {
            assert_eq!(apart("b", web), None);
        }
        assert_eq!(together("b", "c+file:///x"), None);
        assert_eq!(together("b", "ui://bc/x"), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_apart_maps_back_exactly(slug in "[a-z0-9][a-z0-9-]{0,10}", uri in "[a-z]{1,5}:[ -~]{0,30}") {
            if let Some(shown) = apart(&slug, &uri) {
                prop_assert_eq!(together(&slug, &shown), Some(uri));
            }
        }
        #[test]
        fn a_simple_expansion_always_matches(values in prop::collection::vec("[A-Za-z0-9%._~-]{0,8}", 1..5)) {
            let template = format!("x://{}", vec!["{v}"; values.len()].join("/"));
            let uri = format!("x://{}", values.join("/"));
            prop_assert!(stands_for(&template, &uri));
        }
    }
}
