//! What an upstream sends back, turned into what the client may see: ids and progress tokens mapped back, envelopes
//! rebuilt, per-hop `_meta` replaced by ours, and the few members that the two eras disagree on. Everything else in
//! `result`, `error` and `params` stays byte for byte. Never decides whether an answer is wanted; the call does.

use std::{borrow::Cow, ops::Range};

use super::{
    jsonrpc::MessageError,
    meta::{self, rebuild},
    scan::{Envelope, Member, key_text, member, object_members, string_text, string_value},
    splice::{Splice, json_string},
};

pub use super::jsonrpc::{Incoming, classify};

/// Why an upstream's message cannot be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not a JSON-RPC message.
    #[error("{0}")]
    Message(#[from] MessageError),
    /// The result is not an object.
    #[error("the result is not an object")]
    Result,
    /// The error is not an object with an integer `code` and a string `message`.
    #[error("the error has no integer code or no message")]
    Error,
}

/// What changes in an answer on its way to the client.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnswerEdit<'a> {
    /// The client speaks 2026-07-28: error codes it must not see are mapped, and `server_info` is put in.
    pub modern_client: bool,
    /// `"resultType":"complete"` is put in where it is missing (modern client, legacy upstream).
    pub add_result_type: bool,
    /// `ttlMs` 0 and `cacheScope` "private" are put in where they are missing (the six cacheable methods).
    pub add_cache: bool,
    /// `resultType`, `ttlMs` and `cacheScope` are removed (legacy client, modern upstream).
    pub strip_modern: bool,
    /// Our `serverInfo` (raw JSON) for a modern client's `_meta`.
    pub server_info: Option<&'a [u8]>,
    /// A resource that does not exist is told in the words of the legacy revisions (-32002).
    pub legacy_not_found: bool,
    /// What changes inside the result or error because clients know things by other names ([`super::exposing`]).
    pub inside: &'a [(Range<usize>, Vec<u8>)],
}

const RESULT_TYPE: &str = "resultType";
const CACHE: [(&str, &str); 2] = [("ttlMs", "\"ttlMs\":0"), ("cacheScope", "\"cacheScope\":\"private\"")];

/// Whether the message answers the request we sent under the string id `minted`.
pub fn is_answer_to(body: &[u8], env: &Envelope, minted: &str) -> bool {
    env.method.is_none() && env.raw_id(body).and_then(string_text).is_some_and(|id| id == minted)
}

/// `resultType` of a result; `None` if it has none (then it is complete).
pub fn result_type<'a>(body: &'a [u8], env: &Envelope) -> Option<Cow<'a, str>> {
    string_value(body, member(&env.result_members, body, RESULT_TYPE)?)
}

/// `isError` of a tool's result.
pub fn is_tool_error(body: &[u8], env: &Envelope) -> bool {
    member(&env.result_members, body, "isError").and_then(|range| body.get(range)) == Some(b"true")
}

/// The error's code, if the message is an error.
pub fn error_code(body: &[u8], env: &Envelope) -> Option<i64> {
    let members = object_members(body, env.error.clone()?);
    std::str::from_utf8(body.get(member(&members, body, "code")?)?).ok()?.parse().ok()
}

/// The client's answer from the upstream's. `client_id` is raw JSON.
pub fn rewrite_answer(
    body: &[u8],
    env: &Envelope,
    client_id: &[u8],
    to: &AnswerEdit<'_>,
) -> Result<Vec<u8>, AnswerError> {
    if !matches!(classify(body, env)?, Incoming::Response { .. }) {
        return Err(MessageError::Shape.into());
    }
    match (&env.result, &env.error) {
        (Some(result), _) => rewrite_result(body, env, result.clone(), client_id, to),
        (None, Some(error)) => rewrite_error(body, error.clone(), client_id, to),
        (None, None) => Err(MessageError::Shape.into()),
    }
}

fn head(client_id: &[u8], member: &[u8]) -> Vec<u8> {
    [b"{\"jsonrpc\":\"2.0\",\"id\":".as_slice(), client_id, b",\"", member, b"\":"].concat()
}

fn rewrite_result(
    body: &[u8],
    env: &Envelope,
    result: Range<usize>,
    client_id: &[u8],
    to: &AnswerEdit<'_>,
) -> Result<Vec<u8>, AnswerError> {
    if body.get(result.start) != Some(&b'{') {
        return Err(AnswerError::Result);
    }
    let members = &env.result_members;
    let has = |name: &str| member(members, body, name).is_some();
    let strip = |m: &Member| {
        to.strip_modern && matches!(key_text(body, m).as_deref(), Some(RESULT_TYPE | "ttlMs" | "cacheScope"))
    };
    let mut added = String::new();
    if to.add_result_type && !has(RESULT_TYPE) {
        added.push_str("\"resultType\":\"complete\",");
    }
    if to.add_cache {
        for (_, text) in CACHE.iter().filter(|(name, _)| !has(name)) {
            added.push_str(text);
            added.push(',');
        }
    }
    let info = to.server_info.filter(|_| to.modern_client).map(|info| (meta::SERVER_INFO, info));
    let meta_at = member(members, body, "_meta");
    let meta_members = meta_at.clone().map(|range| object_members(body, range)).unwrap_or_default();
    let new_meta = rebuild(body, &meta_members, |key| !meta::is_per_hop(key), info.as_slice());
    if let (None, Some(new_meta)) = (&meta_at, &new_meta) {
        added.push_str("\"_meta\":");
        added.push_str(std::str::from_utf8(new_meta).unwrap_or("{}"));
        added.push(',');
    }
    if members.iter().all(strip) {
        added.truncate(added.len().saturating_sub(1));
    }
    let head = head(client_id, b"result");
    let mut splice = Splice::new(body).replace(0..result.start, &head).insert(result.start + 1, added.as_bytes());
    if let (Some(range), Some(new_meta)) = (meta_at, &new_meta) {
        splice = splice.replace(range, new_meta);
    }
    splice = without(splice, members, strip);
    for (range, with) in to.inside {
        splice = splice.replace(range.clone(), with);
    }
    Ok(splice.replace(result.end..body.len(), b"}").finish())
}

/// Removes members together with the right number of commas.
pub fn without<'a>(mut splice: Splice<'a>, members: &[Member], removed: impl Fn(&Member) -> bool) -> Splice<'a> {
    let mut last_kept = None;
    for (at, m) in members.iter().enumerate() {
        if !removed(m) {
            last_kept = Some(at);
            continue;
        }
        let previous = at.checked_sub(1).and_then(|at| members.get(at));
        let range = match (last_kept, previous, members.get(at + 1)) {
            (Some(_), Some(previous), _) => previous.value.end..m.value.end,
            (_, _, Some(next)) => m.key.start - 1..next.key.start - 1,
            _ => m.key.start - 1..m.value.end,
        };
        splice = splice.replace(range, b"");
    }
    splice
}

fn rewrite_error(
    body: &[u8],
    error: Range<usize>,
    client_id: &[u8],
    to: &AnswerEdit<'_>,
) -> Result<Vec<u8>, AnswerError> {
    let members = object_members(body, error.clone());
    let code_at = member(&members, body, "code").ok_or(AnswerError::Error)?;
    let code = std::str::from_utf8(body.get(code_at.clone()).unwrap_or_default()).ok();
    let code: i64 = code.and_then(|code| code.parse().ok()).ok_or(AnswerError::Error)?;
    let message = member(&members, body, "message").and_then(|range| string_value(body, range));
    if message.is_none() {
        return Err(AnswerError::Error);
    }
    let head = head(client_id, b"error");
    let mut splice = Splice::new(body).replace(0..error.start, &head).replace(error.end..body.len(), b"}");
    // Resource not found: modern clients must not see the legacy code (2026-07-28 changelog).
    if to.modern_client && code == -32002 {
        splice = splice.replace(code_at, b"-32602");
    } else if to.legacy_not_found && code == -32602 {
        splice = splice.replace(code_at, b"-32002");
    }
    for (range, with) in to.inside {
        splice = splice.replace(range.clone(), with);
    }
    Ok(splice.finish())
}

/// The client's notification from the upstream's. Progress travels only under the token we minted for this call
/// (`minted`) and only if the client gave one (`client_token`, raw JSON); other progress is `None`: drop it.
pub fn rewrite_notification(
    body: &[u8],
    env: &Envelope,
    minted: &str,
    client_token: Option<&[u8]>,
    inside: &[(Range<usize>, Vec<u8>)],
) -> Result<Option<Vec<u8>>, AnswerError> {
    let Incoming::Notification { method } = classify(body, env)? else { return Err(MessageError::Shape.into()) };
    let mut token = None;
    if method == "notifications/progress" {
        let at = member(&env.params_members, body, meta::PROGRESS_TOKEN);
        let ours = at.clone().and_then(|range| string_value(body, range)).is_some_and(|text| text == minted);
        token = at.filter(|_| ours).zip(client_token);
        if token.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(rebuilt_message(body, env, &method, token, inside)))
}

/// A notification with a fresh top level; in `params` only per-hop `_meta`, the progress token and what `inside` names
/// change.
fn rebuilt_message(
    body: &[u8],
    env: &Envelope,
    method: &str,
    token: Option<(Range<usize>, &[u8])>,
    inside: &[(Range<usize>, Vec<u8>)],
) -> Vec<u8> {
    let mut head = b"{\"jsonrpc\":\"2.0\",\"method\":".to_vec();
    head.extend_from_slice(json_string(method).as_bytes());
    let Some(params) = env.params.clone().filter(|range| body.get(range.start) == Some(&b'{')) else {
        head.push(b'}');
        return head;
    };
    head.extend_from_slice(b",\"params\":");
    let new_meta = rebuild(body, &env.meta_members, |key| !meta::is_per_hop(key), &[]);
    let mut splice = Splice::new(body).replace(0..params.start, &head).replace(params.end..body.len(), b"}");
    if let (Some(range), Some(new_meta)) = (member(&env.params_members, body, "_meta"), &new_meta) {
        splice = splice.replace(range, new_meta);
    }
    if let Some((range, raw)) = token {
        splice = splice.replace(range, raw);
    }
    for (range, with) in inside {
        splice = splice.replace(range.clone(), with);
    }
    splice.finish()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
