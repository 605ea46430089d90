//! One question to a workspace's gateway URL, asked as a client of 2026-07-28 asks it: for `mcp call` and `doctor`.

use std::time::Duration;

use awc::http::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::gateway::{Body, Gateway, Headers};
use crate::{
    cli::{Question, Target},
    error::{Error, ErrorCode, Result},
    protocol::{headers, meta, revision::Revision},
    upstream::mirror,
};

/// Longest wait for an answer: the gateway's own limit of a whole call is below it.
const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    code: i32,
    message: String,
}

/// Asks, and gives the result as it came.
///
/// # Errors
/// The gateway's refusal, with its code in front; `upstream_unavailable` when it cannot be reached.
pub fn ask(target: &Target, question: &Question) -> Result<Box<RawValue>> {
    actix_web::rt::System::new().block_on(async {
        let late = || Error::new(ErrorCode::UpstreamTimeout, "The gateway did not answer in time");
        actix_web::rt::time::timeout(PATIENCE, asked(target, question)).await.map_err(|_elapsed| late())?
    })
}

async fn asked(target: &Target, question: &Question) -> Result<Box<RawValue>> {
    let gateway = Gateway::new(target)?;
    let reply = gateway.post(Bytes::from(body(question)?), &with(question)).await?;
    match reply.body {
        Body::Whole(bytes) => result(reply.status, &bytes),
        Body::Events(mut events) => {
            while let Some(event) = events.next().await? {
                // Whatever has neither is a notice on the way.
                if let Ok(Answer { result: Some(_), .. } | Answer { error: Some(_), .. }) =
                    serde_json::from_slice::<Answer<'_>>(&event.data)
                {
                    return result(reply.status, &event.data);
                }
            }
            Err(Error::new(ErrorCode::OutcomeUnknown, "The gateway's stream ended without an answer"))
        }
    }
}

fn body(question: &Question) -> Result<Vec<u8>> {
    let mut params = question.params.clone();
    params.insert(
        "_meta".into(),
        json!({
            (meta::PROTOCOL_VERSION): Revision::MODERN.as_str(),
            (meta::CLIENT_CAPABILITIES): {},
            (meta::CLIENT_INFO): { "name": "aerostack", "version": env!("CARGO_PKG_VERSION") },
        }),
    );
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": question.method, "params": params });
    serde_json::to_vec(&body).map_err(|cause| Error::internal("writing a request", cause))
}

fn with(question: &Question) -> Headers {
    let mut with = Vec::new();
    let mut add = |name: &'static str, value: &str| {
        with.extend(HeaderValue::from_str(value).ok().map(|value| (HeaderName::from_static(name), value)));
    };
    add(headers::PROTOCOL_VERSION, Revision::MODERN.as_str());
    add(headers::METHOD, question.method);
    let name = headers::name_member(question.method).and_then(|member| question.params.get(member)?.as_str());
    if let Some(name) = name {
        add(headers::NAME, &headers::encode(name));
    }
    let mirrored = question.schema.as_deref().and_then(|schema| mirror::mirrored(schema).ok()).unwrap_or_default();
    if let Some(arguments) = question.params.get("arguments") {
        with.extend(mirror::headers_of(&mirrored, arguments.to_string().as_bytes()));
    }
    with
}

fn result(status: StatusCode, bytes: &[u8]) -> Result<Box<RawValue>> {
    let not_ours = || {
        let message = format!("The gateway answered {} but not as one does", status.as_u16());
        Error::new(ErrorCode::UpstreamProtocol, message)
            .with_hint("check the URL: it looks like https://mcp.example.com/ws/engineering")
    };
    let answer: Answer<'_> = serde_json::from_slice(bytes).map_err(|_their_text| not_ours())?;
    match answer {
        Answer { result: Some(result), .. } => Ok(result.to_owned()),
        Answer { error: Some(refused), .. } => Err(refusal(status, &refused)),
        _ => Err(not_ours()),
    }
}

fn refusal(status: StatusCode, refused: &Refused) -> Error {
    let known = || ErrorCode::ALL.iter().copied().find(|known| known.rpc() == refused.code);
    let code = match status {
        StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::RateLimited,
        _ => known().unwrap_or(ErrorCode::UpstreamProtocol),
    };
    Error::new(code, format!("{}: {}", refused.code, refused.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(tool: &str) -> Question {
        let schema = r#"{"type":"object","properties":{"v":{"type":"string","x-mcp-header":"V"}}}"#;
        let params = json!({ "name": tool, "arguments": { "v": "x" } });
        Question {
            method: "tools/call",
            params: params.as_object().cloned().unwrap_or_default(),
            schema: RawValue::from_string(schema.into()).ok(),
        }
    }

    #[test]
    fn a_question_says_in_its_headers_what_its_body_says() {
        let with = with(&question("caf\u{e9}"));
        let value = |name: &str| {
            with.iter().find(|(found, _)| found.as_str() == name).map(|(_, value)| value.to_str().unwrap())
        };
        assert_eq!(value("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(value("mcp-name"), Some("=?base64?Y2Fmw6k=?="));
        assert_eq!(value("mcp-param-v"), Some("x"));
    }

    #[test]
    fn a_refusal_keeps_its_code_and_says_who_has_to_act() {
        let body = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32011,"message":"github-mcp timed out"}}"#;
        let error = result(StatusCode::OK, body).unwrap_err();
        assert_eq!((error.code(), error.message()), (ErrorCode::UpstreamTimeout, "-32011: github-mcp timed out"));
        let body = br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32003,"message":"Unauthorized"}}"#;
        assert_eq!(result(StatusCode::UNAUTHORIZED, body).unwrap_err().code(), ErrorCode::Unauthorized);
        assert_eq!(result(StatusCode::BAD_GATEWAY, b"<html>").unwrap_err().code(), ErrorCode::UpstreamProtocol);
        assert_eq!(
            result(StatusCode::OK, br#"{"result":{"big":12345678901234567890123}}"#).unwrap().get(),
            r#"{"big":12345678901234567890123}"#
        );
    }
}
