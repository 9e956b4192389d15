//! Request fields by which a visitor could make an origin answer another question than the one that is asked.

/// Compares as origins do that hand fields over as variables (CGI, WSGI, PHP): whatever the case, and with
/// `_` for `-`.
pub(crate) fn is(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len() && begins(name, known)
}

fn begins(name: &[u8], prefix: &[u8]) -> bool {
    let plain = |b: &u8| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() };
    name.get(..prefix.len())
        .is_some_and(|start| start.iter().map(plain).eq(prefix.iter().copied()))
}

/// Families of fields by which origins let themselves be told another host, path, method or visitor.
const FAMILIES: [&[u8]; 6] = [
    b"x-forwarded",
    b"x-http-method",
    b"x-invoke-",
    b"x-middleware-",
    b"x-original-",
    b"x-rewrite-",
];

/// Such fields beyond the families.
const FIELDS: [&[u8]; 25] = [
    b"cf-connecting-ip",
    b"client-ip",
    b"fastly-client-ip",
    b"forwarded",
    b"front-end-https",
    b"true-client-ip",
    b"x-amz-website-redirect-location",
    b"x-backend-host",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-device-class",
    b"x-host",
    b"x-host-override",
    b"x-http-destinationurl",
    b"x-http-host-override",
    b"x-matched-path",
    b"x-method-override",
    b"x-now-route-matches",
    b"x-originating-ip",
    b"x-real-host",
    b"x-real-ip",
    b"x-remote-addr",
    b"x-remote-ip",
    b"x-scheme",
    b"x-url-scheme",
];

/// True for a field that could change what is stored for everybody. Those that describe a body are among
/// them: what may be stored is asked for without one.
pub(crate) fn steers(name: &[u8]) -> bool {
    begins(name, b"content-")
        || FAMILIES.iter().any(|family| begins(name, family))
        || FIELDS.iter().any(|known| is(name, known))
}

/// Names that frame messages, or that are written here and that origins rely on.
const OURS: [&[u8]; 15] = [
    b"cdn-loop",
    b"connection",
    b"content-length",
    b"expect",
    b"forwarded",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
];

/// True for one of those names, or `x-forwarded-proto`, written with `_`: behind many servers it couldn't be
/// told from the real one.
pub(crate) fn poses(name: &[u8]) -> bool {
    name.contains(&b'_') && (is(name, b"x-forwarded-proto") || OURS.iter().any(|own| is(name, own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steering_fields_are_known_however_they_are_written() {
        for name in [
            "X-Forwarded-Host",
            "x_forwarded_host",
            "X-Forwarded",
            "X-HTTP-Method-Override",
            "X_HTTP_Method",
            "X-Original-URL",
            "x-rewrite-uri",
            "Forwarded",
            "X-Host",
            "Content-Type",
            "front-end-https",
        ] {
            assert!(steers(name.as_bytes()), "{name}");
        }
        for name in [
            "accept",
            "x-api-key",
            "x-hostile",
            "user-agent",
            "x-fo",
            "cookie",
            "",
        ] {
            assert!(!steers(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn only_names_with_underscores_pose_as_ours() {
        for name in [
            "Content_Length",
            "TRANSFER_ENCODING",
            "x_forwarded-for",
            "x-forwarded_proto",
            "cdn_loop",
        ] {
            assert!(poses(name.as_bytes()), "{name}");
        }
        for name in ["content-length", "x-forwarded-for", "api_key", "host_x", "_"] {
            assert!(!poses(name.as_bytes()), "{name}");
        }
    }
}
