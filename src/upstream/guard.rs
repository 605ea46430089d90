//! Where outbound connections may go. One policy for every MCP server: names are resolved once, every address is
//! judged, exactly the judged addresses are dialled, and the peer of the connection is judged again.
//!
//! Link-local, metadata and reserved addresses are never dialled. Loopback is open while the gateway itself can only
//! be reached from this machine. Other private networks are open when `upstream.allow_networks` lists them. The
//! gateway's own listeners are refused in any case, except those named as exempt (the demo server).

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use url::{Host, Url};

use crate::{
    domain::server::{ServerSpec, http_url},
    error::{Error, ErrorCode},
    upstream::address::{self, Kind},
};

/// Why a connection is not made, and the configuration line that would allow it, if one would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was refused and why.
    pub reason: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Refusal {
    fn never(reason: impl Into<String>) -> Self {
        Refusal { reason: reason.into(), remedy: None }
    }

    /// As the answer to whoever saves such a URL.
    pub fn into_validation(self) -> Error {
        self.into_error(ErrorCode::Validation)
    }

    pub(super) fn into_error(self, code: ErrorCode) -> Error {
        let error = Error::new(code, self.reason);
        match self.remedy {
            Some(remedy) => error.with_hint(remedy),
            None => error,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
impl std::error::Error for Refusal {}

/// Looks a name up.
type Lookup = dyn Fn(&str, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// Turns a name into addresses: the operating system's way, unless a test says otherwise.
struct Resolver(Box<Lookup>);

impl Default for Resolver {
    fn default() -> Self {
        Resolver(Box::new(|host, port| {
            let host = host.to_owned();
            Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
        }))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// Where outbound connections may go. Shared by all threads; changes only while the gateway starts.
#[derive(Debug)]
pub struct NetworkPolicy {
    loopback: bool,
    allow: Vec<IpNet>,
    resolver: Resolver,
    own: ArcSwap<Vec<SocketAddr>>,
    exempt: ArcSwap<Vec<SocketAddr>>,
}

impl NetworkPolicy {
    /// `loopback`: the listener and `public_url` are both loopback, so servers on loopback are as close as the caller.
    pub fn new(loopback: bool, allow: Vec<IpNet>) -> Self {
        let (own, exempt) = (ArcSwap::default(), ArcSwap::default());
        NetworkPolicy { loopback, allow, resolver: Resolver::default(), own, exempt }
    }

    /// With names that resolve as `answer` says.
    #[cfg(test)]
    pub(super) fn resolving(mut self, answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        self.resolver = Resolver(Box::new(move |host, port| {
            let found = answer(host).into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
            Box::pin(std::future::ready(Ok(found)))
        }));
        self
    }

    /// Refuses `listener` as a server: it is ours.
    pub fn refuse_listener(&self, listener: SocketAddr) {
        self.own.rcu(|own| own.iter().copied().chain([listener]).collect::<Vec<_>>());
    }

    /// Allows `listener` although it is ours (the demo server).
    pub fn exempt_listener(&self, listener: SocketAddr) {
        self.exempt.rcu(|exempt| exempt.iter().copied().chain([listener]).collect::<Vec<_>>());
    }

    /// Judges a URL as text, before anything normalised it.
    pub fn parse_url(&self, text: &str) -> Result<Url, Refusal> {
        let url = http_url(text).map_err(|cause| Refusal::never(format!("Not a URL: {cause}")))?;
        self.check_url(&url)?;
        Ok(url)
    }

    /// Judges what a URL says by itself, without asking a resolver. Names are judged when they are resolved.
    pub fn check_url(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::never(format!("An MCP server is reached by https or http, not by {}", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::never("The URL carries a user name or password; store it as a secret instead"));
        }
        let port = url.port_or_known_default().unwrap_or(0);
        match url.host() {
            Some(Host::Ipv4(ip)) => self.check(SocketAddr::new(IpAddr::V4(ip), port)),
            Some(Host::Ipv6(ip)) => self.check(SocketAddr::new(IpAddr::V6(ip), port)),
            Some(Host::Domain(name)) => self.check_name(name, port),
            None => Err(Refusal::never("The URL names no host")),
        }
    }

    /// Names whose address is known without asking.
    fn check_name(&self, name: &str, port: u16) -> Result<(), Refusal> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            return self.check(SocketAddr::from(([127, 0, 0, 1], port)));
        }
        if name.is_empty() || name == "metadata" || name.ends_with("metadata.google.internal") {
            return Err(Refusal::never(format!("{name} is a metadata service, never an MCP server")));
        }
        Ok(())
    }

    /// Judges one address.
    pub fn check(&self, address: SocketAddr) -> Result<(), Refusal> {
        let effective = SocketAddr::new(address::effective(address.ip()), address.port());
        if self.exempt.load().contains(&effective) {
            return Ok(());
        }
        if self.own.load().iter().any(|own| is_listener(effective, *own)) {
            return Err(Refusal::never(format!("{address} is this gateway itself")));
        }
        let listed = self.allow.iter().any(|net| net.contains(&address.ip()) || net.contains(&effective.ip()));
        match address::classify(address.ip()) {
            Kind::Public => Ok(()),
            Kind::Never => {
                Err(Refusal::never(format!("{} is a link-local, metadata or reserved address", address.ip())))
            }
            Kind::Loopback if self.loopback || listed => Ok(()),
            Kind::Private if listed => Ok(()),
            Kind::Loopback => {
                Err(self.refusal("is this machine, and this gateway serves other machines", effective.ip()))
            }
            Kind::Private => Err(self.refusal("is a private address", effective.ip())),
        }
    }

    fn refusal(&self, what: &str, ip: IpAddr) -> Refusal {
        let networks: Vec<String> = self
            .allow
            .iter()
            .map(ToString::to_string)
            .chain([IpNet::from(ip).to_string()])
            .map(|net| format!("\"{net}\""))
            .collect();
        Refusal {
            reason: format!("{ip} {what}"),
            remedy: Some(format!(
                "to allow it, add to config.toml under [upstream]: allow_networks = [{}]",
                networks.join(", ")
            )),
        }
    }

    /// Resolves `host` and judges every address; one bad address refuses them all (an attacker picks the order).
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let address = SocketAddr::new(ip, port);
            self.check(address)?;
            return Ok(vec![address]);
        }
        self.check_name(host, port)?;
        let found = (self.resolver.0)(host, port).await.map_err(|_cause| ResolveError::Unknown)?;
        self.judge(found)
    }

    fn judge(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ResolveError> {
        if found.is_empty() {
            return Err(ResolveError::Unknown);
        }
        for address in &found {
            self.check(*address)?;
        }
        Ok(found)
    }

    /// Whether secrets may go to `url` in clear: loopback or a listed network, by literal address or `localhost`.
    fn allows_clear_text(&self, url: &Url) -> bool {
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
            Some(Host::Domain(name)) => return name == "localhost" || name.ends_with(".localhost"),
            None => return false,
        };
        address::classify(ip) == Kind::Loopback || self.allow.iter().any(|net| net.contains(&ip))
    }

    /// Whether what is sent to the server can be read on the way: plain http, not within this machine or an own network,
    /// and nobody said that this is meant.
    pub fn is_exposed(&self, spec: &ServerSpec) -> bool {
        spec.url().is_some_and(|url| url.scheme() == "http" && !spec.allow_http && !self.allows_clear_text(url))
    }
}

/// Why a name has no address to dial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The policy forbids an address of it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such name, or the resolver does not answer.
    #[error("the name has no address")]
    Unknown,
}

/// Whether a connection to `address` would arrive at `listener`.
fn is_listener(address: SocketAddr, listener: SocketAddr) -> bool {
    if address.port() != listener.port() {
        return false;
    }
    if !listener.ip().is_unspecified() {
        return address.ip() == listener.ip();
    }
    // A listener on every interface: any address of this machine arrives there. Only an own address can be bound.
    address.ip().is_loopback() || UdpSocket::bind((address.ip(), 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict() -> NetworkPolicy {
        NetworkPolicy::new(false, Vec::new())
    }

    #[test]
    fn tricks_to_name_a_forbidden_address_are_refused_when_saved() {
        let policy = strict();
        for url in [
            "http://127.0.0.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://１２７.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://[fec0::1]/",
            "http://100.64.0.1/",
            "http://localhost./",
            "http://a.localhost/",
            "http://metadata.google.internal/",
            "http://u:p@example.com/",
            "http://exa\tmple.com/",
            "http://example.com/\n",
            "http://169.254.169.254/latest",
            "http://10.0.0.1/",
            "file:///etc/passwd",
            "unix:/run/x",
            "gopher://example.com/",
            "http://user@example.com/",
        ] {
            assert!(policy.parse_url(url).is_err(), "{url:?} was accepted");
        }
        assert!(policy.parse_url("https://mcp.example.com/mcp").is_ok());
    }

    #[test]
    fn loopback_is_open_only_while_the_gateway_is_loopback() {
        let open = NetworkPolicy::new(true, Vec::new());
        assert!(open.check("127.0.0.1:9001".parse().unwrap()).is_ok());
        assert!(open.check("10.0.0.1:9001".parse().unwrap()).is_err());
        assert!(strict().check("127.0.0.1:9001".parse().unwrap()).is_err());
    }

    #[test]
    fn a_listed_network_is_open_and_metadata_never_is() {
        let policy = NetworkPolicy::new(false, vec!["10.0.0.0/8".parse().unwrap(), "169.254.0.0/16".parse().unwrap()]);
        assert!(policy.check("10.9.9.9:80".parse().unwrap()).is_ok());
        assert!(policy.check("[::ffff:10.9.9.9]:80".parse().unwrap()).is_ok());
        assert!(policy.check("169.254.169.254:80".parse().unwrap()).is_err());
    }

    #[test]
    fn a_refusal_prints_the_line_to_add() {
        let policy = NetworkPolicy::new(false, vec!["10.0.0.0/8".parse().unwrap()]);
        let refusal = policy.check("192.168.7.1:80".parse().unwrap()).unwrap_err();
        assert_eq!(
            refusal.remedy.unwrap(),
            "to allow it, add to config.toml under [upstream]: allow_networks = [\"10.0.0.0/8\", \"192.168.7.1/32\"]"
        );
    }

    #[test]
    fn own_listeners_are_refused_but_the_exempt_one_is_not() {
        let policy = NetworkPolicy::new(true, Vec::new());
        policy.refuse_listener("0.0.0.0:8787".parse().unwrap());
        policy.refuse_listener("127.0.0.1:8788".parse().unwrap());
        policy.refuse_listener("127.0.0.1:8789".parse().unwrap());
        policy.exempt_listener("127.0.0.1:8789".parse().unwrap());
        assert!(policy.check("127.0.0.1:8787".parse().unwrap()).is_err());
        assert!(policy.check("[::ffff:127.0.0.1]:8787".parse().unwrap()).is_err());
        assert!(policy.check("127.0.0.1:8788".parse().unwrap()).is_err());
        assert!(policy.check("127.0.0.1:8789".parse().unwrap()).is_ok());
        assert!(policy.check("127.0.0.1:9999".parse().unwrap()).is_ok());
    }

    #[test]
    fn one_private_address_among_several_refuses_the_name() {
        let found = vec!["1.1.1.1:443".parse().unwrap(), "10.0.0.1:443".parse().unwrap()];
        assert!(matches!(strict().judge(found), Err(ResolveError::Refused(_))));
    }

    #[test]
    fn secrets_go_in_clear_only_to_loopback_and_listed_networks() {
        let policy = NetworkPolicy::new(false, vec!["10.0.0.0/8".parse().unwrap()]);
        let clear = |text: &str| policy.allows_clear_text(&Url::parse(text).unwrap());
        assert!(clear("http://127.0.0.1/") && clear("http://localhost/") && clear("http://10.1.1.1/"));
        assert!(!clear("http://example.com/") && !clear("http://192.168.1.1/"));
    }
}
