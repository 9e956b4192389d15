use std::io;
use std::net::{SocketAddr, TcpListener};

use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use crate::handover::Place;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Plain HTTP.
    Http,
    /// HTTPS.
    Https,
}

/// A listening socket, not yet given to a runtime.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) place: Place,
    pub(crate) socket: TcpListener,
}

/// All sockets of one address: one for each worker, so that the kernel spreads connections over them.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) place: Place,
    pub(crate) sockets: Vec<TcpListener>,
}

/// At least `count` sockets for one place, those that are there first; for port 0 all on the port that the
/// first one gets.
pub(crate) fn bind_group(
    mut place: Place,
    mut sockets: Vec<TcpListener>,
    dual_stack: bool,
    count: usize,
) -> io::Result<Group> {
    while sockets.len() < count.max(1) {
        let socket = bind(place.address, dual_stack)?;
        place.address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(Group { place, sockets })
}

fn bind(address: SocketAddr, dual_stack: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// True when the IPv6 wildcard `address` should take IPv4 too: nothing else in the list does.
pub(crate) fn is_dual_stack(address: SocketAddr, all: &[SocketAddr]) -> bool {
    address.is_ipv6()
        && address.ip().is_unspecified()
        && !all
            .iter()
            .any(|other| other.is_ipv4() && other.port() == address.port())
}

/// Deals the sockets of all groups out to `workers` workers, in turn.
pub(crate) fn deal(groups: Vec<Group>, workers: usize) -> Vec<Vec<Listener>> {
    let mut hands: Vec<Vec<Listener>> = (0..workers.max(1)).map(|_| Vec::new()).collect();
    let count = hands.len();
    for group in groups {
        for (at, socket) in group.sockets.into_iter().enumerate() {
            if let Some(hand) = hands.get_mut(at % count) {
                hand.push(Listener {
                    place: group.place,
                    socket,
                });
            }
        }
    }
    hands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(role: Role, count: usize) -> Group {
        let address = "127.0.0.1:0".parse().unwrap();
        bind_group(Place { role, address }, Vec::new(), false, count).unwrap()
    }

    #[test]
    fn every_worker_gets_a_socket_of_each_address_and_port_zero_is_one_port() {
        let groups = vec![group(Role::Http, 3), group(Role::Https, 3)];
        for group in &groups {
            for socket in &group.sockets {
                assert_eq!(socket.local_addr().unwrap(), group.place.address);
            }
        }
        let hands = deal(groups, 3);
        assert_eq!(hands.len(), 3);
        for hand in hands {
            assert_eq!(
                hand.iter().map(|l| l.place.role).collect::<Vec<_>>(),
                [Role::Http, Role::Https]
            );
        }
    }

    #[test]
    fn more_sockets_than_workers_are_all_served() {
        let hands = deal(vec![group(Role::Http, 5)], 2);
        assert_eq!(hands.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn an_ipv6_wildcard_takes_ipv4_unless_ipv4_has_its_own() {
        let v6: SocketAddr = "[::]:80".parse().unwrap();
        assert!(is_dual_stack(v6, &[v6]));
        assert!(!is_dual_stack(v6, &[v6, "0.0.0.0:80".parse().unwrap()]));
        assert!(!is_dual_stack("[::1]:80".parse().unwrap(), &[]));
    }
}
