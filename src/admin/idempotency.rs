//! `Idempotency-Key`: a POST that is repeated because its answer was lost is done once. The place for the answer is taken
//! in the database before anything is done, so that a gateway that ends in between does not do it twice. A client that
//! leaves ends nothing: what it began is finished, and its answer kept. What an answer shows only once (a token's value,
//! a key, a link) is not kept: whoever repeats gets the id.

use actix_web::{
    HttpMessage as _, HttpResponse, HttpResponseBuilder,
    body::{BoxBody, MessageBody as _},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{Method, StatusCode, header},
    web::{self, Bytes},
};
use chrono::TimeDelta;
use futures_util::stream;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    admin::{Admin, body::unread, reply::PROBLEM_JSON},
    domain::{
        audit_chain::hmac_sha256, audit_checkpoint::hex, clock, framing::Framed, keys::DataKey, role::Principal, token,
    },
    error::{Error, ErrorCode, Result, err},
    store::{Store, kept_answers},
};

const FINGERPRINT: &str = "aerostack/idempotency/v1";
const HEADER: &str = "idempotency-key";
const REPLAYED: &str = "idempotency-replayed";
/// Longest key, in characters.
const LONGEST: usize = 255;
/// How long an answer is kept; the TokenAuthority then deletes it.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// Largest answer that is kept, bytes.
const LARGEST: usize = 256 * 1024;

/// What becomes of a request.
pub(super) enum Begun {
    /// It is done as if it had no key.
    Plain,
    /// It is done, and its answer kept.
    First(Retry),
    /// It was done before.
    Replay(HttpResponse),
}

/// The place for an answer.
pub(super) struct Retry {
    store: Store,
    id: String,
}

/// Whether a request is to be done once.
pub(super) fn is_wanted(request: &ServiceRequest) -> bool {
    request.method() == Method::POST && request.headers().contains_key(HEADER)
}

/// Looks whether a request was made before.
pub(super) async fn begin(request: &mut ServiceRequest) -> Result<Begun> {
    let Some(key) = request.headers().get(HEADER) else { return Ok(Begun::Plain) };
    let key = key.to_str().ok().filter(|key| (1..=LONGEST).contains(&key.len())).map(str::to_owned);
    let key = key.ok_or_else(|| {
        Error::new(ErrorCode::InvalidRequest, format!("An Idempotency-Key has 1 to {LONGEST} visible characters"))
    })?;
    let (Some(admin), Some(by)) =
        (request.app_data::<web::Data<Admin>>().cloned(), request.extensions().get::<Principal>().cloned())
    else {
        return Ok(Begun::Plain);
    };
    let body = request.extract::<Bytes>().await;
    let body = body.map_err(|error| unread(&error))?;
    let again = body.clone();
    request.set_payload(Payload::Stream { payload: Box::pin(stream::once(async move { Ok(again) })) });

    let place = request.uri().to_string();
    let id = digest([by.account.to_string().as_bytes(), by.namespace.to_string().as_bytes(), key.as_bytes()]);
    let fingerprint = fingerprint(&admin.actors.vault.state_key(), &place, &body);
    let (now, store) = (clock::now(), admin.actors.store.clone());
    let (taken, written) = (id.clone(), fingerprint);
    let known = store
        .upkeep(move |tx| Box::pin(async move { kept_answers::begin(tx, &taken, &written, now, now - KEPT).await }))
        .await?;
    match known {
        None => Ok(Begun::First(Retry { store, id })),
        Some(known) if known.fingerprint != fingerprint => {
            Err(err::validation("This Idempotency-Key was used for another request"))
        }
        Some(known) => known.answer.map_or_else(|| Err(unknown_outcome()), |(status, body)| replay(status, body)),
    }
}

fn unknown_outcome() -> Error {
    err::conflict("The first request with this Idempotency-Key has no answer yet")
        .with_hint("It is under way, or the gateway ended meanwhile: look whether it was done")
}

fn replay(status: u16, body: String) -> Result<Begun> {
    let kept: Option<Value> = serde_json::from_str(&body).ok();
    if let Some(id) = kept.as_ref().and_then(|kept| kept.get("shown_once")) {
        return Err(err::conflict("This was done before, and what it showed once is not shown again")
            .with_hint("If it was lost: revoke it, and make another")
            .with_data(json!({ "id": id })));
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let kind = if status.is_success() { "application/json" } else { PROBLEM_JSON };
    let answer = HttpResponseBuilder::new(status)
        .insert_header((header::CONTENT_TYPE, kind))
        .insert_header((REPLAYED, "true"))
        .body(body);
    Ok(Begun::Replay(answer))
}

impl Retry {
    /// Keeps the answer, or gives the place back when nothing was done.
    pub(super) async fn finish(self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let status = response.status();
        let (request, response) = response.into_parts();
        let (response, body) = response.into_parts();
        let (kept, response) = match body.try_into_bytes() {
            Ok(bytes) => (kept(status, &bytes), response.set_body(bytes).map_into_boxed_body()),
            Err(body) => (None, response.set_body(body)),
        };
        let (store, id) = (self.store, self.id);
        let written = store.upkeep(move |tx| {
            Box::pin(async move {
                match kept {
                    Some(body) => kept_answers::finish(tx, &id, status.as_u16(), &body).await,
                    None => kept_answers::forget(tx, &id).await,
                }
            })
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "the answer to a request with an Idempotency-Key was not kept");
        }
        ServiceResponse::new(request, response)
    }
}

/// What is kept of an answer; none: the request may be made again.
fn kept(status: StatusCode, body: &[u8]) -> Option<String> {
    let nothing_done = status.is_server_error() || [401, 408, 429].contains(&status.as_u16());
    if nothing_done || body.len() > LARGEST {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    if !token::appears_in(text) {
        return Some(text.to_owned());
    }
    let answer: Value = serde_json::from_str(text).ok()?;
    Some(json!({ "shown_once": answer.get("id").cloned().unwrap_or(Value::Null) }).to_string())
}

/// What a request is recognized by. A body may hold a password or a secret, so whoever has the database must not be able
/// to try out what it was: the key is not in there.
fn fingerprint(key: &DataKey, place: &str, body: &[u8]) -> [u8; 32] {
    let covered = Framed::new(FINGERPRINT).bytes(place.as_bytes()).bytes(body).finish();
    hmac_sha256(&key.key, &covered)
}

fn digest<const N: usize>(parts: [&[u8]; N]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}
