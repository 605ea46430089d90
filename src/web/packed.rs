//! Compresses what pages are made of: text that never changes once, pages each time they are asked for.
//!
//! A page that shows a secret beside something that its visitor chose would tell its length, and with it the secret, byte
//! by byte (BREACH). So nothing but the answer to a GET is compressed: what is shown once is the answer to a form. And the
//! token of forms, which every page shows, looks different each time (`cookie::csrf_token`).

use std::io::Write as _;

use actix_web::{
    HttpMessage as _, HttpRequest,
    body::{BoxBody, MessageBody as _},
    dev::ServiceResponse,
    http::{
        Method,
        header::{self, AcceptEncoding, Encoding, HeaderMap, HeaderValue},
    },
    web::{self, Bytes},
};
use flate2::{Compression, write::GzEncoder};

/// Bytes of a page that fit into the first packets anyway.
const SMALL: usize = 1400;
/// How hard it is tried: a page of 100 KB takes a millisecond or two and shrinks to an eighth.
const EACH_TIME: Compression = Compression::new(5);

/// What never changes, as small as it gets.
pub fn once(text: &[u8]) -> Bytes {
    gzip(text, Compression::best()).into()
}

fn gzip(text: &[u8], effort: Compression) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::with_capacity(text.len() / 4), effort);
    // Writing into memory does not fail.
    packer.write_all(text).and_then(|()| packer.finish()).unwrap_or_default()
}

/// Whether who asks can read it.
pub fn is_taken(request: &HttpRequest) -> bool {
    let accepted = request.get_header::<AcceptEncoding>();
    accepted.is_some_and(|accepted| {
        accepted.negotiate([Encoding::gzip(), Encoding::identity()].iter()) == Some(Encoding::gzip())
    })
}

/// The answer, compressed if that is safe, worth it and understood. Not on this thread, which has calls to serve.
pub async fn page(answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let is_page = answer.request().method() == Method::GET && is_html(answer.headers());
    if !is_page || answer.headers().contains_key(header::CONTENT_ENCODING) {
        return answer;
    }
    let taken = is_taken(answer.request());
    let (request, answer) = answer.into_parts();
    let (mut answer, body) = answer.into_parts();
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let text = match body.try_into_bytes() {
        Ok(text) if taken && text.len() > SMALL => text,
        Ok(text) => return ServiceResponse::new(request, answer.set_body(BoxBody::new(text))),
        Err(body) => return ServiceResponse::new(request, answer.set_body(body)),
    };
    let plain = text.clone();
    let body = match web::block(move || gzip(&text, EACH_TIME)).await {
        Ok(packed) => {
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            packed.into()
        }
        // Only while the gateway stops.
        Err(_) => plain,
    };
    ServiceResponse::new(request, answer.set_body(BoxBody::new(body)))
}

fn is_html(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}
