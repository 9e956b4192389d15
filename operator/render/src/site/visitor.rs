//! What concerns visitors: redirect to HTTPS, HSTS, CORS, hotlinks, their address.

use std::net::IpAddr;

use breakwater_crds as crds;
use breakwater_edge_config::{
    ClientAddress, Cors, FrameOptions, HostPattern, Hotlink, Hsts, HttpsRedirect, OriginPattern,
    SecurityHeaders, TlsSettings, TlsVersion,
};
use ipnet::IpNet;

use crate::problem::{Problem, reason};

const YEAR_SECS: u64 = 31_536_000;

/// TLS towards visitors, without certificates. The port of the redirect is the region's and comes later.
pub(crate) fn tls(tls: &crds::Tls, problems: &mut Vec<Problem>) -> TlsSettings {
    let crds::Tls {
        certificate_refs,
        redirect,
        hsts,
        min_version,
    } = tls;
    let plain = certificate_refs.is_empty();
    let enabled = redirect.enabled.unwrap_or(!plain);
    if plain && enabled {
        problems.push(Problem::invalid(
            "tls.redirect: the site has no certificate to redirect to: name one in tls.certificateRefs",
        ));
    }
    if plain && hsts.is_some() {
        problems.push(Problem::invalid(
            "tls.hsts: it is sent over TLS only, and the site has no certificate: name one in tls.certificateRefs",
        ));
    }
    TlsSettings {
        min_version: match min_version {
            crds::TlsVersion::V1_2 => TlsVersion::Tls12,
            crds::TlsVersion::V1_3 => TlsVersion::Tls13,
        },
        redirect: enabled.then(|| HttpsRedirect {
            status: redirect.status.unwrap_or(308),
            port: 443,
        }),
        hsts: hsts.as_ref().map(|hsts| self::hsts(hsts, problems)),
    }
}

fn hsts(hsts: &crds::Hsts, problems: &mut Vec<Problem>) -> Hsts {
    let crds::Hsts {
        max_age,
        include_sub_domains,
        preload,
    } = hsts;
    let max_age_secs = seconds(max_age.as_ref(), YEAR_SECS, "tls.hsts.maxAge", problems);
    if *preload && (!include_sub_domains || max_age_secs < YEAR_SECS) {
        problems.push(Problem::invalid(
            "tls.hsts.preload: the browsers' lists take it only with includeSubDomains: true and a maxAge of 365d \
             or more",
        ));
    }
    Hsts {
        max_age_secs,
        include_sub_domains: *include_sub_domains,
        preload: *preload,
    }
}

fn seconds(duration: Option<&crds::Duration>, default: u64, field: &str, problems: &mut Vec<Problem>) -> u64 {
    match crds::millis_or(duration, default * 1000) {
        Ok(millis) => millis / 1000,
        Err(error) => {
            problems.push(Problem::invalid(format!("{field}: {error}")));
            default
        }
    }
}

pub(crate) fn security_headers(headers: &crds::SecurityHeaders) -> SecurityHeaders {
    let crds::SecurityHeaders {
        no_sniff,
        frame_options,
        referrer_policy,
        content_security_policy,
        permissions_policy,
        cross_origin_opener_policy,
    } = headers;
    SecurityHeaders {
        no_sniff: *no_sniff,
        frame_options: frame_options.map(|options| match options {
            crds::FrameOptions::Deny => FrameOptions::Deny,
            crds::FrameOptions::SameOrigin => FrameOptions::SameOrigin,
        }),
        referrer_policy: referrer_policy.clone(),
        content_security_policy: content_security_policy.clone(),
        permissions_policy: permissions_policy.clone(),
        cross_origin_opener_policy: cross_origin_opener_policy.clone(),
    }
}

pub(crate) fn cors(cors: &crds::Cors, problems: &mut Vec<Problem>) -> Cors {
    let crds::Cors {
        allow_origins,
        allow_methods,
        allow_headers,
        expose_headers,
        allow_credentials,
        max_age,
    } = cors;
    let lower = |names: &[String]| {
        names
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect::<Vec<_>>()
    };
    if *allow_credentials && allow_origins.iter().any(|origin| origin == "*") {
        problems.push(Problem::invalid(
            "cors: allowCredentials with origin * would let every site act as the visitor: list the trusted origins",
        ));
    }
    let simple = || ["GET", "HEAD", "POST"].map(str::to_owned).to_vec();
    Cors {
        allow_origins: allow_origins
            .iter()
            .enumerate()
            .filter_map(|(i, text)| {
                let parsed = origin_pattern(text);
                if parsed.is_none() {
                    problems.push(Problem::invalid(format!(
                        "cors.allowOrigins[{i}]: {text:?} is not an origin: write https://app.example.com, \
                         https://*.example.com or *; no path, no trailing slash"
                    )));
                }
                parsed
            })
            .collect(),
        allow_methods: if allow_methods.is_empty() {
            simple()
        } else {
            allow_methods.clone()
        },
        allow_headers: lower(allow_headers),
        expose_headers: lower(expose_headers),
        allow_credentials: *allow_credentials,
        max_age_secs: seconds(max_age.as_ref(), 600, "cors.maxAge", problems),
    }
}

/// Browsers leave the scheme's own port out of `Origin`, so it goes here too.
fn origin_pattern(text: &str) -> Option<OriginPattern> {
    if text == "*" {
        return Some(OriginPattern::Any);
    }
    let (scheme, rest) = text.split_once("://")?;
    let own_port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?)),
        None => (rest, None),
    };
    let port = port.filter(|port| *port != own_port);
    let name = host.strip_prefix("*.").unwrap_or(host);
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !name.split('.').all(label) {
        return None;
    }
    Some(if name.len() < host.len() {
        OriginPattern::Subdomains {
            scheme: scheme.to_owned(),
            suffix: name.to_owned(),
            port,
        }
    } else {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        OriginPattern::Exact(format!("{scheme}://{name}{port}"))
    })
}

pub(crate) fn hotlink(hotlink: &crds::Hotlink, problems: &mut Vec<Problem>) -> Hotlink {
    let crds::Hotlink {
        allow_referers,
        allow_empty,
        extensions,
        redirect,
    } = hotlink;
    let mut extensions = extensions.clone();
    extensions.sort();
    extensions.dedup();
    Hotlink {
        allow_referers: allow_referers
            .iter()
            .filter_map(|text| {
                HostPattern::parse(text)
                    .map_err(|error| {
                        let message = format!("hotlink.allowReferers: {error}");
                        problems.push(Problem::new(reason::INVALID_HOST, message));
                    })
                    .ok()
            })
            .collect(),
        allow_empty: allow_empty.unwrap_or(true),
        extensions,
        redirect: redirect.clone(),
    }
}

pub(crate) fn client_address(
    client: Option<&crds::ClientAddress>,
    problems: &mut Vec<Problem>,
) -> ClientAddress {
    let Some(crds::ClientAddress {
        trusted_proxies,
        header,
    }) = client
    else {
        return ClientAddress::default();
    };
    ClientAddress {
        trusted_proxies: trusted_proxies
            .iter()
            .filter_map(|text| {
                let parsed = network(text);
                if parsed.is_none() {
                    problems.push(Problem::invalid(format!(
                        "clientAddress.trustedProxies: {text:?} is neither a network such as 203.0.113.0/24 nor an \
                         address"
                    )));
                }
                parsed
            })
            .collect(),
        header: Some(header.as_deref().unwrap_or("x-forwarded-for").to_ascii_lowercase()),
    }
}

fn network(text: &str) -> Option<IpNet> {
    let net: Option<IpNet> = text.parse().ok();
    net.map(|net| net.trunc())
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        let exact = |text: &str| Some(OriginPattern::Exact(text.to_owned()));
        for (text, expected) in [
            ("https://a.example", exact("https://a.example")),
            ("https://a.example:443", exact("https://a.example")),
            ("http://a.example:8080", exact("http://a.example:8080")),
            ("http://localhost:80", exact("http://localhost")),
            ("*", Some(OriginPattern::Any)),
            ("https://a.example/", None),
            ("https://a..example", None),
            ("https://a.example:0", None),
            ("ftp://a.example", None),
            ("a.example", None),
        ] {
            assert_eq!(origin_pattern(text), expected, "{text}");
        }
        let subdomains = OriginPattern::Subdomains {
            scheme: "https".into(),
            suffix: "a.example".into(),
            port: Some(8443),
        };
        assert_eq!(origin_pattern("https://*.a.example:8443"), Some(subdomains));
    }
}
