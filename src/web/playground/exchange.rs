//! One `tools/call` through the gateway's front, as a client of 2026-07-28 makes it, and how both sides of it are shown.
//! The request travels as its own token; what is shown of it never has the token in it.

use std::{borrow::Cow, time::Duration};

use actix_http::{Payload, Request};
use actix_web::{
    HttpResponse,
    body::to_bytes_limited,
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    domain::clock,
    error::{Error, ErrorCode, Result},
    protocol::{headers, meta, revision::Revision},
    upstream::mirror,
    web::{
        front::Front,
        show::{
            self,
            json::{cut, laid_out},
        },
    },
};

/// Longest wait for an answer; browsers are told to wait a little longer.
const PATIENCE: Duration = Duration::from_secs(25);
/// Largest answer that is read, in bytes.
const ANSWER_BYTES: usize = 1024 * 1024;
/// Messages of an answer that are shown; the last one always is.
const MESSAGES: usize = 20;
/// What calls from here are called in the list of calls.
const AGENT: &str = concat!("aerostack-playground/", env!("CARGO_PKG_VERSION"));
/// Headers of an answer that say something about the call.
const TELLING: &[&str] = &["content-type", "retry-after", "ratelimit", "ratelimit-policy", "www-authenticate"];

/// A call that is to be made.
pub struct Call<'a> {
    /// The workspace.
    pub slug: &'a str,
    /// Its gateway URL.
    pub url: &'a str,
    /// The tool, as clients name it.
    pub tool: &'a str,
    /// Its arguments, a JSON object.
    pub arguments: &'a str,
    /// What it takes: some arguments may have to be repeated in headers.
    pub schema: Option<&'a RawValue>,
}

/// What came back.
pub struct Exchange {
    /// How it ended: the piece of HTML.
    pub state: String,
    /// The HTTP status.
    pub status: StatusCode,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// The request: its first lines with their headers, the token left out.
    pub sent_head: String,
    /// The request's message.
    pub sent: String,
    /// The answer's status line and headers.
    pub head: String,
    /// The answer's messages.
    pub messages: Vec<String>,
    /// What the model would be told, and whether the tool says that it failed.
    pub told: Option<Told>,
    /// The refusal, if it is one: its code and its words.
    pub error: Option<(i64, String)>,
}

/// The text of a tool's answer.
pub struct Told {
    /// All its texts.
    pub text: String,
    /// The tool says that it failed.
    pub failed: bool,
}

impl Call<'_> {
    /// The message.
    pub fn body(&self) -> String {
        let name = Value::from(self.tool);
        let about = json!({
            (meta::PROTOCOL_VERSION): Revision::MODERN.as_str(),
            (meta::CLIENT_CAPABILITIES): {},
            (meta::CLIENT_INFO): { "name": "aerostack-playground", "version": env!("CARGO_PKG_VERSION") },
        });
        let arguments = self.arguments;
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{name},"arguments":{arguments},"_meta":{about}}}}}"#
        )
    }

    /// What its headers say beyond the token.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut all = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static(headers::JSON)),
            (header::ACCEPT, HeaderValue::from_static(headers::ACCEPT_BOTH)),
            (HeaderName::from_static(headers::PROTOCOL_VERSION), HeaderValue::from_static(Revision::MODERN.as_str())),
            (HeaderName::from_static(headers::METHOD), HeaderValue::from_static("tools/call")),
        ];
        let name = HeaderValue::from_str(&headers::encode(self.tool)).ok();
        all.extend(name.map(|name| (HeaderName::from_static(headers::NAME), name)));
        let repeated = self.schema.and_then(|schema| mirror::mirrored(schema).ok()).unwrap_or_default();
        all.extend(mirror::headers_of(&repeated, self.arguments.as_bytes()));
        all
    }

    /// The same call for a shell; the token comes from the environment.
    pub fn curl(&self) -> String {
        let mut out = format!("curl -sS {} \\\n  -H \"Authorization: Bearer $AEROSTACK_TOKEN\"", quoted(self.url));
        for (name, value) in self.headers() {
            let line = format!("{name}: {}", value.to_str().unwrap_or_default());
            out.push_str(&format!(" \\\n  -H {}", quoted(&line)));
        }
        out.push_str(&format!(" \\\n  --data {}", quoted(&self.body())));
        out
    }

    /// The same call for the command line.
    pub fn command(&self) -> String {
        let arguments = quoted(self.arguments);
        format!("aerostack mcp call {} --workspace {} --arguments {arguments}", quoted(self.tool), self.slug)
    }

    fn request(&self, token: &SecretString, body: &str) -> Result<Request> {
        let odd = |cause: &dyn std::fmt::Display| Error::internal("making a call of the playground", cause);
        let mut request = Request::with_payload(Payload::from(Bytes::from(body.to_owned())));
        let address = url::Url::parse(self.url).map_err(|cause| odd(&cause))?;
        let host = match (address.host_str(), address.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let head = request.head_mut();
        head.method = Method::POST;
        head.uri =
            format!("/ws/{}", self.slug).parse().map_err(|cause: actix_web::http::uri::InvalidUri| odd(&cause))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|c| odd(&c))?;
        bearer.set_sensitive(true);
        head.headers.insert(header::HOST, HeaderValue::from_str(&host).map_err(|cause| odd(&cause))?);
        head.headers.insert(header::AUTHORIZATION, bearer);
        head.headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in self.headers() {
            head.headers.insert(name, value);
        }
        Ok(request)
    }

    /// Makes the call with `token`, and reads all of the answer.
    ///
    /// # Errors
    /// `upstream_timeout` when it takes too long (the call is cancelled then), `upstream_too_large` for an answer that
    /// no page shows. What the gateway refuses is an answer.
    pub async fn make(&self, front: &Front, token: &SecretString) -> Result<Exchange> {
        let body = self.body();
        let request = self.request(token, &body)?;
        let begun = clock::monotonic_ns();
        let made = async {
            let (head, answer) = front.send(request).await?.into_parts();
            let read = to_bytes_limited(answer, ANSWER_BYTES).await.map_err(|_larger| {
                let what = format!("The answer is larger than {ANSWER_BYTES} bytes: the playground does not show it");
                Error::new(ErrorCode::UpstreamTooLarge, what)
            })?;
            let read = read.map_err(|cause| Error::internal("reading an answer for the playground", cause))?;
            Ok::<_, Error>((head, read))
        };
        let late = |_elapsed| {
            let what = format!("No answer within {} seconds: the call was cancelled", PATIENCE.as_secs());
            Error::new(ErrorCode::UpstreamTimeout, what).with_hint("an editor waits longer")
        };
        let (head, read) = actix_web::rt::time::timeout(PATIENCE, made).await.map_err(late)??;
        let took_us = clock::monotonic_ns().saturating_sub(begun) / 1000;
        Ok(self.exchange(&head, &read, took_us, &body))
    }

    fn exchange(&self, head: &HttpResponse<()>, read: &[u8], took_us: u64, body: &str) -> Exchange {
        let text = String::from_utf8_lossy(read);
        let events = head
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(headers::EVENT_STREAM.as_bytes()));
        let all: Vec<Cow<'_, str>> = if events { messages(&text) } else { vec![Cow::Borrowed(&*text)] };
        let all: Vec<Cow<'_, str>> = all.into_iter().filter(|one| !one.trim().is_empty()).collect();
        let answer = all.last().and_then(|last| serde_json::from_str::<Answer>(last).ok());
        let (result, error) = answer.map_or((None, None), |answer| (answer.result, answer.error));
        let hidden = all.len().saturating_sub(MESSAGES);
        let mut shown = Vec::with_capacity(all.len() - hidden + 1);
        if hidden > 0 {
            shown.push(format!("… {hidden} more messages before these"));
        }
        shown.extend(all.iter().skip(hidden).map(|one| laid_out(one)));
        let mut sent_head = format!("POST /ws/{}\nauthorization: Bearer …\nuser-agent: {AGENT}\n", self.slug);
        for (name, value) in self.headers() {
            sent_head.push_str(&format!("{name}: {}\n", value.to_str().unwrap_or_default()));
        }
        let mut answer_head = format!("{}\n", head.status());
        for name in TELLING {
            for value in head.headers().get_all(*name) {
                answer_head.push_str(&format!("{name}: {}\n", value.to_str().unwrap_or_default()));
            }
        }
        let told = result.map(Told::of);
        Exchange {
            state: state(error.as_ref(), told.as_ref()),
            status: head.status(),
            took_us,
            sent_head,
            sent: laid_out(body),
            head: answer_head,
            messages: shown,
            told,
            error: error.map(|error| (error.code, error.message)),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    result: Option<Outcome>,
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    #[serde(default)]
    content: Vec<Value>,
    #[serde(default)]
    is_error: bool,
}

impl Told {
    fn of(result: Outcome) -> Self {
        let part = |one: &Value| match one.get("text").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => format!("[{}]", one.get("type").and_then(Value::as_str).unwrap_or("something else")),
        };
        let text: Vec<String> = result.content.iter().map(part).collect();
        Told { text: cut(&text.join("\n")), failed: result.is_error }
    }
}

/// How a call ended, in a word.
fn state(error: Option<&Refused>, told: Option<&Told>) -> String {
    match (error, told) {
        (Some(error), _) => show::state("fail", &format!("error {}", error.code)),
        (None, Some(told)) if told.failed => show::state("wait", "tool error"),
        (None, Some(_)) => show::state("run", "ok"),
        (None, None) => show::state("fail", "no answer"),
    }
}

/// The data of a stream's events.
fn messages(stream: &str) -> Vec<Cow<'_, str>> {
    let events = stream.split("\n\n");
    let data = |event: &str| {
        let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    };
    events.map(|event| Cow::Owned(data(event))).collect()
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(tool: &'a str, arguments: &'a str) -> Call<'a> {
        Call { slug: "eng", url: "https://mcp.example.com/ws/eng", tool, arguments, schema: None }
    }

    #[test]
    fn a_stream_is_its_messages() {
        let stream = ": hello\n\nevent: message\ndata: {\"a\":1}\n\nid: 7\ndata: {\"b\":\ndata: 2}\n\n";
        let found: Vec<Cow<'_, str>> = messages(stream).into_iter().filter(|one| !one.is_empty()).collect();
        assert_eq!(found, ["{\"a\":1}", "{\"b\":\n2}"]);
    }

    #[test]
    fn no_token_is_in_what_is_copied_and_every_word_stays_one() {
        let hostile = call("x'; rm -rf ~ #", r#"{"a":"it's"}"#);
        for text in [hostile.curl(), hostile.command()] {
            assert!(!text.contains("mwt_") && text.contains("'\\''"), "{text}");
        }
        assert!(hostile.curl().contains("Bearer $AEROSTACK_TOKEN"));
        assert_eq!(call("a__b", "{}").command(), "aerostack mcp call a__b --workspace eng --arguments '{}'");
        let body: Value = serde_json::from_str(&hostile.body()).unwrap();
        assert_eq!(body["params"]["arguments"]["a"], "it's");
    }
}
