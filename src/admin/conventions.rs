//! What every answer of the admin API has in common besides its body: `ETag` and `Link`, answers without a body for
//! `HEAD` and for what the caller has seen already.

use actix_web::{
    HttpResponse,
    body::{BoxBody, MessageBody as _},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode, Uri,
        header::{self, HeaderMap, HeaderValue},
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{admin::csv::NextPage, domain::audit_checkpoint::hex};

/// What was asked, as far as it decides about the answer's head.
pub(super) struct Asked {
    method: Method,
    uri: Uri,
    seen: HeaderMap,
}

impl Asked {
    /// Takes note of a request. `HEAD` is answered as `GET` is; the server leaves the body out.
    pub(super) fn of(request: &mut ServiceRequest) -> Self {
        if request.method() == Method::HEAD {
            request.head_mut().method = Method::GET;
        }
        let mut seen = HeaderMap::new();
        for value in request.headers().get_all(header::IF_NONE_MATCH) {
            seen.append(header::IF_NONE_MATCH, value.clone());
        }
        Asked { method: request.method().clone(), uri: request.uri().clone(), seen }
    }

    /// Adds what belongs to a complete answer to a `GET`.
    pub(super) fn dress(&self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        if self.method != Method::GET || response.status() != StatusCode::OK {
            return response;
        }
        let (request, response) = response.into_parts();
        let (mut response, body) = response.into_parts();
        let bytes = match body.try_into_bytes() {
            Ok(bytes) => bytes,
            // A stream has neither.
            Err(body) => return ServiceResponse::new(request, response.set_body(body)),
        };
        if response.headers().contains_key(header::ETAG) {
            return ServiceResponse::new(request, response.set_body(bytes).map_into_boxed_body());
        }
        let next = response.extensions_mut().remove::<NextPage>().map(|NextPage(cursor)| cursor);
        let tag = etag(&bytes);
        if has_seen(&self.seen, &tag) {
            let answer = HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish();
            return ServiceResponse::new(request, answer);
        }
        let mut put = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                response.headers_mut().insert(name, value);
            }
        };
        put(header::ETAG, &tag);
        if let Some(next) = next.or_else(|| cursor_of(&bytes)).map(|cursor| self.page_at(&cursor)) {
            put(header::LINK, &format!("<{next}>; rel=\"next\""));
        }
        ServiceResponse::new(request, response.set_body(bytes).map_into_boxed_body())
    }

    /// Where the page is that begins at a cursor.
    fn page_at(&self, cursor: &str) -> String {
        let query = self.uri.query().unwrap_or_default();
        let kept = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "cursor");
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        let next = next.extend_pairs(kept).append_pair("cursor", cursor).finish();
        format!("{}?{next}", self.uri.path())
    }
}

/// The cursor that an object says.
fn cursor_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Paged {
        next_cursor: Option<String>,
    }
    serde_json::from_slice::<Paged>(body).ok()?.next_cursor
}

/// A thing whose tag is that of what lasts of it: when it was last used, or how much there is of it just now, is shown and
/// is no change. It is always sent, whoever has seen it.
pub(super) fn tagged(shown: &impl Serialize, lasting: &impl Serialize) -> HttpResponse {
    let lasting = serde_json::to_vec(lasting).unwrap_or_default();
    HttpResponse::Ok().insert_header((header::ETAG, etag(&lasting))).json(shown)
}

/// The tag of a body.
pub fn etag(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    format!("\"{}\"", hex(hash.get(..16).unwrap_or_default()))
}

/// Whether a list of tags (or `*`) names this one.
pub(super) fn names(list: &str, tag: &str) -> bool {
    list.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == "*" || one == tag)
}

/// Whether the caller says in `If-None-Match` that it has seen this.
pub fn has_seen(headers: &HeaderMap, tag: &str) -> bool {
    headers.get_all(header::IF_NONE_MATCH).filter_map(|value| value.to_str().ok()).any(|list| names(list, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_one_by_one() {
        let tag = etag(b"{}");
        assert_eq!(tag.len(), 34);
        for list in [&*tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
            assert!(names(list, &tag), "{list}");
        }
        assert!(!names("", &tag) && !names(&etag(b"[]"), &tag) && !names(tag.trim_matches('"'), &tag));
    }
}
