//! Origins whose every byte the test decides, and sites that forward to them.

use std::net::SocketAddr;

use breakwater_edge_config::bundle::SiteBundle;
use breakwater_edge_config::{
    Balancing, CachePolicy, Endpoint, Endpoints, HostHeader, Origin, OriginProtocol, OriginTimeouts, Retries,
    RouteAction,
};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use super::client::Raw;
use super::{PATIENCE, empty_site, route};

/// A listener of an origin; the test answers on each of its connections by itself.
pub(crate) struct RawOrigin {
    listener: TcpListener,
    /// The same socket, asked directly whether something is in its queue.
    queue: std::net::TcpListener,
    pub(crate) address: SocketAddr,
}

impl RawOrigin {
    pub(crate) fn bind() -> Self {
        Self::bind_to("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn bind_to(place: SocketAddr) -> Self {
        let queue = std::net::TcpListener::bind(place).unwrap();
        queue.set_nonblocking(true).unwrap();
        let address = queue.local_addr().unwrap();
        let listener = TcpListener::from_std(queue.try_clone().unwrap()).unwrap();
        Self {
            listener,
            queue,
            address,
        }
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Raw {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        Raw::new(accepted.expect("no connection came").unwrap().0)
    }

    /// True when no connection waits to be accepted, at this very moment.
    pub(crate) fn has_no_more(&self) -> bool {
        match self.queue.accept() {
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// An address where nobody listens, and nobody else will while this is held.
pub(crate) struct Nowhere {
    _socket: Socket,
    pub(crate) address: SocketAddr,
}

impl Nowhere {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self {
            _socket: socket,
            address,
        }
    }
}

/// An origin named `main` at these addresses, spoken to in HTTP/1.1, without retries.
pub(crate) fn origin_at(addresses: &[SocketAddr]) -> Origin {
    let list = addresses.iter().map(|address| Endpoint {
        address: address.ip(),
        port: address.port(),
        weight: 1,
    });
    Origin {
        name: "main".to_owned(),
        endpoints: Endpoints::Addresses { list: list.collect() },
        tls: None,
        protocol: OriginProtocol::Http1,
        host_header: HostHeader::Visitor,
        timeouts: OriginTimeouts::default(),
        retries: Retries { attempts: 0 },
        balancing: Balancing::RoundRobin,
        health_check: None,
        max_connections: 64,
        max_requests: 1024,
    }
}

/// A site that forwards everything to `origin`, says why a request ended early and caches nothing.
pub(crate) fn forward_site(name: &str, host: &str, origin: Origin) -> SiteBundle {
    let mut site = caching_site(name, host, origin);
    site.config.cache = Some(CachePolicy {
        enabled: false,
        ..CachePolicy::rfc()
    });
    site
}

/// The same, with the cache that a site without policies has.
pub(crate) fn caching_site(name: &str, host: &str, origin: Origin) -> SiteBundle {
    let mut config = empty_site(name, host);
    let action = RouteAction::Forward {
        origin: origin.name.clone(),
    };
    config.routes = vec![route("all", None, action)];
    config.origins = vec![origin];
    config.debug_headers = true;
    SiteBundle::plain(config)
}
