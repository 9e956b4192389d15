use breakwater_edge_config::{self as config, OriginPattern};

/// The Fetch standard's CORS protocol, encoded.
#[derive(Debug)]
pub(crate) struct Cors {
    any: bool,
    exact: Vec<Box<[u8]>>,
    subdomains: Vec<Subdomains>,
    pub(crate) methods: Vec<u8>,
    /// Empty: those that are asked for.
    pub(crate) headers: Vec<u8>,
    pub(crate) expose: Vec<u8>,
    pub(crate) credentials: bool,
    pub(crate) max_age: Vec<u8>,
}

#[derive(Debug)]
struct Subdomains {
    /// `https://`.
    scheme: Box<[u8]>,
    /// `.example.com` and `:port` where it isn't the scheme's own.
    tail: Box<[u8]>,
}

impl Cors {
    pub(crate) fn compile(cors: &config::Cors) -> Self {
        let mut out = Self {
            any: false,
            exact: Vec::new(),
            subdomains: Vec::new(),
            methods: cors.allow_methods.join(", ").into_bytes(),
            headers: cors.allow_headers.join(", ").into_bytes(),
            expose: cors.expose_headers.join(", ").into_bytes(),
            credentials: cors.allow_credentials,
            max_age: cors.max_age_secs.to_string().into_bytes(),
        };
        for origin in &cors.allow_origins {
            match origin {
                // A wildcard with credentials would trust every page with every visitor's session.
                OriginPattern::Any => out.any = !cors.allow_credentials,
                OriginPattern::Exact(origin) => out.exact.push(origin.as_bytes().into()),
                OriginPattern::Subdomains { scheme, suffix, port } => {
                    let port = port.map_or_else(String::new, |port| format!(":{port}"));
                    out.subdomains.push(Subdomains {
                        scheme: format!("{scheme}://").into_bytes().into(),
                        tail: format!(".{suffix}{port}").into_bytes().into(),
                    });
                }
            }
        }
        out
    }

    /// What `Access-Control-Allow-Origin` says to this `Origin`; `None`: it isn't trusted.
    pub(crate) fn allow<'a>(&self, origin: &'a [u8]) -> Option<&'a [u8]> {
        if self.any {
            return Some(b"*");
        }
        // `null` is what sandboxed and local documents send: nobody in particular.
        let trusted = origin != b"null"
            && (self.exact.iter().any(|exact| **exact == *origin)
                || self.subdomains.iter().any(|pattern| pattern.covers(origin)));
        trusted.then_some(origin)
    }
}

impl Subdomains {
    fn covers(&self, origin: &[u8]) -> bool {
        let Some(label) = origin
            .strip_prefix(&*self.scheme)
            .and_then(|rest| rest.strip_suffix(&*self.tail))
        else {
            return false;
        };
        !label.is_empty()
            && label
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(allow_origins: Vec<OriginPattern>, allow_credentials: bool) -> Cors {
        Cors::compile(&config::Cors {
            allow_origins,
            allow_methods: vec!["GET".to_owned()],
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            allow_credentials,
            max_age_secs: 60,
        })
    }

    #[test]
    fn only_trusted_origins_are_named() {
        let cors = cors(
            vec![
                OriginPattern::Exact("https://app.example.com".to_owned()),
                OriginPattern::Subdomains {
                    scheme: "https".to_owned(),
                    suffix: "example.org".to_owned(),
                    port: None,
                },
            ],
            true,
        );
        for good in [
            "https://app.example.com",
            "https://a.example.org",
            "https://a.b.example.org",
        ] {
            assert_eq!(cors.allow(good.as_bytes()), Some(good.as_bytes()));
        }
        for bad in [
            "https://app.example.com.evil.net",
            "http://app.example.com",
            "https://example.org",
            "https://evilexample.org",
            "https://evil.net/.example.org",
            "https://evil.net:1@a.example.org",
            "https://a.example.org:8443",
            "https://.example.org:1",
            "null",
            "",
        ] {
            assert_eq!(cors.allow(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn any_origin_is_never_trusted_with_credentials() {
        assert_eq!(
            cors(vec![OriginPattern::Any], false).allow(b"https://x"),
            Some(&b"*"[..])
        );
        assert_eq!(cors(vec![OriginPattern::Any], true).allow(b"https://x"), None);
    }
}
