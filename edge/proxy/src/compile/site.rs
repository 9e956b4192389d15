use std::sync::{Arc, OnceLock};

use breakwater_edge_cache::Cache;
use breakwater_edge_config::{HttpsRedirect, PolicyId, SiteConfig, SiteId, TlsVersion};

use super::warm::{self, Warm};
use super::{Cors, Edit, Edits, Hotlink, Nets, Rate, Route, Shared, security};
use crate::wire::Name;

/// A site as requests are served by it. It never changes; a change of the configuration makes another.
#[derive(Debug)]
pub struct Site {
    config: Arc<SiteConfig>,
    /// The site as the cache sees it, got once.
    in_cache: OnceLock<Arc<breakwater_edge_cache::Site>>,
    pub(crate) routes: Vec<Route>,
    /// The platform's enforced ones, its defaults, the site's own.
    pub(crate) rates: Vec<Rate>,
    pub(crate) trusted: Nets,
    /// `None`: the peer is the client, whoever it is.
    pub(crate) client_field: Option<(Name, Box<[u8]>)>,
    pub(crate) redirect: Option<HttpsRedirect>,
    pub(crate) min_tls: TlsVersion,
    pub(crate) hsts: Option<Box<[u8]>>,
    pub(crate) security: Vec<Edit>,
    pub(crate) cors: Option<Cors>,
    pub(crate) hotlink: Option<Hotlink>,
    pub(crate) request_headers: Edits,
    pub(crate) response_headers: Edits,
    pub(crate) debug: bool,
    warm: Vec<Warm>,
}

/// Why a site can't be served as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A route forwards to an origin that the site doesn't have.
    #[error("route {route}: the site has no origin {origin:?}")]
    NoOrigin {
        /// The route.
        route: String,
        /// What it names.
        origin: String,
    },
    /// A field name isn't a token.
    #[error("{place}: {name:?} is not a field name")]
    FieldName {
        /// Where it stands.
        place: String,
        /// The name.
        name: String,
    },
    /// A field that frames messages.
    #[error("{place}: {name} frames messages and can't be changed")]
    FramingField {
        /// Where it stands.
        place: String,
        /// The name.
        name: String,
    },
    /// A text that can't stand in a field.
    #[error("{place}: \"{value}\" holds a byte that no field value may hold")]
    FieldValue {
        /// Where it stands.
        place: String,
        /// The value, escaped.
        value: String,
    },
    /// A path of a rewrite or redirect.
    #[error("route {route}: \"{path}\" is not a path")]
    Path {
        /// The route.
        route: String,
        /// The path, escaped.
        path: String,
    },
    /// `ReplacePrefix` where no prefix is matched.
    #[error("route {route}: a prefix can be replaced only where the route matches one")]
    PrefixRewrite {
        /// The route.
        route: String,
    },
    /// A status out of range.
    #[error("route {route}: status {status} can't be sent here")]
    Status {
        /// The route.
        route: String,
        /// The status.
        status: u16,
    },
    /// A scheme other than `http` and `https`.
    #[error("route {route}: {scheme:?} is neither http nor https")]
    Scheme {
        /// The route.
        route: String,
        /// The scheme.
        scheme: String,
    },
    /// The settings name a part that isn't there.
    #[error("policy {policy}: part {hash} is not there")]
    PartMissing {
        /// The policy.
        policy: PolicyId,
        /// Short hash of the part.
        hash: String,
    },
    /// The part is another policy's.
    #[error("policy {policy}: its part holds {found}")]
    PartMismatch {
        /// The policy.
        policy: PolicyId,
        /// What the part holds.
        found: PolicyId,
    },
    /// The site names a shared policy that the region's settings don't have.
    #[error("policy {policy} is not among the region's")]
    PolicyUnknown {
        /// The policy.
        policy: PolicyId,
    },
    /// The fingerprint of a policy couldn't be made.
    #[error("policy {policy}: {error}")]
    Fingerprint {
        /// The policy.
        policy: PolicyId,
        /// What went wrong.
        error: String,
    },
}

impl CompileError {
    pub(super) fn status(route: &str, status: u16) -> Self {
        Self::Status {
            route: route.to_owned(),
            status,
        }
    }
}

impl Site {
    /// Compiles a site with the policies that it shares.
    pub fn compile(config: Arc<SiteConfig>, shared: &Shared) -> Result<Self, CompileError> {
        let caches = shared.caches(&config)?;
        let routes = config
            .routes
            .iter()
            .map(|route| Route::compile(route, &config, caches.effective(&config, route.cache.as_ref())))
            .collect::<Result<Vec<_>, _>>()?;
        let rates = shared
            .rates(&config)?
            .into_iter()
            .chain(&config.rates)
            .map(|rule| Rate::compile(rule, &[config.uid.as_bytes()]))
            .collect();
        let trusted = Nets::new(&config.client_address.trusted_proxies);
        let field = config
            .client_address
            .header
            .as_deref()
            .unwrap_or(Name::XForwardedFor.as_str());
        Ok(Self {
            client_field: (!trusted.is_empty())
                .then(|| (Name::of(field.as_bytes()), field.as_bytes().into())),
            warm: warm::of(&config, &routes),
            routes,
            rates,
            trusted,
            redirect: config.tls.redirect,
            min_tls: config.tls.min_version,
            hsts: config.tls.hsts.map(security::hsts),
            security: security::compile(&config.security_headers)?,
            cors: config.cors.as_ref().map(Cors::compile),
            hotlink: config
                .hotlink
                .as_ref()
                .map(|h| Hotlink::compile(h, &config.hosts))
                .transpose()?,
            request_headers: Edits::compile(&config.request_headers, "requestHeaders")?,
            response_headers: Edits::compile(&config.response_headers, "responseHeaders")?,
            debug: config.debug_headers,
            in_cache: OnceLock::new(),
            config,
        })
    }

    /// What it was compiled from.
    pub fn config(&self) -> &Arc<SiteConfig> {
        &self.config
    }

    /// The site as the process's cache sees it.
    pub fn cache_site(&self, cache: &Cache) -> &Arc<breakwater_edge_cache::Site> {
        self.in_cache
            .get_or_init(|| cache.site(self.config.uid.as_bytes()))
    }

    /// The requests to make before the first visitor asks.
    pub fn warm(&self) -> &[Warm] {
        &self.warm
    }

    /// The site's last purge in this cache: what was warmed before it may be gone.
    pub fn purge_seq(&self, cache: &Cache) -> u64 {
        self.cache_site(cache).purge_seq()
    }

    /// Its name.
    pub fn id(&self) -> &SiteId {
        &self.config.id
    }

    /// UID of its object.
    pub fn uid(&self) -> &str {
        &self.config.uid
    }
}
