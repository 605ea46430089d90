//! How the admin API says no: RFC 9457 problem documents. A handler returns [`Refusal`]; the frame around all routes
//! adds what only it knows (request id, path) and writes the document.

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{StatusCode, header},
};

use crate::{
    admin::dto::{FieldError, Problem},
    error::{Error, ErrorCode},
};

/// Media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An [`Error`] on its way out of a handler.
#[derive(Debug, Clone)]
pub struct Refusal(pub Error);

/// What a handler answers.
pub type Reply<T = HttpResponse> = Result<T, Refusal>;

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal(error)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        status(self.0.code())
    }
    fn error_response(&self) -> HttpResponse {
        problem(&self.0, "", "")
    }
}

fn status(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.admin_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The problem document for `error`.
pub fn problem(error: &Error, instance: &str, request_id: &str) -> HttpResponse {
    let code = error.code();
    let (errors, data) = fields_of(error);
    let body = Problem {
        kind: code.page(),
        title: error.message().to_owned(),
        status: code.admin_status(),
        detail: code.title().to_owned(),
        instance: instance.to_owned(),
        code: code.name().to_owned(),
        request_id: request_id.to_owned(),
        hint: error.hint().map(str::to_owned),
        errors,
        data,
    };
    let mut answer = HttpResponseBuilder::new(status(code));
    answer.insert_header((header::CONTENT_TYPE, PROBLEM_JSON));
    if code == ErrorCode::Unauthorized {
        answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"aerostack\""));
    }
    if let Some(seconds) = error.retry_after() {
        answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    // `.json()` would keep our content type, but only as long as it is set before: a plain body cannot go wrong.
    answer.body(serde_json::to_string(&body).unwrap_or_default())
}

/// An error about members of the body. They travel in its data as `{"errors": […]}`.
pub fn invalid_members(message: impl Into<String>, members: Vec<FieldError>) -> Error {
    Error::new(ErrorCode::InvalidRequest, message).with_data(serde_json::json!({ "errors": members }))
}

fn fields_of(error: &Error) -> (Vec<FieldError>, Option<serde_json::Value>) {
    let mut data = error.data().cloned();
    let listed = data.as_mut().and_then(|data| data.as_object_mut()).and_then(|members| members.remove("errors"));
    let errors = listed.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let data = data.filter(|data| data.as_object().is_none_or(|members| !members.is_empty()));
    (errors, data)
}

/// What a status that actix itself chose means in our table.
pub fn of_status(status: StatusCode) -> Error {
    let (code, message) = match status.as_u16() {
        401 => (ErrorCode::Unauthorized, "Unauthorized"),
        403 => (ErrorCode::Forbidden, "Forbidden"),
        404 => (ErrorCode::NotFound, "No such page of the admin API"),
        405 => (ErrorCode::MethodNotAllowed, "Method not allowed here"),
        408 => (ErrorCode::RequestTimeout, "The request did not arrive in time"),
        413 => (ErrorCode::TooLarge, "The body is too large"),
        415 => (ErrorCode::UnsupportedMediaType, "Send application/json"),
        500.. => (ErrorCode::Internal, "Internal error"),
        _ => (ErrorCode::InvalidRequest, "Not a valid request"),
    };
    Error::new(code, message)
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    async fn document(error: &Error) -> serde_json::Value {
        let answer = problem(error, "/api/v1/admin/x", "req-1");
        assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), PROBLEM_JSON);
        serde_json::from_slice(&to_bytes(answer.into_body()).await.unwrap()).unwrap()
    }

    #[actix_web::test]
    async fn a_problem_names_what_happened_and_what_to_do() {
        let error = Error::new(ErrorCode::PlanLimit, "The Free plan allows 3 tokens; 3 are in use")
            .with_hint("Remove one")
            .with_data(serde_json::json!({"limit": 3}));
        let document = document(&error).await;
        assert_eq!(document["type"], "/docs/errors#plan-limit");
        assert_eq!(document["title"], "The Free plan allows 3 tokens; 3 are in use");
        assert_eq!(document["status"], 403);
        assert_eq!(document["code"], "plan_limit");
        assert_eq!(document["instance"], "/api/v1/admin/x");
        assert_eq!(document["request_id"], "req-1");
        assert_eq!(document["hint"], "Remove one");
        assert_eq!(document["data"]["limit"], 3);
    }

    #[actix_web::test]
    async fn wrong_members_are_listed() {
        let member = FieldError { pointer: "/name".into(), detail: "is missing".into() };
        let document = document(&invalid_members("The body does not fit", vec![member])).await;
        assert_eq!(document["errors"], serde_json::json!([{"pointer": "/name", "detail": "is missing"}]));
        assert!(document.get("data").is_none());
    }
}
