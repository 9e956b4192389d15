use breakwater_edge_config::{self as config, PathRewrite, RouteAction};
use bytes::Bytes;

use super::edits::value_of;
use super::policies::EffectiveCache;
use super::{CompileError, Edits, Matcher, Rate};

/// A compiled route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: Box<str>,
    pub(crate) matcher: Matcher,
    pub(crate) action: Action,
    pub(crate) path: Option<PathChange>,
    pub(crate) host: Option<Box<[u8]>>,
    pub(crate) request_headers: Edits,
    pub(crate) response_headers: Edits,
    pub(crate) rates: Vec<Rate>,
    pub(crate) cache: EffectiveCache,
    /// See [`EffectiveCache::fingerprint`].
    pub(crate) cache_fingerprint: Box<[u8]>,
    pub(crate) opaque_paths: bool,
}

/// What a route does.
#[derive(Debug)]
pub(crate) enum Action {
    /// Position in the site's origins.
    Forward(usize),
    Redirect(RedirectPlan),
    Respond(RespondPlan),
}

#[derive(Debug)]
pub(crate) struct RedirectPlan {
    pub(crate) status: u16,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) host: Option<Box<[u8]>>,
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<PathChange>,
    pub(crate) strip_query: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

#[derive(Debug)]
pub(crate) struct RespondPlan {
    pub(crate) status: u16,
    pub(crate) content_type: Box<[u8]>,
    pub(crate) body: Bytes,
}

/// Another path.
#[derive(Debug)]
pub(crate) enum PathChange {
    Full(Box<[u8]>),
    /// The matched prefix (without trailing slash) becomes this one (without trailing slash).
    Prefix {
        from: Box<[u8]>,
        to: Box<[u8]>,
    },
}

impl PathChange {
    fn compile(change: &PathRewrite, matcher: &Matcher, route: &str) -> Result<Self, CompileError> {
        fn checked<'p>(path: &'p str, route: &str) -> Result<&'p [u8], CompileError> {
            let good = path.starts_with('/') && path.bytes().all(crate::phases::parse::is_path_byte);
            if good {
                Ok(path.as_bytes())
            } else {
                Err(CompileError::Path {
                    route: route.to_owned(),
                    path: path.escape_debug().to_string(),
                })
            }
        }
        match change {
            PathRewrite::Full(path) => Ok(Self::Full(checked(path, route)?.into())),
            PathRewrite::ReplacePrefix(to) => {
                let from = matcher.prefix().ok_or_else(|| CompileError::PrefixRewrite {
                    route: route.to_owned(),
                })?;
                let to = checked(to, route)?;
                Ok(Self::Prefix {
                    from: from.into(),
                    to: to.strip_suffix(b"/").unwrap_or(to).into(),
                })
            }
        }
    }

    /// Writes the new path for the old one.
    pub(crate) fn write(&self, path: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Full(full) => out.extend_from_slice(full),
            Self::Prefix { from, to } => {
                let rest = path.strip_prefix(&**from).unwrap_or(path);
                out.extend_from_slice(to);
                out.extend_from_slice(rest);
                if to.is_empty() && rest.is_empty() {
                    out.push(b'/');
                }
            }
        }
    }
}

impl Route {
    /// The path that is in the key: the visitor's own, so that a purge finds what visitors ask for; where all
    /// are rewritten to one, that one.
    pub(crate) fn key_path<'p>(&'p self, path: &'p [u8]) -> &'p [u8] {
        match &self.path {
            Some(PathChange::Full(full)) => full,
            _ => path,
        }
    }

    /// Whether a request for this path may come here, as it is written or decoded.
    pub(crate) fn may_serve(&self, path: &[u8]) -> bool {
        self.matcher.may_match(path)
    }

    pub(crate) fn compile(
        route: &config::Route,
        site: &config::SiteConfig,
        cache: EffectiveCache,
    ) -> Result<Self, CompileError> {
        let matcher = Matcher::compile(&route.matches);
        let name = &route.name;
        let target = [site.uid.as_bytes(), name.as_bytes()];
        let change = |path: Option<&PathRewrite>| {
            path.map(|path| PathChange::compile(path, &matcher, name))
                .transpose()
        };
        let place = |what: &str| format!("route {name}: {what}");
        let rewrite = route.rewrite.as_ref();
        Ok(Self {
            action: match &route.action {
                RouteAction::Forward { origin } => Action::Forward(
                    site.origins
                        .iter()
                        .position(|o| o.name == *origin)
                        .ok_or_else(|| CompileError::NoOrigin {
                            route: name.clone(),
                            origin: origin.clone(),
                        })?,
                ),
                RouteAction::Redirect(redirect) => Action::Redirect(RedirectPlan {
                    status: match redirect.status {
                        status @ (301 | 302 | 303 | 307 | 308) => status,
                        status => return Err(CompileError::status(name, status)),
                    },
                    scheme: scheme(redirect.scheme.as_deref(), name)?,
                    host: redirect
                        .host
                        .as_deref()
                        .map(|host| value_of(host, &place("redirect.host")))
                        .transpose()?,
                    port: redirect.port,
                    path: change(redirect.path.as_ref())?,
                    strip_query: redirect.strip_query,
                }),
                RouteAction::Respond(respond) => Action::Respond(RespondPlan {
                    status: match respond.status {
                        status @ 200..=599 => status,
                        status => return Err(CompileError::status(name, status)),
                    },
                    content_type: value_of(&respond.content_type, &place("respond.contentType"))?,
                    body: Bytes::copy_from_slice(respond.body.as_bytes()),
                }),
            },
            path: change(rewrite.and_then(|r| r.path.as_ref()))?,
            host: rewrite
                .and_then(|r| r.host.as_deref())
                .map(|host| value_of(host, &place("rewrite.host")))
                .transpose()?,
            request_headers: Edits::compile(&route.request_headers, &place("requestHeaders"))?,
            response_headers: Edits::compile(&route.response_headers, &place("responseHeaders"))?,
            rates: route
                .rates
                .iter()
                .map(|rule| Rate::compile(rule, &target))
                .collect(),
            cache_fingerprint: cache.fingerprint(site, route)?,
            cache,
            opaque_paths: route.opaque_paths,
            name: name.as_str().into(),
            matcher,
        })
    }
}

fn scheme(scheme: Option<&str>, route: &str) -> Result<Option<Scheme>, CompileError> {
    match scheme {
        None => Ok(None),
        Some("http") => Ok(Some(Scheme::Http)),
        Some("https") => Ok(Some(Scheme::Https)),
        Some(other) => Err(CompileError::Scheme {
            route: route.to_owned(),
            scheme: other.to_owned(),
        }),
    }
}
