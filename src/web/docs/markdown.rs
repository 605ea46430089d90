//! Markdown of the documentation as HTML, and text of the program as Markdown. The sources are part of the binary; raw
//! HTML in them is shown, never passed on, so that no page can hold what its policy forbids.

use std::collections::HashSet;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd, html};

use crate::web::show;

/// A heading, as the table of contents lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// 1 is the page's title.
    pub level: u8,
    /// What a link has behind its `#`.
    pub id: String,
    /// Its words.
    pub text: String,
}

/// A page's HTML and what it is divided into.
pub struct Rendered {
    /// The HTML.
    pub html: String,
    /// All headings, in order.
    pub headings: Vec<Heading>,
}

/// Renders a page. A heading gets its id from `{#id}` behind it, else from its words.
pub fn render(source: &str) -> Rendered {
    let mut writer = Writer::default();
    for event in Parser::new_ext(source, Options::ENABLE_TABLES | Options::ENABLE_HEADING_ATTRIBUTES) {
        writer.take(event);
    }
    let mut out = String::with_capacity(source.len() * 2);
    html::push_html(&mut out, writer.out.into_iter());
    Rendered { html: out, headings: writer.headings }
}

#[derive(Default)]
struct Writer<'a> {
    out: Vec<Event<'a>>,
    headings: Vec<Heading>,
    ids: HashSet<String>,
    /// The heading that is open: where its content begins in `out`.
    heading: Option<(usize, Heading)>,
    /// The block of code that is open: title and content.
    code: Option<(String, String)>,
    /// What closes the links that are open.
    links: Vec<&'static str>,
}

impl<'a> Writer<'a> {
    fn take(&mut self, event: Event<'a>) {
        match event {
            Event::Start(Tag::Heading { level, id, .. }) => {
                let id = id.map(|id| id.to_string()).unwrap_or_default();
                self.heading = Some((self.out.len(), Heading { level: level as u8, id, text: String::new() }));
            }
            Event::End(TagEnd::Heading(_)) => self.end_heading(),
            Event::Start(Tag::CodeBlock(kind)) => self.code = Some((code_title(&kind), String::new())),
            Event::End(TagEnd::CodeBlock) => {
                if let Some((title, text)) = self.code.take() {
                    self.markup(block(&title, text.trim_end_matches('\n')));
                }
            }
            // Alignments would be written as styles inside the page.
            Event::Start(Tag::Table(_)) => {
                self.markup(r#"<div class="rows" tabindex="0" role="group" aria-label="Table">"#.to_owned());
                self.out.push(Event::Start(Tag::Table(Vec::new())));
            }
            Event::End(TagEnd::Table) => {
                self.out.push(Event::End(TagEnd::Table));
                self.markup("</div>\n".to_owned());
            }
            Event::Start(Tag::Link { dest_url, .. }) => self.link(&dest_url),
            Event::End(TagEnd::Link) => {
                let close = self.links.pop().unwrap_or_default();
                self.markup(close.to_owned());
            }
            Event::Start(Tag::Image { .. } | Tag::HtmlBlock) => self.markup("<span>".to_owned()),
            Event::End(TagEnd::Image | TagEnd::HtmlBlock) => self.markup("</span>".to_owned()),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(text),
            Event::Code(code) => {
                if let Some((_, heading)) = &mut self.heading {
                    heading.text.push_str(&code);
                }
                self.out.push(Event::Code(code));
            }
            other => self.out.push(other),
        }
    }

    fn markup(&mut self, html: String) {
        self.out.push(Event::InlineHtml(html.into()));
    }

    fn text(&mut self, text: CowStr<'a>) {
        if let Some((_, content)) = &mut self.code {
            content.push_str(&text);
            return;
        }
        if let Some((_, heading)) = &mut self.heading {
            heading.text.push_str(&text);
        }
        self.out.push(Event::Text(text));
    }

    fn end_heading(&mut self) {
        let Some((at, mut heading)) = self.heading.take() else { return };
        if heading.id.is_empty() {
            heading.id = slug(&heading.text);
        }
        let base = heading.id.clone();
        let mut nth = 1;
        while !self.ids.insert(heading.id.clone()) {
            nth += 1;
            heading.id = format!("{base}-{nth}");
        }
        let (level, id, words) = (heading.level, show::text(&heading.id), show::text(&heading.text));
        self.out.insert(at, Event::InlineHtml(format!(r#"<h{level} id="{id}">"#).into()));
        let link = match level {
            1 => String::new(),
            _ => format!(r##"<a class="to" href="#{id}" aria-label="Link to: {words}">#</a>"##),
        };
        self.markup(format!("{link}</h{level}>\n"));
        self.headings.push(heading);
    }

    fn link(&mut self, target: &str) {
        let (open, close) = match address(target) {
            Some(href) if href.starts_with("http") => {
                (format!(r#"<a href="{}" rel="noreferrer">"#, show::text(href)), "</a>")
            }
            Some(href) => (format!(r#"<a href="{}">"#, show::text(href)), "</a>"),
            None => ("<span>".to_owned(), "</span>"),
        };
        self.markup(open);
        self.links.push(close);
    }
}

/// Where a link leads: to another page by its file's name, within this gateway, or to the web; nowhere otherwise.
fn address(target: &str) -> Option<String> {
    if ["#", "http://", "https://"].iter().any(|known| target.starts_with(known))
        || target.starts_with('/') && !target.starts_with("//")
    {
        return Some(target.to_owned());
    }
    let (file, part) = target.split_once('#').map_or((target, None), |(file, part)| (file, Some(part)));
    let page = file.strip_suffix(".md").filter(|page| !page.contains(['/', ':', '.']))?;
    Some(match part {
        Some(part) => format!("/docs/{page}#{part}"),
        None => format!("/docs/{page}"),
    })
}

/// What stands before the title of a block that is shown when it is asked for.
pub const FOLDED: &str = "folded ";

/// A block of code; a folded one behind its title.
fn block(title: &str, text: &str) -> String {
    match title.strip_prefix(FOLDED) {
        Some(title) => {
            let (summary, code) = (show::text(title), show::code(title, text, None));
            format!("<details><summary>{summary}</summary>{code}</details>")
        }
        None => show::code(title, text, None),
    }
}

/// What stands above a block of code: the words behind its language, else the language.
fn code_title(kind: &CodeBlockKind) -> String {
    let CodeBlockKind::Fenced(info) = kind else { return "text".to_owned() };
    match info.split_once(' ') {
        Some((_, title)) => title.to_owned(),
        None => match &**info {
            "sh" => "shell".to_owned(),
            "json" | "toml" => info.to_uppercase(),
            "" => "text".to_owned(),
            other => other.to_owned(),
        },
    }
}

/// Words as an id.
fn slug(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars().flat_map(char::to_lowercase) {
        match c {
            c if c.is_ascii_alphanumeric() || c == '_' => out.push(c),
            ' ' | '-' | '/' if !out.is_empty() && !out.ends_with('-') => out.push('-'),
            _ => {}
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// Words of the program as Markdown in one line: what stands in backticks stays code, everything else means itself.
pub fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() + 16);
    let paired = raw.matches('`').count() / 2 * 2;
    let (mut seen, mut inside) = (0, false);
    for c in raw.chars() {
        match c {
            '`' if seen < paired => {
                seen += 1;
                inside = !inside;
                out.push(c);
            }
            '\n' => out.push(' '),
            '|' => out.push_str("\\|"),
            c if !inside && "\\`*_[]<>&#~!{}".contains(c) => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A piece of code in a line or in a cell of a table.
pub fn code(raw: &str) -> String {
    let raw = raw.replace('\n', " ").replace('|', "\\|");
    if raw.contains('`') { format!("`` {raw} ``") } else { format!("`{raw}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(source: &str) -> String {
        render(source).html
    }

    #[test]
    fn markup_in_a_page_is_shown_and_not_passed_on() {
        let page =
            html("# <b>x</b>\n\n<script>alert(1)</script>\n\na <i onclick=\"x\">b</i> & `<u>`\n\n```sh\n<hr>\n```\n");
        for forbidden in ["<script", "<i ", "<u>", "<hr", "<b>"] {
            assert!(!page.contains(forbidden), "{forbidden} in {page}");
        }
        assert!(page.contains("&lt;script&gt;") && page.contains("&lt;hr&gt;"), "{page}");
        let hostile = html("[x](javascript:alert(1)) [y](//evil.example) ![z](https://evil.example/a.png)");
        assert!(!hostile.contains("href") && !hostile.contains("<img") && !hostile.contains("src="), "{hostile}");
    }

    #[test]
    fn a_folded_block_is_behind_its_title() {
        let page = html("```json folded answer 200 <b>\n{}\n```\n");
        assert!(page.contains("<details><summary>answer 200 &lt;b&gt;</summary><div class=\"code\">"), "{page}");
        assert!(!page.contains("folded"), "{page}");
    }

    #[test]
    fn headings_have_ids_of_their_own_and_links_to_them() {
        let page = render("# One\n\n## The `x` & y {#given}\n\n## Two words\n\n## Two words\n");
        let ids: Vec<&str> = page.headings.iter().map(|heading| &*heading.id).collect();
        assert_eq!(ids, ["one", "given", "two-words", "two-words-2"]);
        assert!(
            page.html.contains(r##"<h2 id="given">"##) && page.html.contains(r##"href="#given""##),
            "{}",
            page.html
        );
        assert_eq!(page.headings[1].text, "The x & y");
    }

    #[test]
    fn links_lead_to_pages_by_the_names_of_their_files() {
        let page = html("[a](start.md) [b](errors.md#gone) [c](#x) [d](https://example.com/) [e](../x.md)");
        for there in
            ["\"/docs/start\"", "\"/docs/errors#gone\"", "\"#x\"", "\"https://example.com/\" rel=\"noreferrer\""]
        {
            assert!(page.contains(there), "{there} in {page}");
        }
        assert!(!page.contains("../x"), "{page}");
    }

    #[test]
    fn a_table_has_no_style_and_words_of_the_program_mean_themselves() {
        let table = format!("| a | b |\n|---|--:|\n| {} | {} |\n", code("x|y"), text("*a* <b> `c|d` e_f `"));
        let page = html(&table);
        assert!(!page.contains("style"), "{page}");
        assert!(page.contains("<code>x|y</code>") && page.contains("<code>c|d</code>"), "{page}");
        assert!(page.contains("*a* &lt;b&gt;") && page.contains("e_f `"), "{page}");
    }
}
