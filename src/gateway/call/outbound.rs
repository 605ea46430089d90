//! A request as its server gets it: our id, the server's own names, `_meta` and headers of this hop, and what the other
//! era has no word for left out; the rest as it came.

use awc::http::header::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::{
    actors::upstream_lease::Lease,
    gateway::call::{active::Ticket, target::Kind},
    protocol::{
        headers, jsonrpc,
        log_level::Level,
        meta::{self, ModernMeta, ParamsEdit},
        mrtr, question,
    },
    upstream::{ask, exchange, mirror},
};

/// The level of log messages that a legacy client gets which has not said what it wants.
const USUAL_LEVEL: Level = Level::Info;
/// Parameters of one era that the other has no use for.
static FOREIGN: [&str; 3] = ["task", mrtr::INPUT_RESPONSES, mrtr::REQUEST_STATE];

/// What the server gets besides what every request carries: the trace, how often this call came through a gateway, and
/// the arguments that its schema wants in headers.
pub fn headers(ticket: &Ticket, lease: &Lease, traceparent: Option<&str>) -> SmallVec<[(HeaderName, HeaderValue); 2]> {
    let Ticket { request, target, caller, .. } = ticket;
    let mut headers = SmallVec::new();
    if let Some(value) = traceparent.and_then(|text| text.try_into().ok()) {
        headers.push((HeaderName::from_static(meta::TRACEPARENT), value));
    }
    if caller.hops > 0 {
        headers.push((exchange::HOP, HeaderValue::from(u16::from(caller.hops) + 1)));
    }
    let mirrored = &target.route.mirrored;
    if !mirrored.is_empty() && lease.wire().is_modern() && target.kind == Kind::Tool {
        let arguments = request.env.param(&request.body, "arguments").unwrap_or(b"{}");
        headers.extend(mirror::headers_of(mirrored, arguments));
    }
    headers
}

/// What `Mcp-Name` says to the server.
pub fn header_name(ticket: &Ticket) -> Option<&str> {
    headers::name_member(&ticket.request.method).map(|_| &*ticket.target.route.upstream_name)
}

/// The whole message. `with`: members of the parameters that are put in, raw JSON.
pub fn body(ticket: &Ticket, lease: &Lease, minted: &str, traceparent: Option<&str>, with: &[u8]) -> Vec<u8> {
    let Ticket { request, target, caller, .. } = ticket;
    let (body, env) = (&*request.body, &request.env);
    let (from_modern, to_modern) = (caller.speech.is_modern(), lease.wire().is_modern());
    let from_client = |name: &str| env.meta(body, name).filter(|_| from_modern);
    let of_session = match to_modern && !from_modern {
        true => question::capabilities_json(caller.askable(request)),
        false => "{}".into(),
    };
    let modern = to_modern.then(|| ModernMeta {
        client_capabilities: from_client(meta::CLIENT_CAPABILITIES).unwrap_or(of_session.as_bytes()),
        client_info: ask::CLIENT_INFO.as_bytes(),
        log_level: match from_modern {
            true => from_client(meta::LOG_LEVEL),
            false => Some(caller.log_level().unwrap_or(USUAL_LEVEL).json()),
        },
    });
    let mut edit = ParamsEdit {
        progress_token: env.meta(body, meta::PROGRESS_TOKEN).map(|_| minted),
        traceparent,
        without: foreign(ticket, lease),
        with,
        modern,
        ..ParamsEdit::default()
    };
    let own = Some(&*target.route.upstream_name);
    match target.kind {
        Kind::Tool | Kind::Prompt | Kind::Other(Some("name")) => edit.name = own,
        Kind::Resource | Kind::Other(Some("uri")) => edit.uri = own,
        Kind::Task | Kind::Other(Some("taskId")) => edit.task_id = own,
        Kind::PromptCompletion => edit.ref_name = own,
        Kind::ResourceCompletion => edit.ref_uri = own,
        Kind::Other(_) => {}
    }
    let params = meta::outbound_params(body, env, &edit);
    let id = [b"\"", minted.as_bytes(), b"\""].concat();
    jsonrpc::request(&id, &request.method, Some(&params))
}

/// Which parameters the server must not see.
fn foreign(ticket: &Ticket, lease: &Lease) -> &'static [&'static str] {
    let [task, ..] = &FOREIGN;
    match (ticket.caller.speech.is_modern(), lease.wire().is_modern()) {
        (true, true) => &[],
        (false, false) if lease.connected().declares("tasks/requests/tools/call") => &[],
        (false, false) => std::slice::from_ref(task),
        _ => &FOREIGN,
    }
}
