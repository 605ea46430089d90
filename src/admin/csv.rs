//! Lists as CSV (RFC 4180): exact values, and nothing that a spreadsheet takes for a formula.

use actix_web::{HttpResponse, http::header};
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    admin::reply::Reply,
    domain::{clock::Timestamp, visible::csv_safe},
    error::Error,
};

/// How a list is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As an object.
    #[default]
    Json,
    /// As a file for spreadsheets.
    Csv,
}

/// A moment in a cell.
pub fn moment(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)).unwrap_or_default()
}

/// A number in a cell that may be empty.
pub fn number(value: Option<u64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Where the page after this one begins, for the `Link` of an answer that is no object.
pub struct NextPage(pub String);

/// The answer with these columns and rows; `name` is what the file is called, `next` the cursor if there are more.
pub fn answer(name: &str, columns: &[&str], rows: impl Iterator<Item = Vec<String>>, next: Option<String>) -> Reply {
    let failed = |cause: csv::Error| Error::internal("writing CSV", cause);
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(columns).map_err(failed)?;
    for row in rows {
        let is_number = |cell: &str| !cell.starts_with('+') && cell.parse::<i64>().is_ok();
        let safe = |cell: &String| if is_number(cell) { cell.clone() } else { csv_safe(cell) };
        writer.write_record(row.iter().map(safe)).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|cause| Error::internal("writing CSV", cause))?;
    let mut answer = HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")))
        .body(bytes);
    if let Some(cursor) = next {
        answer.extensions_mut().insert(NextPage(cursor));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;

    use super::*;

    #[test]
    fn what_a_cell_holds_stays_in_it_and_is_no_formula() {
        let cells = ["=1+1", "+1", "-32011", "a;=cmd()", "a,\"b\"\r\n=c", " @x", "a\rb", "", "'x"];
        let row = cells.map(str::to_owned).to_vec();
        let answer = answer("x", &["c"; 9], [row].into_iter(), None).unwrap();
        let bytes = answer.into_body().try_into_bytes().unwrap();
        let mut reader = csv::Reader::from_reader(&bytes[..]);
        let read: Vec<String> = reader.records().next().unwrap().unwrap().iter().map(str::to_owned).collect();
        let safe = ["'=1+1", "'+1", "-32011", "a;'=cmd()", "a,\"b\"\r\n'=c", "' @x", "a\rb", "", "'x"];
        assert_eq!(read, safe);
        assert!(bytes.ends_with(b"\r\n") && !bytes.starts_with("\u{feff}".as_bytes()));
    }
}
