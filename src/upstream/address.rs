//! What kind of place an IP address is. Pure: no resolver, no socket. An IPv6 address that carries an IPv4 address
//! (mapped, NAT64, 6to4, Teredo, ISATAP) is judged by the address it carries, because that is where packets end up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Reachable from anywhere.
    Public,
    /// This machine.
    Loopback,
    /// A private network (RFC 1918, CGNAT, unique local, site local).
    Private,
    /// Never a server: link-local (cloud metadata lives there), multicast, unspecified, broadcast, reserved.
    Never,
}

/// Metadata services outside the link-local range: Alibaba, Azure, Oracle; AWS and Google over IPv6.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254), Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)];

/// What kind of place `address` is.
pub fn classify(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

/// The address packets to `address` end up at, as far as the address itself tells: an IPv4 address that an IPv6
/// address carries, else the address.
pub fn effective(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => carried(v6).map_or(address, |found| IpAddr::V4(found.worst())),
        v4 => v4,
    }
}

fn classify_v4(v4: Ipv4Addr) -> Kind {
    let [a, b, c, _] = v4.octets();
    if METADATA_V4.contains(&v4) {
        return Kind::Never;
    }
    match (a, b, c) {
        (127, ..) => Kind::Loopback,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Kind::Private,
        // "This network", link-local, protocol assignments, documentation, 6to4 relays, benchmarks, multicast, reserved.
        (0 | 224..=255, ..) | (169, 254, _) | (192, 0, 0 | 2) | (192, 88, 99) | (198, 18..=19, _) => Kind::Never,
        (198, 51, 100) | (203, 0, 113) => Kind::Never,
        _ => Kind::Public,
    }
}

fn classify_v6(v6: Ipv6Addr) -> Kind {
    if v6 == Ipv6Addr::LOCALHOST {
        return Kind::Loopback;
    }
    let [first, second, ..] = v6.segments();
    if METADATA_V6.contains(&v6) || v6.is_unspecified() || v6.is_multicast() || matches!(first, 0xfe80..=0xfebf) {
        return Kind::Never;
    }
    if let Some(found) = carried(v6) {
        let inside = found.kind();
        // A tunnel to a public address is as good as the address; NAT64's local prefix is a private network at best.
        return if found.local && inside == Kind::Public { Kind::Private } else { inside };
    }
    match (first, second) {
        (0x0100, _) | (0x2001, 0x0db8) | (0x3fff, 0..=0x0fff) | (0x5f00, _) => Kind::Never,
        (0xfc00..=0xfdff, _) | (0xfec0..=0xfeff, _) => Kind::Private,
        // ::/96 without an IPv4 address in it, ORCHID, benchmarking: nothing to talk to.
        (0, _) | (0x2001, 0x0002 | 0x0010..=0x002f) => Kind::Never,
        _ => Kind::Public,
    }
}

/// IPv4 addresses inside an IPv6 address. Teredo names two: the relay's server and the client.
struct Carried {
    first: Ipv4Addr,
    second: Option<Ipv4Addr>,
    local: bool,
}

impl Carried {
    fn kind(&self) -> Kind {
        let second = self.second.map_or(Kind::Public, classify_v4);
        classify_v4(self.first).max(second)
    }

    fn worst(&self) -> Ipv4Addr {
        match self.second {
            Some(second) if classify_v4(second) > classify_v4(self.first) => second,
            _ => self.first,
        }
    }
}

fn carried(v6: Ipv6Addr) -> Option<Carried> {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = v6.segments();
    let join = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    let one = |first, local| Some(Carried { first, second: None, local });
    match (s0, s1, s2, s3, s4, s5) {
        // Mapped ::ffff:a.b.c.d, translated ::ffff:0:a.b.c.d, compatible ::a.b.c.d.
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) => one(join(s6, s7), false),
        (0, 0, 0, 0, 0, 0) if s6 != 0 => one(join(s6, s7), false),
        (0x0064, 0xff9b, 0, 0, 0, 0) => one(join(s6, s7), false),
        (0x0064, 0xff9b, 1, ..) => one(join(s6, s7), true),
        (0x2002, ..) => one(join(s1, s2), false),
        (0x2001, 0, ..) => Some(Carried { first: join(s2, s3), second: Some(join(!s6, !s7)), local: false }),
        (.., 0x0000 | 0x0200, 0x5efe) => one(join(s6, s7), true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        classify(text.parse().unwrap())
    }

    #[test]
    fn every_address_has_its_kind() {
        for public in
            ["1.1.1.1", "140.82.112.3", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2606:4700::1111"]
        {
            assert_eq!(kind(public), Kind::Public, "{public}");
        }
        for loopback in ["127.0.0.1", "127.255.0.9", "::1", "::ffff:7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
            assert_eq!(kind(loopback), Kind::Loopback, "{loopback}");
        }
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "64:ff9b:1::101:101",
            "2606:4700::5efe:a00:1",
        ] {
            assert_eq!(kind(private), Kind::Private, "{private}");
        }
        for never in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "2001:db8::1",
            "100::1",
            "::169.254.169.254",
        ] {
            assert_eq!(kind(never), Kind::Never, "{never}");
        }
    }

    #[test]
    fn a_teredo_address_is_as_bad_as_the_worse_of_its_two() {
        // Server 65.54.227.120 (public), client 192.0.2.45 obfuscated: documentation range.
        assert_eq!(kind("2001:0:4136:e378:8000:63bf:3fff:fdd2"), Kind::Never);
        // Client 10.0.0.1 obfuscated.
        assert_eq!(kind("2001:0:4136:e378:8000:63bf:f5ff:fffe"), Kind::Private);
    }

    #[test]
    fn the_effective_address_is_the_carried_one() {
        let effective = |text: &str| super::effective(text.parse().unwrap()).to_string();
        assert_eq!(effective("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(effective("64:ff9b::a01:203"), "10.1.2.3");
        assert_eq!(effective("fd12::1"), "fd12::1");
    }
}
