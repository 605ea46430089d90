//! Which era a request belongs to, decided per request: the body's `_meta` first, then the version header. One client
//! may mix both eras on one connection (mcp-remote does). For 2026-07-28 the checks follow the order of the official
//! SDKs: `_meta`, headers against body, version, method.

use std::borrow::Cow;

use actix_web::http::header::HeaderMap;
use serde_json::json;

use crate::{
    error::{Error, ErrorCode, Result},
    protocol::{headers, meta, revision::Revision, scan::Envelope},
};

/// What a request turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2026-07-28: stateless, checked.
    Modern,
    /// The handshake of a legacy revision.
    Handshake,
    /// Anything else of a legacy revision: belongs to a session.
    Legacy,
}

/// Decides the era of one message and, for a modern request, checks its envelope.
pub fn classify(headers_in: &HeaderMap, body: &[u8], env: &Envelope, method: &str, is_request: bool) -> Result<Era> {
    let header = headers_in.get(headers::PROTOCOL_VERSION).map(|value| value.to_str().unwrap_or("").trim());
    let declared = env.meta(body, meta::PROTOCOL_VERSION);
    if declared.is_some() {
        check_modern(headers_in, body, env, method, is_request)?;
        return Ok(Era::Modern);
    }
    let known = header.map(Revision::parse);
    if method == "initialize" {
        return match known.flatten() {
            Some(revision) if revision.is_modern() => {
                Err(mismatch("MCP-Protocol-Version", "initialize has no _meta of that revision"))
            }
            _ => Ok(Era::Handshake),
        };
    }
    match known {
        None => Ok(Era::Legacy),
        Some(Some(revision)) if !revision.is_modern() => Ok(Era::Legacy),
        Some(Some(_modern)) if !is_request => Ok(Era::Modern),
        Some(Some(_modern)) => Err(missing_meta()),
        Some(None) => Err(unsupported(header.unwrap_or_default())),
    }
}

fn missing_meta() -> Error {
    let what = format!("params._meta must carry {} and {}", meta::PROTOCOL_VERSION, meta::CLIENT_CAPABILITIES);
    Error::new(ErrorCode::MissingMeta, format!("Invalid params: {what}"))
}

fn mismatch(header: &str, why: &str) -> Error {
    Error::new(ErrorCode::HeaderMismatch, format!("Header mismatch: {header}: {why}"))
}

fn unsupported(requested: &str) -> Error {
    let data = json!({ "supported": [Revision::MODERN.as_str()], "requested": requested.chars().take(64).collect::<String>() });
    Error::new(ErrorCode::UnsupportedVersion, "Unsupported protocol version").with_data(data)
}

fn check_modern(headers_in: &HeaderMap, body: &[u8], env: &Envelope, method: &str, is_request: bool) -> Result<()> {
    let version = env.meta_str(body, meta::PROTOCOL_VERSION).ok_or_else(missing_meta)?;
    if is_request && env.meta(body, meta::CLIENT_CAPABILITIES).is_none_or(|value| value.first() != Some(&b'{')) {
        return Err(missing_meta());
    }
    if !is_request {
        return Ok(());
    }
    same(headers_in, headers::PROTOCOL_VERSION, "MCP-Protocol-Version", &version)?;
    same(headers_in, headers::METHOD, "Mcp-Method", method)?;
    if let Some(member) = headers::name_member(method)
        && let Some(name) = env.param_str(body, member)
    {
        same(headers_in, headers::NAME, "Mcp-Name", &name)?;
    }
    if Revision::parse(&version).is_none_or(|revision| !revision.is_modern()) {
        return Err(unsupported(&version));
    }
    Ok(())
}

/// The header is there once and says, decoded, what the body says.
fn same(headers_in: &HeaderMap, name: &str, shown: &str, body_says: &str) -> Result<()> {
    let mut values = headers_in.get_all(name);
    let Some(value) = values.next() else { return Err(mismatch(shown, "the header is missing")) };
    if values.next().is_some() {
        return Err(mismatch(shown, "the header is there more than once"));
    }
    let decoded: Option<Cow<'_, str>> = headers::decode(value.as_bytes());
    match decoded {
        Some(text) if text == body_says => Ok(()),
        Some(_) => Err(mismatch(shown, "the header and the body differ")),
        None => Err(mismatch(shown, "the header cannot be decoded")),
    }
}
