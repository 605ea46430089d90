//! From where a request comes: the peer of the connection, unless that is a trusted proxy, which says for whom it asks.

use std::net::IpAddr;

use ipnet::IpNet;

/// The client's address. `forwarded`: the values of `X-Forwarded-For`, in order, each a list of addresses. Of those
/// the last one counts that no trusted proxy has: everything before it may be invented by the client.
pub fn client_address<'a>(peer: IpAddr, proxies: &[IpNet], forwarded: impl Iterator<Item = &'a str>) -> IpAddr {
    let trusted = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    if !trusted(&peer) {
        return peer;
    }
    let hops = forwarded.flat_map(|value| value.split(',')).filter_map(|hop| hop.trim().parse::<IpAddr>().ok());
    hops.filter(|hop| !trusted(hop)).last().unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        client_address(peer.parse().unwrap(), &proxies, forwarded.iter().copied()).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_may_say_for_whom_it_asks() {
        assert_eq!(client("192.0.2.7", &["198.51.100.9"]), "192.0.2.7");
        assert_eq!(client("10.0.0.1", &["198.51.100.9"]), "198.51.100.9");
        assert_eq!(client("::1", &["2001:db8::9, 10.0.0.2"]), "2001:db8::9");
    }

    #[test]
    fn what_a_client_invented_before_the_proxies_does_not_count() {
        assert_eq!(client("10.0.0.1", &["203.0.113.5, 198.51.100.9, 10.0.0.2"]), "198.51.100.9");
        assert_eq!(client("10.0.0.1", &["203.0.113.5", "198.51.100.9"]), "198.51.100.9");
        assert_eq!(client("10.0.0.1", &["nonsense, 10.0.0.3"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }
}
