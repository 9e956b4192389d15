//! Texts that name hosts.

use std::net::IpAddr;

use breakwater_edge_config::HostPattern;

use crate::problem::{Problem, reason};

/// A host that a site serves.
pub(crate) fn served(text: &str, standalone: bool) -> Result<HostPattern, Problem> {
    let host = HostPattern::parse(text)
        .map_err(|error| Problem::new(reason::INVALID_HOST, format!("hosts: {error}")))?;
    let local = host.name() == "localhost" || host.name().ends_with(".localhost");
    if local && !standalone {
        return Err(Problem::new(
            reason::INVALID_HOST,
            format!("hosts: {host} is every machine's own name; it is served without a cluster only"),
        ));
    }
    Ok(host)
}

/// A host that visitors are sent to or origins are asked for: a name or address, with a port if need be.
pub(crate) fn check_target(text: &str, place: &str, problems: &mut Vec<Problem>) {
    if !is_target(text) {
        problems.push(Problem::new(
            reason::INVALID_HOST,
            format!(
                "{place}: {text:?} is not a host: write a DNS name or an address, with a port if need be"
            ),
        ));
    }
}

fn is_target(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<std::net::Ipv6Addr>().is_ok()
                && (port.is_empty() || is_port(port.strip_prefix(':')))
        });
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    (port.is_none() || is_port(port)) && (name.parse::<IpAddr>().is_ok() || is_name(name))
}

fn is_port(text: Option<&str>) -> bool {
    text.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A DNS name of one label or more, any case; underscores are common inside networks.
fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_or_an_address_with_a_port_if_need_be() {
        for good in [
            "a.example",
            "app",
            "my_app.local:8080",
            "192.0.2.1",
            "192.0.2.1:80",
            "[::1]",
            "[::1]:80",
        ] {
            assert!(is_target(good), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a/b",
            "a:",
            "a:0",
            "a:70000",
            "::1",
            "[::1",
            "[::1]x",
            "-a.example",
            "a..b",
        ] {
            assert!(!is_target(bad), "{bad}");
        }
    }
}
