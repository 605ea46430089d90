//! MCP servers that speak TLS, well or badly: a certificate authority made for the test, certificates of it and others,
//! and servers that break the handshake. What arrives inside TLS goes to an ordinary [`Upstream`]'s script.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::{Seen, servers, upstream::read, wait::DEADLINE};

/// A certificate with its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// How a server speaks TLS with it.
    pub fn server(self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth().with_single_cert(self.chain, self.key);
        Arc::new(config.expect("a fitting key"))
    }
}

/// Issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }
    /// A certificate for `name`, valid until the first day of `until` (a year).
    pub fn issue(&self, name: &str, until: i32) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        Identity { chain: vec![certificate.der().clone()], key }
    }
}

/// A server on a port, and everything it could read.
#[derive(Clone)]
pub struct TlsServer {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    raw: Arc<Mutex<Vec<u8>>>,
}

impl TlsServer {
    fn start(serve: impl Fn(TcpStream, &TlsServer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = TlsServer { address, seen: Arc::default(), raw: Arc::default() };
        let (mine, serve) = (server.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mine, serve) = (mine.clone(), serve.clone());
                stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
                std::thread::spawn(move || serve(stream, &mine));
            }
        });
        server
    }
    /// A server of 2026-07-28 with a tool `echo`, behind this certificate.
    pub fn mcp(identity: Identity) -> Self {
        let config = identity.server();
        TlsServer::start(move |stream, server| {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            while let Some(seen) = read(&mut stream) {
                let answer = answer(&seen);
                server.seen.lock().expect("not poisoned").push(seen);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    answer.len()
                );
                if stream.get_mut().write_all((head + &answer).as_bytes()).is_err() {
                    return;
                }
            }
        })
    }
    /// Takes what comes first, answers with these bytes, and reads on to the end.
    pub fn raw(answer: &'static [u8]) -> Self {
        TlsServer::start(move |mut stream, server| {
            let mut part = [0; 16 * 1024];
            let mut answered = false;
            while let Ok(length @ 1..) = stream.read(&mut part) {
                server.raw.lock().expect("not poisoned").extend_from_slice(&part[..length]);
                if !std::mem::replace(&mut answered, true) && stream.write_all(answer).is_err() {
                    return;
                }
            }
        })
    }
    /// Hangs up at once.
    pub fn hanging_up() -> Self {
        TlsServer::start(|stream, _| drop(stream))
    }
    /// By its name, so that the certificate has one to be checked against.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/mcp", self.address.port())
    }
    /// Requests that came through TLS.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }
    /// Everything that was readable without the key.
    pub fn in_clear(&self) -> String {
        String::from_utf8_lossy(&self.raw.lock().expect("not poisoned")).into_owned()
    }
}

fn answer(seen: &Seen) -> String {
    let result = match seen.rpc().as_str() {
        "server/discover" => servers::discovery(),
        "tools/list" => servers::tools(&["echo"]),
        "tools/call" => json!({ "content": [{ "type": "text", "text": "done" }] }),
        other => panic!("{other} was not expected"),
    };
    json!({ "jsonrpc": "2.0", "id": seen.id(), "result": result }).to_string()
}
