//! `_meta` and `params` on the way to an upstream: which reserved keys exist, which are replaced, and that nothing
//! else changes. Clients and upstreams never see each other's reserved keys (`security.md` S-15).

use super::{
    revision::Revision,
    scan::{self, Envelope, Member, key_text, member},
    splice::{Splice, json_string, push_json_string},
};

/// Before every reserved key.
pub const PREFIX: &str = "io.modelcontextprotocol/";
/// The revision of a request.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The client's capabilities.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The client's name and version.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// From which level on log messages are wanted.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// The server's name and version, on results.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// The listen request a notification belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// What progress notifications of a request carry.
pub const PROGRESS_TOKEN: &str = "progressToken";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace context.
pub const TRACESTATE: &str = "tracestate";
/// W3C baggage.
pub const BAGGAGE: &str = "baggage";

/// Reserved keys that one side sets for its own hop; none of them is ever forwarded.
const PER_HOP: [&str; 6] =
    [PROTOCOL_VERSION, CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, SERVER_INFO, SUBSCRIPTION_ID];

/// Whether the key is set anew on every hop.
pub fn is_per_hop(key: &str) -> bool {
    key.starts_with(PREFIX) && PER_HOP.contains(&key)
}

/// Whether the key belongs to the protocol, whatever its letters' case.
pub fn is_reserved(key: &str) -> bool {
    key.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// What a modern upstream must find in `_meta`. All raw JSON.
#[derive(Debug, Clone, Copy)]
pub struct ModernMeta<'a> {
    /// The capabilities declared to the upstream.
    pub client_capabilities: &'a [u8],
    /// Who calls.
    pub client_info: &'a [u8],
    /// The wanted log level.
    pub log_level: Option<&'a [u8]>,
}

/// What changes in `params` on the way to an upstream.
#[derive(Debug, Clone, Copy, Default)]
pub struct ParamsEdit<'a> {
    /// The upstream's name of the tool or prompt, in place of `name`.
    pub name: Option<&'a str>,
    /// The upstream's name of the prompt, in place of `ref.name` (`completion/complete`).
    pub ref_name: Option<&'a str>,
    /// The upstream's URI, in place of `ref.uri` (`completion/complete`).
    pub ref_uri: Option<&'a str>,
    /// The upstream's URI, in place of `uri`.
    pub uri: Option<&'a str>,
    /// The upstream's id of the task, in place of `taskId`.
    pub task_id: Option<&'a str>,
    /// Members that are left out.
    pub without: &'a [&'a str],
    /// Members that are put in, as raw JSON without braces; empty: none.
    pub with: &'a [u8],
    /// The minted progress token; `None` removes the client's.
    pub progress_token: Option<&'a str>,
    /// The trace context of our span; `None` keeps the client's.
    pub traceparent: Option<&'a str>,
    /// Set for an upstream of revision 2026-07-28; `None` removes every reserved key.
    pub modern: Option<ModernMeta<'a>>,
}

/// The upstream's `params` from the client's: the edits are applied, everything else stays byte for byte.
pub fn outbound_params(body: &[u8], env: &Envelope, edit: &ParamsEdit<'_>) -> Vec<u8> {
    let params = env.params.clone().filter(|range| body.get(range.start) == Some(&b'{'));
    let Some(params) = params else {
        let mut meta = meta_object(body, &[], edit).unwrap_or_default();
        if !meta.is_empty() {
            meta.splice(0..0, *b"\"_meta\":");
        }
        let comma: &[u8] = if meta.is_empty() || edit.with.is_empty() { b"" } else { b"," };
        return [b"{", meta.as_slice(), comma, edit.with, b"}"].concat();
    };
    let members = &env.params_members;
    let [name, uri, task_id, ref_name, ref_uri] =
        [edit.name, edit.uri, edit.task_id, edit.ref_name, edit.ref_uri].map(|value| value.map(json_string));
    let meta_at = member(members, body, "_meta");
    let meta = meta_object(body, &env.meta_members, edit);
    let left_out = |m: &Member| edit.without.iter().any(|name| scan::key_is(body, m, name));
    let put_in = put_in(meta.as_deref().filter(|_| meta_at.is_none()), edit.with, !members.iter().all(left_out));

    // Put in before anything is taken away at the same place.
    let mut splice = Splice::new(body).replace(0..params.start, b"").insert(params.start + 1, &put_in);
    splice = splice.replace(params.end..body.len(), b"");
    for (key, value) in [("name", &name), ("uri", &uri), ("taskId", &task_id)] {
        if let (Some(value), Some(range)) = (value, member(members, body, key)) {
            splice = splice.replace(range, value.as_bytes());
        }
    }
    for (key, value) in [("name", &ref_name), ("uri", &ref_uri)] {
        if let (Some(value), Some(range)) = (value, member(members, body, "ref"))
            && let Some(range) = member(&scan::object_members(body, range), body, key)
        {
            splice = splice.replace(range, value.as_bytes());
        }
    }
    if !edit.without.is_empty() {
        splice = super::answer::without(splice, members, left_out);
    }
    if let (Some(range), Some(meta)) = (meta_at, &meta) {
        splice = splice.replace(range, meta);
    }
    splice.finish()
}

/// What is put in before the first member: a `_meta` where there was none, and further members.
fn put_in(meta: Option<&[u8]>, with: &[u8], more_follows: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(meta) = meta {
        out.reserve(meta.len() + with.len() + 16);
        out.extend_from_slice(b"\"_meta\":");
        out.extend_from_slice(meta);
    }
    if !with.is_empty() {
        out.extend_from_slice(if out.is_empty() { b"" } else { b"," });
        out.extend_from_slice(with);
    }
    if !out.is_empty() && more_follows {
        out.push(b',');
    }
    out
}

/// The rebuilt `_meta`; `None` if it stays as it is.
fn meta_object(body: &[u8], members: &[Member], edit: &ParamsEdit<'_>) -> Option<Vec<u8>> {
    let version = json_string(Revision::MODERN.as_str());
    let token = edit.progress_token.map(json_string);
    let trace = edit.traceparent.map(json_string);
    let mut add: Vec<(&str, &[u8])> = Vec::new();
    if let Some(modern) = &edit.modern {
        add.push((PROTOCOL_VERSION, version.as_bytes()));
        add.push((CLIENT_CAPABILITIES, modern.client_capabilities));
        add.push((CLIENT_INFO, modern.client_info));
        add.extend(modern.log_level.map(|level| (LOG_LEVEL, level)));
    }
    add.extend(token.as_ref().map(|token| (PROGRESS_TOKEN, token.as_bytes())));
    add.extend(trace.as_ref().map(|trace| (TRACEPARENT, trace.as_bytes())));
    let keep = |key: &str| match key {
        PROGRESS_TOKEN => false,
        TRACEPARENT => edit.traceparent.is_none(),
        key if edit.modern.is_some() => !is_per_hop(key),
        key => !is_reserved(key),
    };
    rebuild(body, members, keep, &add)
}

/// An object of the members that `keep` wants, byte for byte, and then those to add; `None` if that changes nothing.
pub(super) fn rebuild(
    body: &[u8],
    members: &[Member],
    keep: impl Fn(&str) -> bool,
    add: &[(&str, &[u8])],
) -> Option<Vec<u8>> {
    let kept = |m: &&Member| key_text(body, m).is_some_and(|key| keep(&key));
    if add.is_empty() && members.iter().all(|m| kept(&m)) {
        return None;
    }
    let mut out = Vec::with_capacity(256);
    for m in members.iter().filter(kept) {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.push(b'"');
        out.extend_from_slice(body.get(m.key.clone()).unwrap_or_default());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(body.get(m.value.clone()).unwrap_or_default());
    }
    for (key, value) in add {
        out.push(if out.is_empty() { b'{' } else { b',' });
        push_json_string(&mut out, key);
        out.push(b':');
        out.extend_from_slice(value);
    }
    if out.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    Some(out)
}

#[cfg(test)]
#[path = "meta_tests.rs"]
mod tests;
