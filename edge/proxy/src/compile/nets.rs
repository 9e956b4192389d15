use std::net::IpAddr;

use ipnet::IpNet;

/// A set of networks: sorted disjoint ranges, searched by halving.
#[derive(Debug, Default)]
pub(crate) struct Nets {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Nets {
    pub(crate) fn new(nets: &[IpNet]) -> Self {
        let mut out = Self::default();
        for net in nets {
            match net {
                IpNet::V4(net) => out.v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => out.v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        merge(&mut out.v4);
        merge(&mut out.v6);
        out
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// IPv4 in its IPv6-mapped form counts as IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => within(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => within(&self.v6, v6.to_bits()),
        }
    }
}

fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges.drain(..) {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    *ranges = merged;
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= value);
    after
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|(_, end)| value <= *end)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// Few different bits, so that networks nest and touch.
    fn address() -> impl Strategy<Value = IpAddr> {
        let octet = || prop::sample::select(vec![0_u8, 1, 2, 127, 128, 254, 255]);
        let bytes = || [octet(), octet(), octet(), octet()];
        prop_oneof![
            bytes().prop_map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes))),
            bytes().prop_map(|bytes| Ipv4Addr::from(bytes).to_ipv6_mapped().into()),
            bytes().prop_map(|bytes| {
                let mut whole = [0_u8; 16];
                whole[..4].copy_from_slice(&bytes);
                IpAddr::V6(Ipv6Addr::from(whole))
            }),
        ]
    }

    fn net() -> impl Strategy<Value = IpNet> {
        (address(), 0_u8..=128).prop_map(|(address, length)| match address.to_canonical() {
            IpAddr::V4(v4) => IpNet::new(v4.into(), length % 33).unwrap(),
            v6 @ IpAddr::V6(_) => IpNet::new(v6, length).unwrap(),
        })
    }

    proptest! {
        #[test]
        fn a_set_contains_what_one_of_its_networks_does(
            nets in prop::collection::vec(net(), 0..6),
            address in address(),
        ) {
            let expected = nets.iter().any(|net| net.contains(&address.to_canonical()));
            prop_assert_eq!(Nets::new(&nets).contains(address), expected);
        }
    }

    #[test]
    fn nested_and_neighbouring_networks_are_one_set() {
        let nets: Vec<IpNet> = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "192.0.2.0/25",
            "192.0.2.128/25",
            "2001:db8::/32",
        ]
        .iter()
        .map(|net| net.parse().unwrap())
        .collect();
        let set = Nets::new(&nets);
        for inside in [
            "10.255.0.1",
            "10.1.2.3",
            "192.0.2.200",
            "2001:db8::5",
            "::ffff:10.0.0.1",
        ] {
            assert!(set.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.0", "9.255.255.255", "192.0.3.0", "2001:db9::", "::"] {
            assert!(!set.contains(outside.parse().unwrap()), "{outside}");
        }
        assert!(Nets::new(&[]).is_empty());
    }
}
