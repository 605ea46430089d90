//! Editing JSON that people keep by hand: one member is set, one element added, and everything else (comments, order,
//! white space, trailing commas) stays as it was.

use std::ops::Range;

/// Deeper files are not an editor's settings.
const DEPTH: usize = 64;

/// Why a text cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EditError {
    #[error("is not JSON (near byte {0})")]
    Syntax(usize),
    #[error("has something else at \"{0}\"")]
    Shape(String),
}

#[derive(Debug)]
struct Node {
    span: Range<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Object(Vec<Member>),
    List(Vec<Node>),
    Other,
}

#[derive(Debug)]
struct Member {
    key: String,
    value: Node,
}

/// Sets `section.name` to `value` (JSON text), both made if they are not there.
pub(super) fn set(text: &str, section: &str, name: &str, value: &str) -> Result<String, EditError> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let root = parse(text)?;
    let Kind::Object(members) = &root.kind else { return Err(EditError::Shape("the top".into())) };
    let Some(found) = members.iter().find(|member| member.key == section) else {
        let inner = format!("{{\n  {}: {}\n}}", quoted(name), indented(value, "  "));
        return Ok(insert(text, &root, Some(section), &inner));
    };
    let Kind::Object(entries) = &found.value.kind else { return Err(EditError::Shape(section.into())) };
    match entries.iter().find(|member| member.key == name) {
        Some(entry) => {
            let indent = line_indent(text, entry.value.span.start);
            Ok(replaced(text, entry.value.span.clone(), &indented(value, indent)))
        }
        None => Ok(insert(text, &found.value, Some(name), value)),
    }
}

/// Adds `value` to the list `section` unless an element with the same `id` is in it.
pub(super) fn add(text: &str, section: &str, id: &str, value: &str) -> Result<String, EditError> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let root = parse(text)?;
    let Kind::Object(members) = &root.kind else { return Err(EditError::Shape("the top".into())) };
    let Some(found) = members.iter().find(|member| member.key == section) else {
        return Ok(insert(text, &root, Some(section), &format!("[\n  {}\n]", indented(value, "  "))));
    };
    let Kind::List(elements) = &found.value.kind else { return Err(EditError::Shape(section.into())) };
    let same = |element: &Node| match &element.kind {
        Kind::Object(members) => members
            .iter()
            .any(|member| member.key == "id" && text.get(member.value.span.clone()) == Some(quoted(id).as_str())),
        _ => false,
    };
    Ok(if elements.iter().any(same) { text.to_owned() } else { insert(text, &found.value, None, value) })
}

/// The values two levels down, as they are written: `(section, name, text)`; elements of a list have no name.
pub(super) fn parts(text: &str) -> Result<Vec<(String, Option<String>, String)>, EditError> {
    let root = parse(text)?;
    let Kind::Object(sections) = root.kind else { return Err(EditError::Shape("the top".into())) };
    let written = |node: &Node| {
        let indent = format!("\n{}", line_indent(text, node.span.start));
        text.get(node.span.clone()).unwrap_or_default().replace(&indent, "\n")
    };
    let mut found = Vec::new();
    for section in sections {
        match &section.value.kind {
            Kind::Object(members) => {
                let named = members.iter().map(|member| (Some(member.key.clone()), written(&member.value)));
                found.extend(named.map(|(name, value)| (section.key.clone(), name, value)));
            }
            Kind::List(elements) => {
                found.extend(elements.iter().map(|element| (section.key.clone(), None, written(element))));
            }
            Kind::Other => return Err(EditError::Shape(section.key)),
        }
    }
    Ok(found)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn indented(value: &str, indent: &str) -> String {
    value.replace('\n', &format!("\n{indent}"))
}

fn replaced(text: &str, range: Range<usize>, by: &str) -> String {
    let (before, after) = (text.get(..range.start).unwrap_or_default(), text.get(range.end..).unwrap_or_default());
    format!("{before}{by}{after}")
}

/// The white space that the line of `at` begins with.
fn line_indent(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let line = before.get(before.rfind('\n').map_or(0, |end| end + 1)..).unwrap_or_default();
    line.get(..line.len() - line.trim_start_matches([' ', '\t']).len()).unwrap_or_default()
}

/// Puts a member (or, without `key`, an element) at the end of `into`.
fn insert(text: &str, into: &Node, key: Option<&str>, value: &str) -> String {
    let children: Vec<Range<usize>> = match &into.kind {
        Kind::Object(members) => members.iter().map(|member| member.value.span.clone()).collect(),
        Kind::List(elements) => elements.iter().map(|element| element.span.clone()).collect(),
        Kind::Other => Vec::new(),
    };
    let outer = line_indent(text, into.span.start);
    let on_lines = text.get(into.span.clone()).is_some_and(|inside| inside.contains('\n'));
    let indent = match children.last() {
        Some(last) if on_lines => line_indent(text, last.start).to_owned(),
        _ => format!("{outer}  "),
    };
    let key = key.map(|key| format!("{}: ", quoted(key))).unwrap_or_default();
    let added = format!("\n{indent}{key}{}", indented(value, &indent));
    let close = into.span.end - 1;
    // After whatever stands before the closing bracket, comments included.
    let end = text.get(..close).unwrap_or_default().trim_end().len().max(into.span.start + 1);
    let comma_at = children.last().map(|last| last.end);
    let trailing = comma_at.is_some_and(|at| has_comma(text, at, close));
    let tail = if on_lines { String::new() } else { format!("\n{outer}") };
    let rest = if on_lines { text.get(end..) } else { text.get(close..) }.unwrap_or_default();
    let added = if trailing { format!("{added},") } else { added };
    match comma_at.filter(|_| !trailing) {
        Some(at) => {
            let (first, between) = (text.get(..at).unwrap_or_default(), text.get(at..end).unwrap_or_default());
            format!("{first},{between}{added}{tail}{rest}")
        }
        None => format!("{}{added}{tail}{rest}", text.get(..end).unwrap_or_default()),
    }
}

/// Whether a comma stands between the last child and the closing bracket.
fn has_comma(text: &str, from: usize, close: usize) -> bool {
    let mut reader = Reader { text: text.as_bytes(), at: from };
    reader.skip();
    reader.at < close && reader.peek() == Some(b',')
}

fn parse(text: &str) -> Result<Node, EditError> {
    let mut reader = Reader { text: text.as_bytes(), at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
    let root = reader.value(0)?;
    reader.skip();
    if reader.at < reader.text.len() { Err(EditError::Syntax(reader.at)) } else { Ok(root) }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
    fn wrong<T>(&self) -> Result<T, EditError> {
        Err(EditError::Syntax(self.at))
    }

    /// White space and comments.
    fn skip(&mut self) {
        while let Some(byte) = self.peek() {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let length = if byte.is_ascii_whitespace() {
                1
            } else if rest.starts_with(b"//") {
                memchr::memchr(b'\n', rest).unwrap_or(rest.len())
            } else if rest.starts_with(b"/*") {
                memchr::memmem::find(rest, b"*/").map_or(rest.len(), |end| end + 2)
            } else {
                return;
            };
            self.at += length;
        }
    }

    fn string(&mut self) -> Result<String, EditError> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return self.wrong();
        }
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'\\') => self.at += 2,
                Some(b'"') => break,
                Some(_) => self.at += 1,
                None => return self.wrong(),
            }
        }
        self.at += 1;
        let raw = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_slice(raw).map_err(|_cause| EditError::Syntax(start))
    }

    fn value(&mut self, depth: usize) -> Result<Node, EditError> {
        self.skip();
        let start = self.at;
        if depth > DEPTH {
            return self.wrong();
        }
        let kind = match self.peek() {
            Some(b'{') => {
                let mut members = Vec::new();
                self.children(b'}', |reader| {
                    let key = reader.string()?;
                    reader.skip();
                    if reader.peek() != Some(b':') {
                        return reader.wrong();
                    }
                    reader.at += 1;
                    members.push(Member { key, value: reader.value(depth + 1)? });
                    Ok(())
                })?;
                Kind::Object(members)
            }
            Some(b'[') => {
                let mut elements = Vec::new();
                self.children(b']', |reader| {
                    elements.push(reader.value(depth + 1)?);
                    Ok(())
                })?;
                Kind::List(elements)
            }
            Some(b'"') => {
                self.string()?;
                Kind::Other
            }
            _ => {
                while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                    self.at += 1;
                }
                if self.at == start {
                    return self.wrong();
                }
                Kind::Other
            }
        };
        Ok(Node { span: start..self.at, kind })
    }

    /// What stands between brackets, with commas between and perhaps after.
    fn children(
        &mut self,
        close: u8,
        mut child: impl FnMut(&mut Self) -> Result<(), EditError>,
    ) -> Result<(), EditError> {
        self.at += 1;
        loop {
            self.skip();
            if self.peek() == Some(close) {
                self.at += 1;
                return Ok(());
            }
            child(self)?;
            self.skip();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {}
                _ => return self.wrong(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "{\n  \"url\": \"u\"\n}";

    #[test]
    fn a_new_file_gets_the_entry_alone() {
        let made = set("", "mcpServers", "w", ENTRY).unwrap();
        assert_eq!(made, "{\n  \"mcpServers\": {\n    \"w\": {\n      \"url\": \"u\"\n    }\n  }\n}\n");
    }

    #[test]
    fn comments_order_and_trailing_commas_stay() {
        let before = "// mine\n{\n    \"b\": 1, // one\n    /* two */ \"mcpServers\": {\n        \"x\": {\"a\": [1, 2]}, // last\n    },\n}\n";
        let after = set(before, "mcpServers", "w", ENTRY).unwrap();
        assert_eq!(
            after,
            "// mine\n{\n    \"b\": 1, // one\n    /* two */ \"mcpServers\": {\n        \"x\": {\"a\": [1, 2]}, // last\n        \"w\": {\n          \"url\": \"u\"\n        },\n    },\n}\n"
        );
        assert_eq!(set(&after, "mcpServers", "w", ENTRY).unwrap(), after, "a second time changes nothing");
    }

    #[test]
    fn a_comment_behind_the_last_member_stays_behind_it() {
        let after = set("{\n  \"s\": {\n    \"x\": 1 // one\n  }\n}", "s", "w", "2").unwrap();
        assert_eq!(after, "{\n  \"s\": {\n    \"x\": 1, // one\n    \"w\": 2\n  }\n}");
    }

    #[test]
    fn objects_on_one_line_are_opened() {
        assert_eq!(set("{\"a\": 1}", "s", "w", "2").unwrap(), "{\"a\": 1,\n  \"s\": {\n    \"w\": 2\n  }\n}");
        assert_eq!(set("{\"s\": {}}", "s", "w", "2").unwrap(), "{\"s\": {\n  \"w\": 2\n}}");
    }

    #[test]
    fn an_entry_is_replaced_where_it_stands() {
        let after = set("{\"s\": {\"w\": {\"old\": true}, \"z\": 1}}", "s", "w", "2").unwrap();
        assert_eq!(after, "{\"s\": {\"w\": 2, \"z\": 1}}");
    }

    #[test]
    fn an_element_is_added_once() {
        let element = "{\n  \"id\": \"t\"\n}";
        let once = add("{\n  \"inputs\": []\n}", "inputs", "t", element).unwrap();
        assert_eq!(once, "{\n  \"inputs\": [\n    {\n      \"id\": \"t\"\n    }\n  ]\n}");
        assert_eq!(add(&once, "inputs", "t", element).unwrap(), once);
    }

    #[test]
    fn what_is_something_else_is_left_alone() {
        assert_eq!(set("{\"s\": []}", "s", "w", "2"), Err(EditError::Shape("s".into())));
        assert_eq!(set("[1]", "s", "w", "2"), Err(EditError::Shape("the top".into())));
        for broken in ["{", "{\"a\" 1}", "{\"a\": }", "{} x", "{\"a\": \"\n"] {
            assert!(matches!(set(broken, "s", "w", "2"), Err(EditError::Syntax(_))), "{broken}");
        }
    }
}
