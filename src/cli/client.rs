//! The HTTP client of the admin API: awc on the command's own runtime. Never follows a redirect (it would carry the key
//! elsewhere), never uses a proxy from the environment, waits a bounded time, reads a bounded answer.

use std::{cell::RefCell, future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use awc::{
    ClientResponse,
    error::{ConnectError, SendRequestError},
    http::{Method, StatusCode, header},
};
use bytes::Bytes;
use futures_util::Stream as _;
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use rustls_pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use super::{
    busy,
    failure::{Failure, Outcome},
    output,
};
use crate::{
    admin::dto::{Page, Problem, VERSION_HEADER},
    domain::clock::{self, Timestamp},
    protocol::{
        headers::{EVENT_STREAM, JSON},
        sse::{Decoder, Event},
    },
};

/// Longest wait for an answer: testing a slow server takes the server's own time.
const ANSWER: Duration = Duration::from_secs(90);
const CONNECT: Duration = Duration::from_secs(5);
const LARGEST: usize = 64 * 1024 * 1024;
/// Largest event of a stream.
const LARGEST_EVENT: usize = 1024 * 1024;
/// Longest silence of a stream; the gateway sends comments far more often.
const SILENCE: Duration = Duration::from_secs(60);
/// Pages of a list that are fetched before we think the server goes in circles.
const PAGES: usize = 10_000;

/// A connection to one gateway with one key.
pub struct Client {
    http: awc::Client,
    base: Url,
    authorization: Option<SecretString>,
    namespace: Option<String>,
    verbose: bool,
    pictures: bool,
    last: RefCell<Option<Glimpse>>,
}

/// What an answer says beside its body.
#[derive(Debug, Clone)]
pub struct Glimpse {
    /// The gateway's version, told to whoever it knows.
    pub version: Option<String>,
    /// The gateway's time, to the second.
    pub date: Option<Timestamp>,
    /// From the request to the answer's head.
    pub took: Duration,
}

/// Events of an answer, as they come. Dropping it closes the connection.
pub struct Events {
    response: ClientResponse,
    decoder: Decoder,
    base: Url,
}

impl Events {
    /// The next event with data; `None` at the end of the stream.
    pub async fn next(&mut self) -> Outcome<Option<Event>> {
        loop {
            let event = self.decoder.next().map_err(|_too_large| self.lost("holds an event that is too large"))?;
            if let Some(event) = event.filter(|event| !event.data.is_empty()) {
                return Ok(Some(event));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// Waits until anything has come, be it a comment.
    pub async fn first_bytes(&mut self) -> Outcome {
        match self.more().await? {
            true => Ok(()),
            false => Err(self.lost("ended before it began")),
        }
    }

    /// Reads on; false at the end of the stream.
    async fn more(&mut self) -> Outcome<bool> {
        let chunk = poll_fn(|cx| Pin::new(&mut self.response).poll_next(cx));
        match actix_web::rt::time::timeout(SILENCE, chunk).await {
            Ok(Some(Ok(bytes))) => {
                self.decoder.feed(&bytes);
                Ok(true)
            }
            Ok(Some(Err(_))) => Err(self.lost("broke off")),
            Ok(None) => Ok(false),
            Err(_elapsed) => Err(self.lost("fell silent")),
        }
    }

    fn lost(&self, how: &str) -> Failure {
        Failure::unreachable(format!("the stream of {} {how}", self.base))
    }
}

/// Query parameters that are set.
pub type Query<'a> = Vec<(&'a str, String)>;

impl Client {
    /// A client of the gateway at `base`.
    pub fn new(base: Url, key: Option<&SecretString>, verbose: bool) -> Outcome<Self> {
        if key.is_some_and(|key| header::HeaderValue::from_str(key.expose_secret()).is_err()) {
            return Err(Failure::usage("the API key holds characters that no API key has"));
        }
        let connector = awc::Connector::new().timeout(CONNECT).handshake_timeout(CONNECT).rustls_0_23(tls()?);
        let http = awc::Client::builder().connector(connector).disable_redirects().timeout(ANSWER).finish();
        let authorization = key.map(|key| SecretString::from(format!("Bearer {}", key.expose_secret())));
        Ok(Client { http, base, authorization, namespace: None, verbose, pictures: false, last: RefCell::default() })
    }
    /// The same, showing that it waits if that takes a while and somebody sees it.
    pub fn showing(self, pictures: bool) -> Self {
        Client { pictures, ..self }
    }
    /// The same, acting in a namespace.
    pub fn acting_in(self, namespace: Option<String>) -> Self {
        Client { namespace, ..self }
    }

    /// GET one object.
    pub async fn get<T: DeserializeOwned>(&self, path: &[&str], query: Query<'_>) -> Outcome<T> {
        self.ask(Method::GET, path, query, None::<&()>).await
    }
    /// GET a whole list, page by page.
    pub async fn list<T: DeserializeOwned>(&self, path: &[&str], query: Query<'_>) -> Outcome<Vec<T>> {
        let (mut all, mut cursor) = (Vec::new(), None);
        for _ in 0..PAGES {
            let mut query = query.clone();
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.get(path, query).await?;
            all.extend(page.data);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(all);
            }
        }
        Err(Failure::unreachable("the server's list has no end"))
    }
    /// POST an object.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Query<'_>,
        body: &impl Serialize,
    ) -> Outcome<T> {
        self.ask(Method::POST, path, query, Some(body)).await
    }
    /// PATCH an object.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Query<'_>,
        body: &impl Serialize,
    ) -> Outcome<T> {
        self.ask(Method::PATCH, path, query, Some(body)).await
    }
    /// DELETE something.
    pub async fn delete<T: DeserializeOwned>(&self, path: &[&str], query: Query<'_>) -> Outcome<T> {
        self.ask(Method::DELETE, path, query, None::<&()>).await
    }

    /// GET a stream of events.
    pub async fn events(&self, path: &[&str], query: Query<'_>) -> Outcome<Events> {
        let mut response = self.send(Method::GET, path, query, None::<&()>, EVENT_STREAM).await?;
        let status = response.status();
        let media = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !status.is_success() || media.is_none_or(|media| !media.starts_with(EVENT_STREAM)) {
            let bytes = self.body(&mut response).await?;
            return Err(self.read::<Value>(status, &bytes).err().unwrap_or_else(|| self.not_ours(status)));
        }
        Ok(Events { response, decoder: Decoder::new(LARGEST_EVENT), base: self.base.clone() })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
        body: Option<&impl Serialize>,
    ) -> Outcome<T> {
        let mut response = self.send(method, path, query, body, JSON).await?;
        let bytes = self.body(&mut response).await?;
        self.read(response.status(), &bytes)
    }

    /// Sends a request; its answer's body is still to be read.
    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: Query<'_>,
        body: Option<&impl Serialize>,
        accept: &'static str,
    ) -> Outcome<ClientResponse> {
        let url = self.address(path, &query)?;
        let mut request = self.http.request(method.clone(), url.as_str());
        if let Some(secret) = &self.authorization {
            let mut authorization = header::HeaderValue::from_str(secret.expose_secret())
                .map_err(|_secret| Failure::usage("the API key holds characters that no API key has"))?;
            authorization.set_sensitive(true);
            request = request.insert_header((header::AUTHORIZATION, authorization));
        }
        let request = request
            .insert_header((header::ACCEPT, accept))
            .insert_header((header::USER_AGENT, concat!("aerostack-cli/", env!("CARGO_PKG_VERSION"))));
        let started = clock::instant();
        let sending = match body {
            Some(body) => request.send_json(body),
            None => request.send(),
        };
        let response = busy::shown(self.pictures, sending).await.map_err(|error| self.no_answer(&error))?;
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if self.verbose {
            output::trace(&format!(
                "{method} {} {} {} ms, request id {}",
                url.path(),
                response.status().as_u16(),
                started.elapsed().as_millis(),
                text("x-request-id").as_deref().unwrap_or("-")
            ));
        }
        let date = text("date").and_then(|date| chrono::DateTime::parse_from_rfc2822(&date).ok());
        self.last.replace(Some(Glimpse {
            version: text(VERSION_HEADER),
            date: date.map(|date| date.to_utc()),
            took: started.elapsed(),
        }));
        Ok(response)
    }

    async fn body(&self, response: &mut ClientResponse) -> Outcome<Bytes> {
        let body = busy::shown(self.pictures, response.body().limit(LARGEST)).await;
        body.map_err(|error| Failure::unreachable(format!("the answer of {} broke off: {error}", self.base)))
    }

    /// What the last answer said beside its body.
    pub fn last(&self) -> Option<Glimpse> {
        self.last.borrow().clone()
    }

    fn not_ours(&self, status: StatusCode) -> Failure {
        let status = status.as_u16();
        Failure::unreachable(format!("{} answered {status} but not as an aerostack gateway does", self.base))
            .with_hint("check the URL: aerostack profile list")
    }

    fn read<T: DeserializeOwned>(&self, status: StatusCode, bytes: &[u8]) -> Outcome<T> {
        let not_ours = || self.not_ours(status);
        if status.is_success() {
            let bytes = if bytes.is_empty() { b"null" } else { bytes };
            return serde_json::from_slice(bytes).map_err(|_their_text| not_ours());
        }
        let problem =
            serde_json::from_slice::<Value>(bytes).ok().filter(|v| v.get("code").is_some() && v.get("title").is_some());
        match problem.and_then(|value| serde_json::from_value::<Problem>(value).ok()) {
            Some(problem) => Err(self.explain(Failure::from_problem(status.as_u16(), problem))),
            None => Err(not_ours()),
        }
    }
    fn explain(&self, failure: Failure) -> Failure {
        match failure.status() {
            Some(401) if self.authorization.is_some() => {
                failure.with_hint(format!("aerostack login --url {}", self.base.as_str().trim_end_matches('/')))
            }
            _ => failure,
        }
    }

    fn no_answer(&self, error: &SendRequestError) -> Failure {
        let base = self.base.as_str().trim_end_matches('/');
        match error {
            SendRequestError::Timeout => {
                Failure::unreachable(format!("{base} did not answer within {} s", ANSWER.as_secs()))
            }
            SendRequestError::Connect(ConnectError::Timeout) => {
                Failure::unreachable(format!("cannot reach {base}: no connection within {} s", CONNECT.as_secs()))
            }
            SendRequestError::Connect(error) => {
                Failure::unreachable(format!("cannot reach {base}: {}", root_cause(error)))
                    .with_hint("is the gateway running? On its machine: aerostack serve")
            }
            other => Failure::unreachable(format!("cannot talk to {base}: {}", root_cause(other))),
        }
    }

    fn address(&self, path: &[&str], query: &[(&str, String)]) -> Outcome<Url> {
        let mut url = self.base.clone();
        // The URL parser drops these as segments, so the request would mean something else.
        if let Some(odd) = path.iter().find(|s| matches!(**s, "" | "." | "..")) {
            return Err(Failure::usage(format!("\"{odd}\" is not a name")));
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1", "admin"]).extend(path);
        }
        let namespace = self.namespace.iter().map(|name| ("namespace", name));
        if !query.is_empty() || self.namespace.is_some() {
            url.query_pairs_mut().extend_pairs(query).extend_pairs(namespace);
        }
        Ok(url)
    }
}

/// The innermost cause: `connection refused` says more than what wraps it.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The usual public roots, and those of `SSL_CERT_FILE` for gateways with a certificate of their own.
fn tls() -> Outcome<Arc<ClientConfig>> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|f| !f.is_empty()) {
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::local(format!("cannot read SSL_CERT_FILE {}: {error}", file.display()))
        };
        for certificate in CertificateDer::pem_file_iter(&file).map_err(|error| cannot(&error))? {
            roots.add(certificate.map_err(|error| cannot(&error))?).map_err(|error| cannot(&error))?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::local(format!("cannot set up TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base: &str) -> Client {
        Client::new(Url::parse(base).unwrap(), Some(&SecretString::from("aak_x")), false).unwrap()
    }

    #[actix_web::test]
    async fn names_stay_inside_their_segment() {
        let client = client("https://mcp.example.com/prefix/");
        let url =
            client.address(&["workspaces", "a/../b?c#d", "tokens:revoke"], &[("user", "Alice & Bob".into())]).unwrap();
        assert_eq!(
            url.as_str(),
            "https://mcp.example.com/prefix/api/v1/admin/workspaces/a%2F..%2Fb%3Fc%23d/tokens:revoke?user=Alice+%26+Bob"
        );
        assert!(client.address(&["workspaces", ".."], &[]).is_err());
        assert!(client.address(&["workspaces", ""], &[]).is_err());
    }

    #[actix_web::test]
    async fn nobody_there_is_exit_code_8_and_says_what_to_do() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let failure = client(&format!("http://127.0.0.1:{port}")).get::<Value>(&["whoami"], vec![]).await.unwrap_err();
        assert_eq!(failure.exit_number(), 8);
        assert!(failure.headline().to_lowercase().contains("refused"), "{failure:?}");
        assert!(failure.details().join("\n").contains("aerostack serve"), "{failure:?}");
    }

    #[actix_web::test]
    async fn answers_of_something_else_are_named_as_such() {
        let client = client("http://127.0.0.1:1");
        let failure = client.read::<Value>(StatusCode::BAD_GATEWAY, b"<html>nginx</html>").unwrap_err();
        assert_eq!(failure.exit_number(), 8);
        let failure = client
            .read::<Value>(StatusCode::NOT_FOUND, br#"{"code":"not_found","title":"No workspace \"x\"","status":404}"#)
            .unwrap_err();
        assert_eq!((failure.exit_number(), failure.headline().as_str()), (3, "404: No workspace \"x\""));
    }
}
