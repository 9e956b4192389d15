use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{ContentHash, PolicyId};

/// What all sites of a region share. One document a region, so that a change of a platform's default
/// rewrites one object instead of every site's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionSettings {
    /// The region's name.
    pub region: String,
    /// The content of every shared policy, by its name. An edge uses new settings only when it has all parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<PolicyId, ContentHash>,
    /// Those that apply to every site, in order; sites name the others that select them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all_sites: Vec<PolicyId>,
    /// Which addresses an origin may have.
    #[serde(default)]
    pub origin_addresses: AddressPolicy,
}

/// Which addresses may be connected to as an origin: `allow` wins over `deny`, which stands besides what is
/// not globally reachable anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressPolicy {
    /// What the platform allows although it would be refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
    /// The cluster's own: nodes, Services, Pods, API server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<IpNet>,
}

/// Not globally reachable, from the IANA special-purpose address registries (RFC 6890 and updates),
/// multicast and reserved space.
const SPECIAL_V4: [&str; 17] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
];

impl AddressPolicy {
    /// True when `address` may be an origin. IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4) is judged by
    /// the IPv4 address.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = embedded_v4(address);
        if self.allow.iter().any(|net| net.contains(&address)) {
            return true;
        }
        !self.deny.iter().any(|net| net.contains(&address)) && globally_reachable(address)
    }
}

/// The IPv4 address that an IPv6 form carries, else the address itself.
fn embedded_v4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let v4 = |hi: u16, lo: u16| IpAddr::from(std::net::Ipv4Addr::from((u32::from(hi) << 16) | u32::from(lo)));
    match v6.segments() {
        _ if v6 == Ipv6Addr::UNSPECIFIED || v6 == Ipv6Addr::LOCALHOST => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, hi, lo]        // compatible and mapped
        | [0x64, 0xff9b, 0, 0, 0, 0, hi, lo]       // NAT64
        | [0x2002, hi, lo, ..] => v4(hi, lo),      // 6to4
        _ => address,
    }
}

fn globally_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !SPECIAL_V4
            .iter()
            .filter_map(|net| net.parse::<ipnet::Ipv4Net>().ok())
            .any(|net| net.contains(&v4)),
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            // Only 2000::/3 is allotted for global unicast; what is special inside it follows.
            (a & 0xe000) == 0x2000
                && !(a == 0x2001 && b < 0x0200) // 2001::/23, IETF protocol assignments
                && !(a == 0x2001 && b == 0x0db8) // documentation
                && !(a == 0x3fff && b < 0x1000) // documentation
                && a != 0x2002 // 6to4, judged by its IPv4 address before
                && !(a == 0x2620 && b == 0x004f) // AS112
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_globally_reachable_addresses_pass_by_default() {
        let policy = AddressPolicy::default();
        for good in ["1.1.1.1", "193.0.6.139", "2606:4700::1111", "2a00:1450::1"] {
            assert!(policy.allows(ip(good)), "{good}");
        }
        for bad in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.0.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "::7f00:1",
            "64:ff9b:1::1",
            "2001::1",
        ] {
            assert!(!policy.allows(ip(bad)), "{bad}");
        }
    }

    #[test]
    fn the_clusters_own_addresses_are_refused_and_the_platform_may_allow() {
        let policy = AddressPolicy {
            allow: vec!["10.9.0.0/24".parse().unwrap()],
            deny: vec!["193.0.6.0/24".parse().unwrap()],
        };
        assert!(!policy.allows(ip("193.0.6.139")));
        assert!(!policy.allows(ip("::ffff:193.0.6.139")));
        assert!(policy.allows(ip("10.9.0.7")));
        assert!(policy.allows(ip("::ffff:10.9.0.7")));
        assert!(!policy.allows(ip("10.9.1.7")));
    }
}
