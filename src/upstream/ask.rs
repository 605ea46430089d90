//! Requests of our own (discovery, handshake, lists) and their answers. Here the answer is parsed; what clients ask is
//! only forwarded.

use std::{ops::Range, rc::Rc};

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    protocol::{
        answer,
        jsonrpc::{self, Incoming},
        meta,
        revision::Revision,
        scan::{self, Document, ScanLimits},
        scrub::Scrubber,
        splice::json_string,
    },
    upstream::{
        Answer, EventStream, UpstreamError,
        exchange::{Endpoint, Outgoing},
        patience::Patience,
    },
};

/// Who we are, as raw JSON.
pub const CLIENT_INFO: &str = concat!(r#"{"name":"aerostack","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// Lists may be long: more values than a call's answer, the same depth.
const LIST_VALUES: usize = 2_000_000;

/// A checked answer to a request of ours.
#[derive(Debug)]
pub struct Reply {
    body: Bytes,
    result: Option<Range<usize>>,
    error_code: Option<i64>,
    error: Option<Range<usize>>,
}

impl Reply {
    /// The result as JSON; fails when the server answered with an error.
    pub fn result(&self) -> Result<&str, UpstreamError> {
        match &self.result {
            Some(range) => Ok(self.text(range)),
            None => Err(UpstreamError::Protocol(match self.error_code {
                Some(code) => format!("it refused with JSON-RPC error {code}"),
                None => "it refused with a malformed error".into(),
            })),
        }
    }

    /// The error's code, if it is one.
    pub fn error_code(&self) -> Option<i64> {
        self.error_code
    }

    /// The error as JSON, if it is one.
    pub fn error(&self) -> Option<&str> {
        self.error.as_ref().map(|range| self.text(range))
    }

    /// The same without the secrets that the server was given.
    pub fn scrubbed(self, scrubber: &Scrubber) -> Result<Reply, UpstreamError> {
        match scrubber.scrub(self.body.clone()) {
            (_, 0) => Ok(self),
            (clean, _) => reply_of(Answer::Json(clean)),
        }
    }

    /// The result as a value of type `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, UpstreamError> {
        let wrong = |_cause| UpstreamError::Protocol("its answer does not have the shape the method demands".into());
        serde_json::from_str(self.result()?).map_err(wrong)
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.body.get(range.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// A message of a server, as far as we must understand it ourselves.
pub enum Message {
    /// The answer to the request of this id.
    Reply(Option<String>, Reply),
    /// Something happened; to the resource of this URI, if it names one.
    Notification(String, Option<String>),
    /// It asks us something. The id is raw JSON.
    Request(Vec<u8>, String),
}

/// Reads one message; refuses what is not one.
pub fn read_message(body: Bytes) -> Result<Message, UpstreamError> {
    let limits = ScanLimits { values: LIST_VALUES, ..ScanLimits::default() };
    let nonsense = |what: String| UpstreamError::Protocol(format!("its answer is {what}"));
    let Document::Object(envelope) = scan::scan(&body, limits).map_err(|cause| nonsense(cause.to_string()))? else {
        return Err(nonsense("not a JSON object".into()));
    };
    let message = jsonrpc::classify(&body, &envelope).map_err(|cause| nonsense(format!("no message: {cause}")))?;
    Ok(match message {
        Incoming::Notification { method } => {
            let uri = envelope.param_str(&body, "uri").map(|uri| uri.into_owned());
            Message::Notification(method.into_owned(), uri)
        }
        Incoming::Request { id, method } => Message::Request(id.to_vec(), method.into_owned()),
        Incoming::Response { id } => {
            let id = id.and_then(scan::string_text).map(|id| id.into_owned());
            let error_code = answer::error_code(&body, &envelope);
            let (result, error) = (envelope.result, envelope.error);
            Message::Reply(id, Reply { body, result, error_code, error })
        }
    })
}

/// A request of ours, ready to send.
pub struct Question {
    /// Its id.
    pub id: String,
    /// Its method.
    pub method: &'static str,
    /// The whole message.
    pub body: Bytes,
}

impl Question {
    /// A request with these `params` (raw JSON members without braces); a modern one gets its `_meta`.
    pub fn new(id: String, method: &'static str, members: &str, modern: bool) -> Self {
        let meta = modern.then(own_meta).unwrap_or_default();
        let comma = if members.is_empty() || meta.is_empty() { "" } else { "," };
        let params = format!("{{{members}{comma}{meta}}}");
        let body = jsonrpc::request(json_string(&id).as_bytes(), method, Some(params.as_bytes()));
        Question { id, method, body: body.into() }
    }
}

fn own_meta() -> String {
    format!(
        r#""_meta":{{"{}":"{}","{}":{{}},"{}":{CLIENT_INFO}}}"#,
        meta::PROTOCOL_VERSION,
        Revision::MODERN,
        meta::CLIENT_CAPABILITIES,
        meta::CLIENT_INFO,
    )
}

/// Asks over HTTP and waits for the answer.
pub async fn ask(endpoint: &Rc<Endpoint>, question: &Question, patience: Patience) -> Result<Reply, UpstreamError> {
    let answer = endpoint.send(outgoing(question), patience).await?;
    reply_in(endpoint, answer, &question.id).await
}

/// The question as it is sent.
pub fn outgoing(question: &Question) -> Outgoing<'_> {
    Outgoing { body: &question.body, method: question.method, name: None, extra: &[] }
}

/// The reply that an answer is which cannot be anything else.
pub fn reply_of(answer: Answer) -> Result<Reply, UpstreamError> {
    let wrong = || UpstreamError::Protocol("it did not answer".into());
    let Answer::Json(body) = answer else { return Err(wrong()) };
    match read_message(body)? {
        Message::Reply(_, reply) => Ok(reply),
        Message::Notification(..) | Message::Request(..) => Err(wrong()),
    }
}

/// Finds the reply to `id` in an answer; what the server asks meanwhile is refused.
pub(super) async fn reply_in(endpoint: &Rc<Endpoint>, answer: Answer, id: &str) -> Result<Reply, UpstreamError> {
    match answer {
        Answer::Accepted => Err(UpstreamError::Protocol("it took a request for a notification".into())),
        Answer::Json(body) => match read_message(body)? {
            Message::Reply(Some(found), reply) if found == id => Ok(reply),
            // An error about a request that could not be read names no id; nobody else can have asked.
            Message::Reply(None, reply) => Ok(reply),
            _ => Err(UpstreamError::Protocol("it answered another request".into())),
        },
        Answer::Events(mut events) => {
            let reply = reply_among(&mut events, id, |id, method| answer_request(endpoint.clone(), id, method)).await?;
            events.finish();
            Ok(reply)
        }
    }
}

/// Finds the reply to `id` among events; `answer` is given what the server asks meanwhile.
pub(super) async fn reply_among(
    events: &mut EventStream,
    id: &str,
    answer: impl Fn(&[u8], &str),
) -> Result<Reply, UpstreamError> {
    while let Some(event) = events.next().await? {
        if !event.is_message() {
            continue;
        }
        match read_message(event.data)? {
            Message::Reply(Some(found), reply) if found == id => return Ok(reply),
            Message::Request(asked, method) => answer(&asked, &method),
            Message::Reply(..) | Message::Notification(..) => {}
        }
    }
    Err(UpstreamError::Cut)
}

/// The answer to what a server asks of a session that declared no capabilities: `ping` gets its answer, all else is
/// refused. `id` is raw JSON.
pub fn own_answer(id: &[u8], method: &str) -> Bytes {
    Bytes::from(match method {
        "ping" => jsonrpc::response(id, b"{}"),
        _ => jsonrpc::error(Some(id), -32601, "Not supported by this client", None),
    })
}

/// Sends that answer; nobody waits for it.
pub fn answer_request(endpoint: Rc<Endpoint>, id: &[u8], method: &str) {
    let body = own_answer(id, method);
    actix_rt::spawn(async move {
        // A response travels like a notification: nothing comes back.
        let message = Outgoing { body: &body, method: "notifications/response", name: None, extra: &[] };
        if let Err(cause) = endpoint.send(message, Patience::within(std::time::Duration::from_secs(10))).await {
            tracing::debug!(%cause, "a server did not take the answer to its request");
        }
    });
}
