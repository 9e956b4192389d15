use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use breakwater_edge_config::AddressPolicy;

/// Who named an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressClass {
    /// The site's author, or DNS.
    Written,
    /// The operator, from a Service's `EndpointSlices`, which it has checked.
    Service,
}

/// Decides which addresses are connected to. Asked before every connection, with the address itself: a name
/// may resolve to something else the next time.
#[derive(Debug)]
pub(super) struct AddressGuard {
    state: ArcSwap<State>,
}

#[derive(Clone, Debug)]
struct State {
    policy: AddressPolicy,
    own: HashSet<IpAddr>,
    allow_local: bool,
    /// Counts changes; from 1 on.
    generation: u64,
}

impl AddressGuard {
    pub(super) fn new(allow_local: bool, own: HashSet<IpAddr>) -> Self {
        let state = State {
            policy: AddressPolicy::default(),
            own,
            allow_local,
            generation: 1,
        };
        Self {
            state: ArcSwap::from_pointee(state),
        }
    }

    /// Replaces the region's policy; true when it is another one.
    pub(super) fn set_policy(&self, policy: &AddressPolicy) -> bool {
        self.change(|state| {
            let differs = state.policy != *policy;
            state.policy = policy.clone();
            differs
        })
    }

    /// Replaces the addresses of this machine's interfaces; true when they are others.
    pub(super) fn set_own(&self, own: &HashSet<IpAddr>) -> bool {
        self.change(|state| {
            let differs = state.own != *own;
            state.own.clone_from(own);
            differs
        })
    }

    fn change(&self, change: impl Fn(&mut State) -> bool) -> bool {
        let mut differs = false;
        self.state.rcu(|old| {
            let mut new = State::clone(old);
            differs = change(&mut new);
            if differs {
                new.generation += 1;
                Arc::new(new)
            } else {
                Arc::clone(old)
            }
        });
        differs
    }

    /// Changes whenever an answer of [`AddressGuard::permits`] may change.
    pub(super) fn generation(&self) -> u64 {
        self.state.load().generation
    }

    /// True when a connection to `address` may be made.
    pub(super) fn permits(&self, address: IpAddr, class: AddressClass) -> bool {
        let state = self.state.load();
        let address = address.to_canonical();
        if state.policy.allow.iter().any(|net| net.contains(&address)) {
            return true;
        }
        if state.allow_local {
            // Without a cluster: the machine and its network are the author's own.
            return !address.is_multicast() && !state.policy.deny.iter().any(|net| net.contains(&address));
        }
        if state.own.contains(&address) {
            return false;
        }
        match class {
            AddressClass::Written => state.policy.allows(address),
            // A Pod's address is neither the node's nor one of these.
            AddressClass::Service => !is_node_local(address),
        }
    }
}

fn is_node_local(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

/// The addresses of this machine's interfaces.
pub(super) fn own_addresses() -> std::io::Result<HashSet<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?
        .iter()
        .map(|interface| interface.ip().to_canonical())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn guard(allow_local: bool) -> AddressGuard {
        AddressGuard::new(
            allow_local,
            HashSet::from([ip("193.0.6.139"), ip("10.1.0.5"), ip("2a00::5")]),
        )
    }

    #[test]
    fn each_class_of_address_has_its_rule() {
        use AddressClass::{Service, Written};
        for (address, class, allowed) in [
            ("1.1.1.1", Written, true),
            ("10.1.0.9", Written, false),
            ("127.0.0.1", Written, false),
            ("::ffff:10.1.0.9", Written, false),
            ("193.0.6.139", Written, false), // public, but this machine's own
            ("::ffff:193.0.6.139", Written, false),
            ("2a00::5", Written, false),
            ("10.1.0.9", Service, true),
            ("10.1.0.5", Service, false), // a Pod on hostNetwork of this node
            ("127.0.0.1", Service, false),
            ("::1", Service, false),
            ("169.254.169.254", Service, false),
            ("fe80::1", Service, false),
            ("0.0.0.0", Service, false),
            ("::ffff:127.0.0.1", Service, false),
        ] {
            assert_eq!(
                guard(false).permits(ip(address), class),
                allowed,
                "{address} {class:?}"
            );
        }
    }

    #[test]
    fn what_the_platform_allows_wins_and_each_change_is_told() {
        let guard = guard(false);
        let before = guard.generation();
        let policy = AddressPolicy {
            allow: vec!["10.1.0.0/24".parse().unwrap()],
            deny: vec!["1.1.1.0/24".parse().unwrap()],
        };
        assert!(guard.set_policy(&policy));
        assert!(guard.generation() > before);
        assert!(!guard.set_policy(&policy), "the same again is no change");
        assert!(guard.permits(ip("10.1.0.9"), AddressClass::Written));
        assert!(guard.permits(ip("10.1.0.5"), AddressClass::Service));
        assert!(!guard.permits(ip("1.1.1.1"), AddressClass::Written));
        assert!(guard.set_own(&HashSet::from([ip("9.9.9.9")])));
        assert!(!guard.permits(ip("9.9.9.9"), AddressClass::Written));
    }

    #[test]
    fn without_a_cluster_the_machine_itself_may_be_an_origin_but_not_what_is_denied() {
        let guard = guard(true);
        guard.set_policy(&AddressPolicy {
            allow: vec![],
            deny: vec!["127.0.0.9/32".parse().unwrap()],
        });
        assert!(guard.permits(ip("127.0.0.1"), AddressClass::Written));
        assert!(guard.permits(ip("193.0.6.139"), AddressClass::Written));
        assert!(!guard.permits(ip("127.0.0.9"), AddressClass::Written));
        assert!(!guard.permits(ip("224.0.0.1"), AddressClass::Written));
    }

    #[test]
    fn this_machines_loopback_address_is_found() {
        assert!(own_addresses().unwrap().contains(&ip("127.0.0.1")));
    }
}
