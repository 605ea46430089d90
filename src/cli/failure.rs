//! What went wrong, as a person and as a script see it: the `✗ 403: …` lines and the exit code. The codes are a promise
//! (ux.md §3): 0 ok, 1 failure, 2 usage, 3 not found, 4 not logged in, 5 forbidden, 6 conflict, 7 rate limited,
//! 8 server unreachable or failing, 130 interrupted.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::{
    admin::dto::Problem,
    error::{Error, ErrorCode},
};

/// How a command went.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    exit: u8,
    status: Option<u16>,
    title: String,
    hint: Option<String>,
    request_id: Option<String>,
    fields: Vec<String>,
    document: Value,
}

impl Failure {
    fn plain(exit: u8, code: &str, title: impl Into<String>) -> Self {
        let title = title.into();
        let document = json!({"title": title, "code": code});
        Failure(Box::new(Inner {
            exit,
            status: None,
            title,
            hint: None,
            request_id: None,
            fields: Vec::new(),
            document,
        }))
    }
    /// Something on this machine: a file, a refusal to guess.
    pub fn local(title: impl Into<String>) -> Self {
        Failure::plain(1, "failure", title)
    }
    /// The command makes no sense as typed.
    pub fn usage(title: impl Into<String>) -> Self {
        Failure::plain(2, "usage", title)
    }
    /// No such thing among what this machine knows.
    pub fn not_found(title: impl Into<String>) -> Self {
        Failure::plain(3, "not_found", title)
    }
    /// Something of that name is there already.
    pub fn conflict(title: impl Into<String>) -> Self {
        Failure::plain(6, "conflict", title)
    }
    /// No API key for this gateway.
    pub fn not_logged_in(title: impl Into<String>) -> Self {
        Failure::plain(4, "not_logged_in", title)
    }
    /// Nobody answers, or not what was asked.
    pub fn unreachable(title: impl Into<String>) -> Self {
        Failure::plain(8, "unreachable", title)
    }
    /// Something could not be looked at, so nothing is known of it (exit status 2).
    pub fn uncheckable(error: Error) -> Self {
        let failure = Failure::plain(2, error.code().name(), error.message());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
    /// The same where it means that nothing is known of what was asked about (exit status 2).
    pub fn leaving_unknown(mut self) -> Self {
        self.0.exit = 2;
        self
    }
    /// The server said no.
    pub fn from_problem(status: u16, problem: Problem) -> Self {
        let document = serde_json::to_value(&problem).unwrap_or_default();
        let title = if problem.title.is_empty() { format!("the server answered {status}") } else { problem.title };
        Failure(Box::new(Inner {
            exit: exit_of(status),
            status: Some(status),
            title,
            hint: problem.hint,
            request_id: Some(problem.request_id).filter(|id| !id.is_empty()),
            fields: problem.errors.into_iter().map(|e| format!("{}: {}", e.pointer, e.detail)).collect(),
            document,
        }))
    }
    /// Adds what to do, unless that was said already.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        if self.0.hint.is_none() {
            let hint = hint.into();
            if let Value::Object(members) = &mut self.0.document {
                members.insert("hint".into(), Value::String(hint.clone()));
            }
            self.0.hint = Some(hint);
        }
        self
    }
    /// The HTTP status, if the server answered.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }
    /// Something of that name is there already.
    pub fn is_conflict(&self) -> bool {
        self.0.exit == exit_of(409)
    }
    /// The gateway is away or does not work, so it may be asked again.
    pub fn is_of_the_way(&self) -> bool {
        self.0.exit == exit_of(500)
    }
    /// What comes next would fail in the same way: nobody answers, or not for this key.
    pub fn ends_everything(&self) -> bool {
        [exit_of(401), exit_of(500)].contains(&self.0.exit)
    }
    /// `403: You are not a member of @acme`.
    pub fn headline(&self) -> String {
        match self.0.status {
            Some(status) => format!("{status}: {}", self.0.title),
            None => self.0.title.clone(),
        }
    }
    /// The lines below the headline.
    pub fn details(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.0.fields.iter().map(|f| format!("  {f}")).collect();
        lines.extend(self.0.hint.iter().map(|h| format!("hint: {h}")));
        lines.extend(self.0.request_id.iter().map(|id| format!("request id: {id}")));
        lines
    }
    /// The problem document, for `-o json`.
    pub fn document(&self) -> &Value {
        &self.0.document
    }
    /// The exit code of the process.
    pub fn exit(&self) -> ExitCode {
        ExitCode::from(self.0.exit)
    }
    /// The exit code as a number.
    #[cfg(test)]
    pub fn exit_number(&self) -> u8 {
        self.0.exit
    }
}

/// The exit code for an HTTP status.
fn exit_of(status: u16) -> u8 {
    match status {
        401 => 4,
        403 => 5,
        404 | 410 => 3,
        409 | 412 => 6,
        429 => 7,
        500.. => 8,
        _ => 1,
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::local(format!("cannot write the output: {error}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = match error.code() {
            ErrorCode::Validation => Failure::usage(error.message()),
            ErrorCode::NotFound => Failure::not_found(error.message()),
            ErrorCode::Unauthorized => Failure::plain(exit_of(401), error.code().name(), error.message()),
            ErrorCode::RateLimited => Failure::plain(exit_of(429), error.code().name(), error.message()),
            ErrorCode::UpstreamUnavailable | ErrorCode::Overloaded => Failure::unreachable(error.message()),
            _ => Failure::local(error.message()),
        };
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_promised_ones() {
        for (status, exit) in
            [(400, 1), (401, 4), (403, 5), (404, 3), (409, 6), (422, 1), (429, 7), (500, 8), (502, 8), (503, 8)]
        {
            assert_eq!(Failure::from_problem(status, Problem::default()).exit_number(), exit, "{status}");
        }
        assert_eq!(Failure::usage("x").exit_number(), 2);
        assert_eq!(Failure::unreachable("x").exit_number(), 8);
        assert_eq!(Failure::not_logged_in("x").exit_number(), 4);
    }

    #[test]
    fn an_api_error_reads_as_the_seeds_show_it() {
        let problem = Problem {
            title: "You are not a member of @acme".into(),
            hint: Some("ask an owner to invite you".into()),
            request_id: "0190".into(),
            ..Problem::default()
        };
        let failure = Failure::from_problem(403, problem);
        assert_eq!(failure.headline(), "403: You are not a member of @acme");
        assert_eq!(failure.details(), ["hint: ask an owner to invite you", "request id: 0190"]);
    }
}
