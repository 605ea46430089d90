//! The sockets: opened before anything else, so that a port in use is said at once and in plain words.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{
    config::Config,
    error::{Error, ErrorCode, Result, err},
};

/// The open sockets.
pub struct Listeners {
    main: TcpListener,
    main_address: SocketAddr,
    operators: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    /// Opens them. A port 0 is replaced in `config` by the one given.
    pub fn open(config: &mut Config) -> Result<Self> {
        let main = open(config.server.bind, config.server.backlog, "--bind")?;
        let main_address =
            main.local_addr().map_err(|cause| Error::internal("asking for the listener's address", cause))?;
        config.server.bind = main_address;
        Ok(Listeners { main, main_address, operators: operators(config)? })
    }

    /// The main address.
    pub fn main(&self) -> SocketAddr {
        self.main_address
    }

    /// The operators' address.
    pub fn ops(&self) -> Option<SocketAddr> {
        self.operators.as_ref().map(|(_, address)| *address)
    }

    /// All addresses (MCP servers may never live there).
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        [Some(self.main_address), self.ops()].into_iter().flatten()
    }

    /// The operators' socket, if it could be opened.
    pub fn operators(&self) -> Result<Option<TcpListener>> {
        self.operators.as_ref().map(|(listener, _)| copy(listener)).transpose()
    }

    /// The main socket, for the server that takes its connections.
    pub fn take_main(&self) -> Result<TcpListener> {
        copy(&self.main)
    }
}

fn copy(listener: &TcpListener) -> Result<TcpListener> {
    listener.try_clone().map_err(|cause| Error::internal("copying the listener", cause))
}

fn open(address: SocketAddr, _backlog: u32, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => {
            err::conflict(format!("Port {} on {} is in use by another program", address.port(), address.ip()))
                .with_hint(format!(
                    "stop that program, or choose another address: {flag} {}:{}",
                    address.ip(),
                    address.port().wrapping_add(1)
                ))
        }
        io::ErrorKind::PermissionDenied => err::forbidden(format!("This user may not listen on {address}"))
            .with_hint(format!("choose a port above 1023: {flag} {}:8787", address.ip())),
        _ => err::conflict(format!("Cannot listen on {address}: {cause}"))
            .with_hint(format!("choose an address of this machine with {flag}")),
    })
}

/// The operators' listener: as configured (then it must work), or loopback at the next port (then a busy port is only
/// a warning).
fn operators(config: &Config) -> Result<Option<(TcpListener, SocketAddr)>> {
    let with_address = |listener: TcpListener| -> Option<(TcpListener, SocketAddr)> {
        let address = listener.local_addr().ok()?;
        Some((listener, address))
    };
    if let Ok(address) = config.server.ops_bind.parse::<SocketAddr>() {
        return Ok(with_address(open(address, config.server.backlog, "--ops-bind")?));
    }
    let next = SocketAddr::from(([127, 0, 0, 1], config.server.bind.port().wrapping_add(1)));
    match open(next, config.server.backlog, "--ops-bind") {
        Ok(listener) => Ok(with_address(listener)),
        Err(error) => {
            tracing::warn!(%error, "no operators' listener; choose one with --ops-bind");
            Ok(None)
        }
    }
}

/// The TLS settings, with HTTP/1.1 as the only protocol.
pub fn tls(config: &Config) -> Result<Option<rustls::ServerConfig>> {
    let server = &config.server;
    if server.tls_cert.is_empty() {
        return Ok(None);
    }
    let unreadable = |what: &str, path: &str, cause: &dyn std::fmt::Display| {
        Error::new(ErrorCode::Validation, format!("{what} {path} cannot be used: {cause}"))
            .with_hint("give a PEM file that this user may read")
    };
    let chain = CertificateDer::pem_file_iter(&server.tls_cert)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|cause| unreadable("The certificate file", &server.tls_cert, &cause))?;
    let key = PrivateKeyDer::from_pem_file(&server.tls_key)
        .map_err(|cause| unreadable("The key file", &server.tls_key, &cause))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::internal("setting up TLS", cause))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|cause| unreadable("The certificate file", &server.tls_cert, &cause))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(tls))
}
