//! The outbound HTTP client behind the network policy: connections of our own for requests, awc for the streams that
//! servers open. HTTP/1.1 only (no `h2` in ALPN: awc's h2 0.3 has an open advisory), no redirects (they would carry
//! injected headers elsewhere), no proxies from the environment, no default headers, no decompression, no default
//! timeout (every caller has a deadline of its own).
//!
//! A client belongs to one thread and one lane: connections are never shared between servers or credential sets, and
//! letting go of a lane closes its idle connections.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{Arc, LazyLock},
    time::Duration,
};

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::{
    ConnectError, ConnectInfo, Connection,
    rustls_0_23::TlsConnector,
    tcp::{TcpConnector, TcpConnectorService},
};
use awc::{
    ClientRequest,
    http::{Method, Uri},
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    config::UpstreamConfig,
    upstream::{
        guard::{NetworkPolicy, Refusal, ResolveError},
        h1_client::{Connections, Kept},
        stream::StreamLimits,
    },
};

/// Age at which a connection is not used again, so that a server's changed address is noticed.
const AGE: Duration = Duration::from_secs(3600);

/// Sends requests that the network policy allows. Cloning shares the connections.
#[derive(Clone)]
pub struct HttpClient {
    client: awc::Client,
    connections: Rc<Connections>,
    limits: Rc<Limits>,
}

/// Bounds on what a server may send.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Answer body, bytes.
    pub answer_bytes: usize,
    /// Answer head, bytes.
    pub head_bytes: usize,
    /// Its event streams.
    pub stream: StreamLimits,
}

impl HttpClient {
    /// A client with its own connections.
    pub fn new(policy: Arc<NetworkPolicy>, config: &UpstreamConfig) -> Self {
        let connect = Duration::from_secs(config.connect_timeout_seconds);
        let guarded = Guarded { policy, tcp: TcpConnector::default().service() };
        let kept = Kept {
            connect,
            most: config.idle_connections,
            idle: Duration::from_secs(config.idle_connection_seconds),
            age: AGE,
            head_bytes: config.head_bytes,
        };
        let connections = Connections::new(guarded.clone(), TlsConnector::service(TLS.clone()), kept);
        let connector = awc::Connector::new()
            .connector(guarded)
            .rustls_0_23(TLS.clone())
            .limit(0)
            .timeout(connect)
            .handshake_timeout(connect)
            .conn_keep_alive(kept.idle)
            .conn_lifetime(kept.age);
        let client = awc::Client::builder()
            .connector(connector)
            .disable_redirects()
            .disable_timeout()
            .no_default_headers()
            .finish();
        let limits = Limits {
            answer_bytes: config.answer_bytes,
            head_bytes: config.head_bytes,
            stream: StreamLimits::of(config),
        };
        HttpClient { client, connections, limits: Rc::new(limits) }
    }

    pub(super) fn request(&self, method: Method, uri: &Uri) -> ClientRequest {
        self.client.request(method, uri)
    }

    pub(super) fn connections(&self) -> &Rc<Connections> {
        &self.connections
    }

    /// Closes connections that were idle for too long.
    pub fn tidy(&self) {
        self.connections.tidy();
    }

    /// Bounds on what a server may send.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// How this process speaks TLS to others.
pub fn tls_config() -> Arc<ClientConfig> {
    TLS.clone()
}

/// One TLS configuration for the process: public roots, and those in `SSL_CERT_FILE` (a company's own authority).
static TLS: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| Arc::new(tls()));

fn tls() -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = std::env::var_os("SSL_CERT_FILE") {
        match CertificateDer::pem_file_iter(&path) {
            Ok(found) => {
                let (added, ignored) = roots.add_parsable_certificates(found.flatten());
                tracing::info!(added, ignored, "trusting the certificates in SSL_CERT_FILE");
            }
            Err(cause) => tracing::warn!(%cause, "cannot read SSL_CERT_FILE"),
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[expect(clippy::expect_used, reason = "the provider is compiled in and supports the default versions")]
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Connects only where the policy allows: resolves, judges, dials exactly what was judged, judges the peer.
#[derive(Clone)]
pub(super) struct Guarded {
    policy: Arc<NetworkPolicy>,
    tcp: TcpConnectorService,
}

impl Service<ConnectInfo<Uri>> for Guarded {
    type Response = Connection<Uri, TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>>>>;

    actix_service::always_ready!();

    fn call(&self, wanted: ConnectInfo<Uri>) -> Self::Future {
        let (policy, tcp) = (self.policy.clone(), self.tcp);
        Box::pin(async move {
            let addresses = policy.resolve(wanted.hostname(), wanted.port()).await.map_err(|cause| match cause {
                ResolveError::Refused(refusal) => refused(refusal),
                ResolveError::Unknown => ConnectError::NoRecords,
            })?;
            let connection = tcp.call(wanted.set_addrs(addresses)).await?;
            let peer = connection.io_ref().peer_addr().map_err(ConnectError::Io)?;
            policy.check(peer).map_err(refused)?;
            connection.io_ref().set_nodelay(true).map_err(ConnectError::Io)?;
            Ok(connection)
        })
    }
}

fn refused(refusal: Refusal) -> ConnectError {
    ConnectError::Resolver(Box::new(refusal))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use super::*;
    use crate::upstream::{
        UpstreamError,
        exchange::{Endpoint, Outgoing, Stage},
        patience::Patience,
    };

    #[test]
    fn http_2_is_never_offered() {
        assert_eq!(tls().alpn_protocols, vec![b"http/1.1".to_vec()]);
    }

    /// A listener that counts who comes and answers each with an empty 204, then closes.
    struct Counted(std::net::SocketAddr, Arc<AtomicUsize>);

    impl Counted {
        fn at(ip: &str, port: u16) -> Self {
            let listener = std::net::TcpListener::bind((ip, port)).unwrap();
            let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
            let counted = count.clone();
            std::thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    counted.fetch_add(1, SeqCst);
                    let _gone = stream.read(&mut [0; 4096]);
                    let _gone = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
                }
            });
            Counted(address, count)
        }
        fn visits(&self) -> usize {
            self.1.load(SeqCst)
        }
    }

    /// Stands for a public address in these tests: an address of this machine that the policy allows.
    const ALLOWED: &str = "127.0.0.2";

    /// A client for which names resolve to what `answer` says at the nth time.
    fn resolving(answer: impl Fn(usize) -> Vec<&'static str> + Send + Sync + 'static) -> HttpClient {
        let asked = AtomicUsize::new(0);
        let policy = NetworkPolicy::new(false, vec![format!("{ALLOWED}/32").parse().unwrap()]);
        let policy = policy
            .resolving(move |_| answer(asked.fetch_add(1, SeqCst)).into_iter().map(|ip| ip.parse().unwrap()).collect());
        HttpClient::new(Arc::new(policy), &UpstreamConfig::default())
    }

    /// Sends a message as calls do, and as everything else does; whether the policy refused both.
    async fn is_refused(client: &HttpClient, port: u16) -> bool {
        let url: url::Url = format!("http://mcp.example.com:{port}/mcp").parse().unwrap();
        let endpoint = Rc::new(Endpoint::new(client, &url, Stage::Handshake, &[]).unwrap());
        let body = bytes::Bytes::from_static(br#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#);
        let message = Outgoing { body: &body, method: "ping", name: None, extra: &[] };
        let patience = Patience::within(Duration::from_secs(5));
        let called = endpoint.send(message, patience).await.err();
        let opened = endpoint.open(None, patience).await.err();
        let [called, opened] = [called, opened].map(|failure| matches!(failure, Some(UpstreamError::Refused(_))));
        assert_eq!(called, opened);
        called
    }

    #[actix_rt::test]
    async fn a_name_that_turns_to_a_forbidden_address_is_not_followed_there() {
        let allowed = Counted::at(ALLOWED, 0);
        let inside = Counted::at("127.0.0.1", allowed.0.port());
        // The first two look-ups (a call, and the opening of a stream) get the good answer.
        let client = resolving(|time| vec![if time < 2 { ALLOWED } else { "127.0.0.1" }]);
        assert!(!is_refused(&client, allowed.0.port()).await);
        for _ in 0..3 {
            assert!(is_refused(&client, allowed.0.port()).await, "the name leads inside now");
        }
        assert_eq!((allowed.visits(), inside.visits()), (2, 0));
    }

    #[actix_rt::test]
    async fn a_name_with_one_forbidden_address_among_others_is_not_dialled_at_all() {
        let allowed = Counted::at(ALLOWED, 0);
        let inside = Counted::at("127.0.0.1", allowed.0.port());
        let mixed = [
            vec![ALLOWED, "127.0.0.1"],
            vec!["127.0.0.1", ALLOWED],
            vec![ALLOWED, "10.0.0.1"],
            vec![ALLOWED, "169.254.169.254"],
            vec![ALLOWED, "::ffff:127.0.0.1"],
            vec![ALLOWED, "64:ff9b::7f00:1"],
        ];
        let times = mixed.len();
        // Each answer is given twice: to the call and to the opening of a stream.
        let client = resolving(move |time| mixed[time / 2].clone());
        for _ in 0..times {
            assert!(is_refused(&client, allowed.0.port()).await);
        }
        assert_eq!((allowed.visits(), inside.visits()), (0, 0));
    }

    #[actix_rt::test]
    async fn a_forbidden_address_is_not_dialled_even_as_a_literal() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let client = HttpClient::new(Arc::new(NetworkPolicy::new(false, Vec::new())), &UpstreamConfig::default());
        for url in [format!("http://127.0.0.1:{port}/"), format!("http://localhost:{port}/")] {
            let outcome = client.request(Method::GET, &url.parse().unwrap()).send().await;
            assert!(outcome.is_err(), "{url}");
        }
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
