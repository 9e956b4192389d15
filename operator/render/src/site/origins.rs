//! Origins by address, DNS name and Service, with everything that is said about them.

use breakwater_crds::{self as crds, BalancingHashType, BalancingType};
use breakwater_edge_config::{
    AddressPolicy, Balancing, Endpoint, Endpoints, HashKey, HealthCheck, HostHeader, Origin, OriginProtocol,
    OriginTimeouts, OriginTls, Retries,
};

use super::{hosts, service};
use crate::index::NamespaceObjects;
use crate::problem::{Problem, reason};

/// What origins are judged by.
pub(crate) struct OriginContext<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) standalone: bool,
    pub(crate) addresses: &'a AddressPolicy,
    /// `None` when the namespace holds nothing that is known.
    pub(crate) objects: Option<&'a NamespaceObjects>,
}

/// What came of an origin, besides problems of the object itself.
pub(crate) struct Compiled {
    pub(crate) origin: Origin,
    /// Problems of the Service.
    pub(crate) unresolved: Vec<Problem>,
}

/// An origin; Secrets are only named, the caller brings them.
pub(crate) fn origin(
    origin: &crds::Origin,
    context: &OriginContext<'_>,
    problems: &mut Vec<Problem>,
) -> Compiled {
    let crds::Origin {
        name,
        addresses,
        dns,
        service,
        tls,
        protocol,
        host_header,
        timeouts,
        retries,
        balancing,
        health_check,
        max_connections,
        max_requests,
    } = origin;
    let place = format!("origin {name}");
    let mut unresolved = Vec::new();
    let endpoints = if let Some(dns) = dns {
        by_name(dns, &place, context, problems)
    } else if let Some(wanted) = service {
        match service::endpoints(wanted, context.namespace, context.objects) {
            Ok((list, notes)) => {
                unresolved.extend(notes.into_iter().map(|note| note.at(&place)));
                Endpoints::Service { list }
            }
            Err(problem) => {
                let reason = problem.reason.to_owned();
                unresolved.push(Problem::new(
                    problem.reason,
                    format!("{place}: {}", problem.message),
                ));
                Endpoints::Unavailable { reason }
            }
        }
    } else {
        by_addresses(addresses, &place, context, problems)
    };
    if let Some(host) = host_header {
        hosts::check_target(host, &format!("{place}: hostHeader"), problems);
    }
    let compiled = Origin {
        name: name.clone(),
        endpoints,
        tls: tls.as_ref().map(self::tls),
        protocol: match protocol {
            crds::OriginProtocol::HTTP1 => OriginProtocol::Http1,
            crds::OriginProtocol::HTTP2 => OriginProtocol::Http2,
        },
        host_header: host_header.clone().map_or(HostHeader::Visitor, HostHeader::Fixed),
        timeouts: self::timeouts(timeouts, &place, problems),
        retries: retries.map_or_else(Retries::default, |attempts| Retries { attempts }),
        balancing: self::balancing(balancing),
        health_check: health_check
            .as_ref()
            .map(|check| self::health_check(check, &place, problems)),
        max_connections: max_connections.unwrap_or(512),
        max_requests: max_requests.unwrap_or(4096),
    };
    Compiled {
        origin: compiled,
        unresolved,
    }
}

fn by_addresses(
    addresses: &[crds::OriginAddress],
    place: &str,
    context: &OriginContext<'_>,
    problems: &mut Vec<Problem>,
) -> Endpoints {
    let mut list = Vec::new();
    for crds::OriginAddress {
        address,
        port,
        weight,
    } in addresses
    {
        let Ok(parsed) = address.parse() else {
            problems.push(Problem::invalid(format!(
                "{place}: {address:?} is not an address; for a name use dns"
            )));
            continue;
        };
        if !context.addresses.allows(parsed) {
            problems.push(Problem::new(
                reason::FORBIDDEN_ORIGIN,
                format!(
                    "{place}: {address} is not a public address, or belongs to the cluster; use a Service of this \
                     namespace, or ask the platform to allow its network"
                ),
            ));
        }
        list.push(Endpoint {
            address: parsed,
            port: *port,
            weight: weight.unwrap_or(1),
        });
    }
    if addresses.iter().all(|address| address.weight == Some(0)) {
        problems.push(Problem::invalid(format!(
            "{place}: at least one weight must be above 0"
        )));
    }
    list.sort();
    Endpoints::Addresses { list }
}

fn by_name(
    dns: &crds::DnsOrigin,
    place: &str,
    context: &OriginContext<'_>,
    problems: &mut Vec<Problem>,
) -> Endpoints {
    let crds::DnsOrigin { name, port } = dns;
    let last = name.rsplit('.').next().unwrap_or_default();
    if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) {
        problems.push(Problem::invalid(format!(
            "{place}: {name} is an address: write it in addresses"
        )));
    }
    // The edge judges each address that it connects to; a name that can only be refused is told here.
    let of_cluster = [".svc", ".cluster.local"]
        .iter()
        .any(|suffix| name.ends_with(suffix));
    let of_host = !context.standalone && (name == "localhost" || name.ends_with(".localhost"));
    if of_cluster || of_host {
        problems.push(Problem::new(
            reason::FORBIDDEN_ORIGIN,
            format!(
                "{place}: {name} is a name inside the cluster; use service for a Service of this namespace"
            ),
        ));
    }
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        (1..=63).contains(&label.len()) && bytes.all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if !name.split('.').all(is_label) {
        problems.push(Problem::invalid(format!("{place}: {name:?} is not a DNS name")));
    }
    Endpoints::Dns {
        name: name.clone(),
        port: *port,
    }
}

/// File and pair names are those of the Secrets.
fn tls(tls: &crds::OriginTls) -> OriginTls {
    let crds::OriginTls {
        server_name,
        ca_ref,
        client_certificate_ref,
    } = tls;
    OriginTls {
        server_name: server_name.clone(),
        ca_file: ca_ref.as_ref().map(|secret| super::file_name(&secret.name)),
        client_key_pair: client_certificate_ref
            .as_ref()
            .map(|secret| super::file_name(&secret.name)),
    }
}

fn timeouts(timeouts: &crds::OriginTimeouts, place: &str, problems: &mut Vec<Problem>) -> OriginTimeouts {
    let crds::OriginTimeouts {
        connect,
        first_byte,
        between_bytes,
    } = timeouts;
    let default = OriginTimeouts::default();
    let mut millis = |duration: &Option<crds::Duration>, default, field| {
        positive(
            duration.as_ref(),
            default,
            &format!("{place}: timeouts.{field}"),
            problems,
        )
    };
    OriginTimeouts {
        connect_ms: millis(connect, default.connect_ms, "connect"),
        first_byte_ms: millis(first_byte, default.first_byte_ms, "firstByte"),
        between_bytes_ms: millis(between_bytes, default.between_bytes_ms, "betweenBytes"),
    }
}

fn positive(
    duration: Option<&crds::Duration>,
    default: u64,
    place: &str,
    problems: &mut Vec<Problem>,
) -> u64 {
    match crds::millis_or(duration, default) {
        Ok(0) => problems.push(Problem::invalid(format!("{place}: must be longer than 0"))),
        Ok(millis) => return millis,
        Err(error) => problems.push(Problem::invalid(format!("{place}: {error}"))),
    }
    default
}

fn balancing(balancing: &crds::Balancing) -> Balancing {
    let crds::Balancing { kind, hash } = balancing;
    match kind {
        BalancingType::RoundRobin => Balancing::RoundRobin,
        BalancingType::LeastRequests => Balancing::LeastRequests,
        BalancingType::ConsistentHash => {
            let crds::BalancingHash { kind, header } = hash.clone().unwrap_or_default();
            Balancing::ConsistentHash {
                key: match kind {
                    BalancingHashType::Path => HashKey::Path,
                    BalancingHashType::ClientAddress => HashKey::ClientAddress,
                    BalancingHashType::Header => {
                        HashKey::Header(header.unwrap_or_default().to_ascii_lowercase())
                    }
                },
            }
        }
    }
}

fn health_check(check: &crds::HealthCheck, place: &str, problems: &mut Vec<Problem>) -> HealthCheck {
    let crds::HealthCheck {
        path,
        host,
        interval,
        timeout,
        healthy_threshold,
        unhealthy_threshold,
        statuses,
    } = check;
    let place = format!("{place}: healthCheck");
    if let Some(host) = host {
        hosts::check_target(host, &format!("{place}.host"), problems);
    }
    let interval_ms = positive(interval.as_ref(), 5_000, &format!("{place}.interval"), problems);
    if interval_ms < 1_000 {
        problems.push(Problem::invalid(format!("{place}.interval: must be 1s or more")));
    }
    let mut statuses = statuses.clone();
    statuses.sort_unstable();
    statuses.dedup();
    HealthCheck {
        path: path.clone(),
        host: host.clone(),
        interval_ms,
        timeout_ms: positive(timeout.as_ref(), 2_000, &format!("{place}.timeout"), problems),
        healthy_threshold: healthy_threshold.unwrap_or(2),
        unhealthy_threshold: unhealthy_threshold.unwrap_or(3),
        statuses,
    }
}
