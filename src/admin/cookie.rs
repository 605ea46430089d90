//! The cookie of a session on the pages, and what a request that brings it must prove: that it comes from a page of this
//! gateway (S-81, S-84). A bearer credential needs no such proof, because no browser adds it by itself.
//!
//! There are two proofs, and a change needs both: what the browser says about the page ([`Cookies::require_own_page`]),
//! and the [`csrf_token`] that only pages of the same session show.

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time::Duration},
    http::header,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::{
    domain::{framing::Framed, random},
    error::{Error, ErrorCode, Result},
};

/// The header in which a script of a page sends the [`csrf_token`]; forms have a field for it.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Bytes of what proves a page's session.
const PROOF: usize = 16;

/// Its name where everything is encrypted: browsers then accept it from this host over TLS only.
const ENCRYPTED: &str = "__Host-aerostack";
/// Its name on a gateway of this machine.
const LOCAL: &str = "aerostack";

/// What pages of a session show and a change from them brings back: made from the cookie, which no script can read and
/// no other site knows. It is worth nothing without the cookie, and nothing in another session.
///
/// It looks different each time (random bytes, and the token under them), so that nothing is learnt from the length of a
/// page that shows it and is compressed.
pub fn csrf_token(cookie: &str) -> String {
    let cover = random::bytes::<PROOF>();
    let under = xor(proof(cookie), cover);
    URL_SAFE_NO_PAD.encode([cover, under].concat())
}

fn proof(cookie: &str) -> [u8; PROOF] {
    let digest: [u8; 32] = Sha256::digest(Framed::new("aerostack/csrf/v1").bytes(cookie.as_bytes()).finish()).into();
    digest.first_chunk().copied().unwrap_or_default()
}

fn xor(mut one: [u8; PROOF], other: [u8; PROOF]) -> [u8; PROOF] {
    one.iter_mut().zip(other).for_each(|(one, other)| *one ^= other);
    one
}

/// Whether `given` is a token of the session of `cookie`.
fn proves(given: &[u8], cookie: &str) -> bool {
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(given) else { return false };
    let halves = bytes.split_at_checked(PROOF).map(|(cover, under)| (cover.try_into(), under.try_into()));
    let Some((Ok(cover), Ok(under))) = halves else { return false };
    xor(cover, under).ct_eq(&proof(cookie)).into()
}

/// Refuses a change that does not bring the token of the session whose cookie it brings: in the header, or as `field`
/// of a form.
pub fn require_csrf_token(request: &HttpRequest, cookie: &str, field: Option<&str>) -> Result<()> {
    if request.method().is_safe() {
        return Ok(());
    }
    let header = request.headers().get(CSRF_HEADER).map(|value| value.as_bytes());
    let given = header.or(field.map(str::as_bytes)).unwrap_or_default();
    if proves(given, cookie) {
        return Ok(());
    }
    Err(Error::new(ErrorCode::CsrfRefused, "This was not sent by a page of the session that is signed in now")
        .with_hint("load the page again and repeat it; programs send an API key: Authorization: Bearer aak_…"))
}

/// How cookies of this gateway look.
#[derive(Debug, Clone)]
pub struct Cookies {
    encrypted: bool,
    usable: bool,
    origin: String,
    seconds: i64,
}

impl Cookies {
    /// For the URL that people use, with the life of a session.
    pub fn new(public_url: &Url, session_days: u32) -> Self {
        let encrypted = public_url.scheme() == "https";
        let local = public_url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
        Cookies {
            encrypted,
            usable: encrypted || local,
            origin: public_url.origin().ascii_serialization(),
            seconds: i64::from(session_days) * 86_400,
        }
    }

    /// Refuses to sign anybody in where the cookie would cross the network in clear.
    pub fn require_usable(&self) -> Result<()> {
        if self.usable {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::Validation,
            "Nobody can sign in here: over http the password and the session would cross the network in clear",
        )
        .with_hint("set server.public_url to an https:// URL (TLS of its own or of a proxy in front)"))
    }

    fn name(&self) -> &'static str {
        if self.encrypted { ENCRYPTED } else { LOCAL }
    }

    /// The cookie's value, if the request brings one.
    pub fn read(&self, request: &HttpRequest) -> Option<String> {
        request.cookie(self.name()).map(|cookie| cookie.value().to_owned()).filter(|value| !value.is_empty())
    }

    fn with(&self, value: &str) -> Cookie<'static> {
        Cookie::build(self.name(), value.to_owned())
            .path("/")
            .http_only(true)
            .secure(self.encrypted)
            .same_site(SameSite::Lax)
            .finish()
    }

    /// The cookie of a session that begins.
    pub fn begin(&self, value: &str) -> Cookie<'static> {
        let mut cookie = self.with(value);
        cookie.set_max_age(Duration::seconds(self.seconds));
        cookie
    }

    /// Takes the cookie away.
    pub fn end(&self) -> Cookie<'static> {
        let mut cookie = self.with("");
        cookie.set_max_age(Duration::ZERO);
        cookie
    }

    /// Refuses a change that a page of another site may have asked for.
    ///
    /// A browser says where a request comes from: `Sec-Fetch-Site`, and for every POST `Origin`. One of them must say
    /// "from here", and none of them anything else.
    pub fn require_own_page(&self, request: &HttpRequest) -> Result<()> {
        if request.method().is_safe() {
            return Ok(());
        }
        let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
        let (site, origin) = (text(header::HeaderName::from_static("sec-fetch-site")), text(header::ORIGIN));
        let own = origin.map(|origin| self.is_own(origin, request));
        if site.is_none_or(|site| site == "same-origin") && own.unwrap_or(true) && (site.is_some() || own.is_some()) {
            return Ok(());
        }
        Err(Error::new(ErrorCode::OriginRefused, "This request does not come from a page of this gateway")
            .with_hint("programs send an API key: Authorization: Bearer aak_…"))
    }

    fn is_own(&self, origin: &str, request: &HttpRequest) -> bool {
        if origin == self.origin {
            return true;
        }
        // On this machine the gateway has several names; the page has the one that the request was sent to.
        let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        !self.encrypted && self.usable && origin.strip_prefix("http://") == Some(host)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn cookies(url: &str) -> Cookies {
        Cookies::new(&url.parse().unwrap(), 7)
    }

    #[test]
    fn a_cookie_is_for_this_host_alone_and_no_script_reads_it() {
        let text = cookies("https://mcp.example.com").begin("ses_x").to_string();
        for part in ["__Host-aerostack=ses_x", "HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=604800"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("Domain"), "{text}");
        let text = cookies("http://127.0.0.1:8787").begin("ses_x").to_string();
        assert!(text.starts_with("aerostack=") && !text.contains("Secure"), "{text}");
        assert!(cookies("http://127.0.0.1:8787").require_usable().is_ok());
        assert!(cookies("http://mcp.example.com").require_usable().is_err());
    }

    #[test]
    fn only_a_page_of_this_gateway_may_change_something() {
        let cookies = cookies("https://mcp.example.com");
        let asks = |headers: &[(&'static str, &'static str)]| {
            let mut request = TestRequest::post().insert_header((header::HOST, "mcp.example.com"));
            for header in headers {
                request = request.insert_header(*header);
            }
            cookies.require_own_page(&request.to_http_request())
        };
        let own = ("origin", "https://mcp.example.com");
        assert!(asks(&[own]).is_ok() && asks(&[("sec-fetch-site", "same-origin")]).is_ok());
        assert!(asks(&[own, ("sec-fetch-site", "same-origin")]).is_ok());
        for foreign in [
            &[][..],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "http://mcp.example.com")],
            &[own, ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(asks(foreign).is_err(), "{foreign:?}");
        }
        assert!(cookies.require_own_page(&TestRequest::get().to_http_request()).is_ok());
    }

    #[test]
    fn a_change_brings_the_token_of_its_own_session() {
        let asks = |header: Option<&str>, field: Option<&str>| {
            let request = header
                .into_iter()
                .fold(TestRequest::post(), |request, token| request.insert_header((CSRF_HEADER, token.to_owned())));
            require_csrf_token(&request.to_http_request(), "ses_mine", field)
        };
        let (own, other) = (csrf_token("ses_mine"), csrf_token("ses_other"));
        assert!(own.len() == 43 && !own.contains("mine"));
        assert_ne!(own, csrf_token("ses_mine"), "the length of a compressed page says nothing of it");
        assert!(asks(Some(&own), None).is_ok() && asks(None, Some(&own)).is_ok());
        for (header, field) in [(None, None), (Some(&*other), None), (None, Some(&*other)), (Some(""), None)] {
            assert_eq!(asks(header, field).unwrap_err().code(), ErrorCode::CsrfRefused, "{header:?} {field:?}");
        }
        assert!(asks(None, Some(&own[..42])).is_err() && asks(Some(&other), Some(&own)).is_err());
        assert!(require_csrf_token(&TestRequest::get().to_http_request(), "ses_mine", None).is_ok());
    }

    #[test]
    fn a_gateway_of_this_machine_has_several_names_but_one_at_a_time() {
        let cookies = cookies("http://127.0.0.1:8787");
        let asks = |host: &'static str, origin: &'static str| {
            let request = TestRequest::post().insert_header((header::HOST, host)).insert_header(("origin", origin));
            cookies.require_own_page(&request.to_http_request())
        };
        assert!(asks("localhost:8787", "http://localhost:8787").is_ok());
        assert!(asks("localhost:8787", "http://localhost:9999").is_err(), "another program of this machine");
    }
}
