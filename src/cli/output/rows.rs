//! A list that has no end: each row is printed when it comes. As JSON one object a line, as YAML one element of a list.

use serde::Serialize;

use super::{Align, Format, Outcome, Sheet, Terminal, escape_json, structured, text};

/// Prints rows as they come; columns grow with what is in them.
#[derive(Default)]
pub struct Rows {
    widths: Vec<usize>,
    begun: bool,
}

impl Rows {
    /// Prints a row: the object itself, or the one row of `sheet`; `essential` is what `-q` prints.
    pub fn show<T: Serialize>(&mut self, terminal: &mut Terminal, item: &T, sheet: &Sheet, essential: &str) -> Outcome {
        if terminal.quiet {
            return terminal.line(essential);
        }
        if terminal.wants_json() {
            let list = structured::members(std::slice::from_ref(item), &terminal.fields)?;
            let line = match terminal.format {
                Format::Yaml => structured::yaml(&list)?,
                _ => list.get(0).unwrap_or(&list).to_string(),
            };
            return terminal.out_line(&escape_json(&line));
        }
        let chosen = if terminal.fields.is_empty() { None } else { Some(sheet.only(&terminal.fields)?) };
        let sheet = chosen.as_ref().unwrap_or(sheet);
        let heads = terminal.headers && !std::mem::replace(&mut self.begun, true);
        if terminal.format == Format::Csv {
            return terminal.out_bytes(&sheet.csv(heads)?);
        }
        if heads {
            let heads: Vec<String> = sheet.columns.iter().map(|column| column.0.to_owned()).collect();
            self.line(terminal, sheet, &heads)?;
        }
        sheet.rows.iter().try_for_each(|row| {
            let cells: Vec<String> = row.iter().map(|cell| text::harmless(&cell.shown)).collect();
            self.line(terminal, sheet, &cells)
        })
    }

    fn line(&mut self, terminal: &mut Terminal, sheet: &Sheet, cells: &[String]) -> Outcome {
        self.widths.resize(cells.len(), 0);
        let mut line = String::new();
        for ((cell, width), column) in cells.iter().zip(&mut self.widths).zip(&sheet.columns) {
            *width = (*width).max(cell.chars().count());
            let blanks = " ".repeat(*width - cell.chars().count());
            match column.2 {
                Align::Left => line.push_str(&format!("{cell}{blanks}  ")),
                Align::Right => line.push_str(&format!("{blanks}{cell}  ")),
            }
        }
        terminal.out_line(line.trim_end())
    }
}
