//! The only file that writes to the terminal. Data and the one-line confirmations go to stdout, everything said beside
//! them to stderr, so that `$(…)` and `>` catch exactly the result. Text from elsewhere is made harmless here, once.

mod rows;

use std::io::{self, ErrorKind, IsTerminal as _, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::json;

use super::{
    args::{Colors, Format, GlobalArgs, Output},
    failure::{Failure, Outcome},
    session::Session,
    structured, text,
};
use crate::{
    admin::dto::CheckState,
    domain::{
        clock::{self, Timestamp},
        period,
    },
};

pub use self::rows::Rows;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const WORTH: Style = AnsiColor::Yellow.on_default();
const FAINT: Style = Style::new().dimmed();

/// Where and how results are printed.
pub struct Terminal {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    format: Format,
    asked: Option<Format>,
    client: Option<&'static str>,
    fields: Vec<String>,
    quiet: bool,
    headers: bool,
    absolute: bool,
    unicode: bool,
    out_is_terminal: bool,
    closed: bool,
}

/// One column: its head, its name in CSV, and whether it holds numbers.
#[derive(Clone, Copy)]
pub struct Column(pub &'static str, pub &'static str, pub Align);

/// To which side a column's cells lean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// One cell: as people read it and as programs do.
#[derive(Clone)]
pub struct Cell {
    shown: String,
    exact: String,
}

impl Cell {
    /// The same for both.
    pub fn text(text: impl Into<String>) -> Self {
        let shown = text.into();
        Cell { exact: shown.clone(), shown }
    }
    /// Different words for people.
    pub fn both(shown: impl Into<String>, exact: impl Into<String>) -> Self {
        Cell { shown: shown.into(), exact: exact.into() }
    }
    /// A number.
    pub fn number(n: u64) -> Self {
        Cell::text(n.to_string())
    }
    /// A day: `2026-03-01`.
    pub fn date(at: Timestamp) -> Self {
        Cell::both(text::date(at), text::exact(at))
    }
    /// A minute: `2026-03-15 14:32 UTC`.
    pub fn minute(at: Timestamp) -> Self {
        Cell::both(text::minute(at), text::exact(at))
    }
}

/// A table before it is printed.
pub struct Sheet {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Sheet {
    /// An empty table.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Sheet { columns: columns.into_iter().collect(), rows: Vec::new() }
    }
    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }
    /// Only the columns of these names, in this order.
    fn only(&self, fields: &[String]) -> Outcome<Sheet> {
        let at = |field: &String| {
            self.columns.iter().position(|column| column.1 == field).ok_or_else(|| {
                let known: Vec<&str> = self.columns.iter().map(|column| column.1).collect();
                Failure::usage(format!("There is no column \"{field}\""))
                    .with_hint(format!("known: {}", known.join(", ")))
            })
        };
        let places = fields.iter().map(at).collect::<Outcome<Vec<usize>>>()?;
        let columns = places.iter().filter_map(|at| self.columns.get(*at).copied()).collect();
        let row = |row: &Vec<Cell>| places.iter().filter_map(|at| row.get(*at).cloned()).collect();
        Ok(Sheet { columns, rows: self.rows.iter().map(row).collect() })
    }
    fn table(&self, headers: bool) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if headers {
            table.set_header(self.columns.iter().map(|c| c.0));
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| text::harmless(&cell.shown)));
        }
        for (column, Column(_, _, align)) in table.column_iter_mut().zip(&self.columns) {
            column.set_padding((0, 2));
            if *align == Align::Right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt()
    }
    fn csv(&self, headers: bool) -> Outcome<Vec<u8>> {
        let failed = |error: csv::Error| Failure::local(format!("cannot write CSV: {error}"));
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        if headers {
            writer.write_record(self.columns.iter().map(|c| c.1)).map_err(failed)?;
        }
        for row in &self.rows {
            writer.write_record(row.iter().map(|cell| text::csv_safe(&cell.exact))).map_err(failed)?;
        }
        writer.into_inner().map_err(|error| Failure::local(format!("cannot write CSV: {error}")))
    }
}

impl Terminal {
    /// The process's own streams.
    pub fn standard(global: &GlobalArgs) -> Self {
        let choice = match global.color {
            Colors::Auto => ColorChoice::Auto,
            Colors::Always => ColorChoice::Always,
            Colors::Never => ColorChoice::Never,
        };
        Terminal {
            out: Box::new(AutoStream::new(io::stdout(), choice)),
            err: Box::new(AutoStream::new(io::stderr(), choice)),
            out_is_terminal: io::stdout().is_terminal(),
            unicode: speaks_utf8(|name| std::env::var(name).ok()),
            ..Terminal::writing_to(Box::new(io::sink()), Box::new(io::sink()), global)
        }
    }
    /// Any two streams; nobody looks at them as a terminal.
    pub(super) fn writing_to(out: Box<dyn Write>, err: Box<dyn Write>, global: &GlobalArgs) -> Self {
        let (asked, client) = match global.output {
            _ if global.json => (Some(Format::Json), None),
            Some(Output::As(format)) => (Some(format), None),
            Some(Output::For(client)) => (Some(Format::Table), Some(client)),
            None => (None, None),
        };
        Terminal {
            out,
            err,
            format: asked.unwrap_or(Format::Table),
            asked,
            client,
            fields: global.fields.clone(),
            quiet: global.quiet,
            headers: !global.no_headers,
            absolute: global.absolute,
            unicode: true,
            out_is_terminal: false,
            closed: false,
        }
    }
    /// Takes the profile's output format unless one was asked for.
    pub fn apply(&mut self, session: &Session) {
        if self.asked.is_none() {
            self.format = session.output().unwrap_or(Format::Table);
        }
    }
    /// Whether only a raw token was asked for, or a client's configuration that holds it.
    pub fn wants_a_token(&self) -> bool {
        self.format == Format::Token || self.client.is_some()
    }
    /// The client whose configuration was asked for.
    pub fn client(&self) -> Option<&'static str> {
        self.client
    }
    /// Whether the API's own objects were asked for.
    pub fn wants_json(&self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml) && !self.quiet
    }
    /// Whether nobody reads stdout any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
    /// Whether results are for people.
    pub fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Prints a list: the objects themselves as JSON, else the sheet; `quiet` picks what `-q` prints of each row.
    pub fn list<T: Serialize>(&mut self, items: &[T], sheet: &Sheet, quiet: impl Fn(&T) -> &str) -> Outcome {
        if self.quiet {
            let lines: Vec<String> = items.iter().map(|item| text::harmless(quiet(item))).collect();
            return lines.iter().try_for_each(|line| self.out_line(line));
        }
        if self.wants_json() {
            let items = structured::members(items, &self.fields)?;
            return self.json(&items);
        }
        let chosen = if self.fields.is_empty() { None } else { Some(sheet.only(&self.fields)?) };
        let sheet = chosen.as_ref().unwrap_or(sheet);
        match self.format {
            Format::Csv => {
                let bytes = sheet.csv(self.headers)?;
                if self.out_is_terminal {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    return text.lines().try_for_each(|line| self.out_line(&text::harmless(line)));
                }
                self.out_bytes(&bytes)
            }
            _ if sheet.rows.is_empty() && !self.headers => Ok(()),
            _ => {
                let table = sheet.table(self.headers);
                self.out_line(&table)
            }
        }
    }
    /// Whether sentences are wanted, not an object or one value.
    pub fn is_plain(&self) -> bool {
        !self.quiet && !self.wants_json()
    }
    /// A line above or below a table, for people only.
    pub fn footer(&mut self, line: &str) -> Outcome {
        if self.is_table() && !self.quiet { self.out_line(&text::harmless(line)) } else { Ok(()) }
    }
    /// `✓ …`: a command did what it was asked. As JSON the object, with `-q` the essential value.
    pub fn done<T: Serialize + ?Sized>(&mut self, sentence: &str, object: &T, essential: &str) -> Outcome {
        match self.format {
            _ if self.quiet => self.out_line(&text::harmless(essential)),
            Format::Json | Format::Yaml => self.json(object),
            _ => {
                let mark = if self.unicode { "✓" } else { "OK" };
                self.out_line(&format!("{GOOD}{mark}{GOOD:#} {}", text::harmless(sentence)))
            }
        }
    }
    /// How something is that was looked at, and what to do about it.
    pub fn check(&mut self, state: CheckState, line: &str, fix: Option<&str>) -> Outcome {
        let (style, mark, word) = match state {
            CheckState::Ok => (GOOD, "✓", "OK"),
            CheckState::Warn => (WORTH, "!", "!"),
            CheckState::Fail => (BAD, "✗", "ERROR"),
        };
        if self.quiet && state == CheckState::Ok {
            return Ok(());
        }
        let mark = if self.unicode { mark } else { word };
        self.out_line(&format!("{style}{mark}{style:#} {}", text::harmless(line)))?;
        match fix {
            Some(fix) => self.out_line(&format!("  {FAINT}fix:{FAINT:#} {}", text::harmless(fix))),
            None => Ok(()),
        }
    }
    /// Prints an object as JSON (or YAML, if that was asked for); characters that could drive a terminal are escaped.
    pub fn json<T: Serialize + ?Sized>(&mut self, object: &T) -> Outcome {
        if self.format == Format::Yaml {
            return self.out_line(&escape_json(&structured::yaml(object)?));
        }
        let text = serde_json::to_string_pretty(object)
            .map_err(|error| Failure::local(format!("cannot write JSON: {error}")))?;
        self.out_line(&escape_json(&text))
    }
    /// Prints a value (or text of ours that goes to a file) as it is.
    pub fn value(&mut self, value: &str) -> Outcome {
        self.out_line(value)
    }
    /// Prints text from elsewhere, one line.
    pub fn line(&mut self, line: &str) -> Outcome {
        self.out_line(&text::harmless(line))
    }
    /// Something worth knowing, on stderr.
    pub fn note(&mut self, line: &str) {
        if !self.quiet {
            self.err_line(&text::harmless(line));
        }
    }
    /// Something that the person must read, on stderr, even with `-q`.
    pub fn say(&mut self, line: &str) {
        self.err_line(&text::harmless(line));
    }
    /// What to do next, on stderr.
    pub fn hint(&mut self, line: &str) {
        if !self.quiet {
            self.err_line(&format!("{FAINT}hint:{FAINT:#} {}", text::harmless(line)));
        }
    }
    /// Something that may be wrong, on stderr, even with `-q`.
    pub fn warn(&mut self, line: &str) {
        self.err_line(&format!("! {}", text::harmless(line)));
    }
    /// The failure that ends the command.
    pub fn failure(&mut self, failure: &Failure) {
        if matches!(self.format, Format::Json | Format::Yaml) {
            let text = serde_json::to_string(failure.document()).unwrap_or_else(|_| json!({}).to_string());
            return self.err_line(&escape_json(&text));
        }
        let mark = if self.unicode { "✗" } else { "ERROR" };
        self.err_line(&format!("{BAD}{mark}{BAD:#} {}", text::harmless(&failure.headline())));
        for line in failure.details() {
            self.err_line(&text::harmless(&line));
        }
    }
    /// When something was, seen from now: `2 min ago`, after a week the date, `never` if not at all.
    pub fn when(&self, at: Option<Timestamp>) -> Cell {
        match at {
            None => Cell::both("never", ""),
            Some(at) if self.absolute => Cell::minute(at),
            Some(at) => Cell::both(period::ago(at, clock::now()), text::exact(at)),
        }
    }

    fn out_line(&mut self, line: &str) -> Outcome {
        self.out_bytes(format!("{line}\n").as_bytes())
    }
    fn out_bytes(&mut self, bytes: &[u8]) -> Outcome {
        match self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            // `aerostack … | head` closes the pipe on purpose.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => Ok(other?),
        }
    }
    fn err_line(&mut self, line: &str) {
        // Nobody is left to tell when stderr is gone.
        let _gone = writeln!(self.err, "{line}");
    }
}

/// Shows one step of the conversation with the server (`--verbose`).
pub fn trace(line: &str) {
    let _gone = writeln!(io::stderr(), "{}", text::harmless(line));
}

/// Whether somebody looks at stderr who sees a picture that moves.
pub fn shows_pictures() -> bool {
    let variable = |name: &str| std::env::var(name).ok();
    io::stderr().is_terminal() && variable("TERM").is_none_or(|term| term != "dumb") && speaks_utf8(variable)
}

/// Puts a picture where the next line will be, or takes the last one away.
pub fn picture(picture: Option<&str>) {
    let mut err = io::stderr();
    let _gone = match picture {
        Some(picture) => write!(err, "\r{picture} waiting for the gateway"),
        None => write!(err, "\r\u{1b}[K"),
    };
    let _gone = err.flush();
}

/// Escapes invisible characters in JSON text. Outside strings there are none, so the document stays the same.
fn escape_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && text::is_invisible(c) {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether the locale's encoding is UTF-8. Where nothing is set at all (containers, services) it is taken to be.
fn speaks_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| variable(name).filter(|v| !v.is_empty()));
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Rc<RefCell<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Sink {
        fn text(&self) -> String {
            anstream::adapter::strip_str(&String::from_utf8(self.0.borrow().clone()).unwrap()).to_string()
        }
    }

    fn terminal(format: Format) -> (Terminal, Sink, Sink) {
        let (out, err) = (Sink::default(), Sink::default());
        let global = GlobalArgs { output: Some(Output::As(format)), ..GlobalArgs::default() };
        (Terminal::writing_to(Box::new(out.clone()), Box::new(err.clone()), &global), out, err)
    }

    fn sheet() -> Sheet {
        let mut sheet = Sheet::new([
            Column("USER", "user", Align::Left),
            Column("CALLS", "calls", Align::Right),
            Column("LAST CALL", "last_call", Align::Left),
        ]);
        let at = "2026-03-15T14:32:00Z".parse().unwrap();
        sheet.row([Cell::text("Alice Chen"), Cell::number(42), Cell::date(at)]);
        sheet.row([Cell::text("=HYPERLINK(\"x\")"), Cell::number(7), Cell::date(at)]);
        sheet.row([Cell::text("a\n\u{1b}[2Jb"), Cell::number(7), Cell::date(at)]);
        sheet
    }

    #[test]
    fn a_table_keeps_one_line_a_row_and_no_trailing_blanks() {
        let (mut terminal, out, _) = terminal(Format::Table);
        terminal.list(&["x"], &sheet(), |x| x).unwrap();
        let text = out.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].starts_with("USER") && lines[0].ends_with("LAST CALL"), "{text}");
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["Alice", "Chen", "42", "2026-03-15"]);
        assert!(lines[3].starts_with("a\\n\\u{1b}[2Jb"), "{text}");
        assert!(lines.iter().all(|l| l.trim_end() == *l), "{text}");
    }

    #[test]
    fn csv_is_rfc_4180_with_exact_times_and_no_formulas() {
        let (mut terminal, out, _) = terminal(Format::Csv);
        terminal.list(&["x"], &sheet(), |x| x).unwrap();
        let text = out.text();
        assert!(text.starts_with("user,calls,last_call\r\nAlice Chen,42,2026-03-15T14:32:00Z\r\n"), "{text}");
        assert!(text.contains("\"'=HYPERLINK(\"\"x\"\")\",7,"), "{text}");
    }

    #[test]
    fn json_cannot_drive_the_terminal_and_stays_the_same_document() {
        let (mut terminal, out, _) = terminal(Format::Json);
        let name = "a\u{202e}b\u{9b}c\u{e0041}";
        terminal.list(&[name], &sheet(), |x| x).unwrap();
        let text = out.text();
        assert!(!text.chars().any(|c| c != '\n' && text::is_invisible(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), [name]);
    }

    #[test]
    fn failures_go_to_stderr_in_the_seeds_form() {
        let (mut terminal, out, err) = terminal(Format::Table);
        terminal.failure(&Failure::not_found("No server \"githb-mcp\". Did you mean github-mcp?").with_hint("look"));
        assert_eq!(err.text(), "✗ No server \"githb-mcp\". Did you mean github-mcp?\nhint: look\n");
        assert_eq!(out.text(), "");
    }

    #[test]
    fn marks_follow_the_locale() {
        let with =
            |name: &'static str, value: &'static str| move |asked: &str| (asked == name).then(|| value.to_owned());
        assert!(speaks_utf8(with("LANG", "en_GB.UTF-8")));
        assert!(speaks_utf8(with("LC_ALL", "C.utf8")));
        assert!(!speaks_utf8(with("LC_ALL", "C")));
        assert!(!speaks_utf8(with("LANG", "de_DE.ISO-8859-1")));
        assert!(speaks_utf8(|_| None));
    }
}
