//! From what people purge to what keys hold: URLs as visitors ask for them, brought through each route's
//! rewrite and each policy's choice of the query.

use breakwater_edge_cache::{Purge, PurgeError, PurgeUrl};
use breakwater_edge_config::PurgeTarget;

use super::route::PathChange;
use super::{Action, Route, Site};
use crate::phases::key;

/// Why a purge makes no sense for a site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurgeTargetError {
    /// Not such a URL.
    #[error("{0:?} is not a URL as visitors ask for it: write https://HOST/PATH, in a URL with its query")]
    Url(String),
    /// A prefix or mask with a query.
    #[error("{0:?}: a prefix or mask holds whatever the query: leave it out")]
    Query(String),
    /// Another site's host.
    #[error("{url:?}: the site doesn't serve {host}")]
    Host {
        /// What was given.
        url: String,
        /// Its host.
        host: String,
    },
    /// What the cache refuses.
    #[error("{target:?}: {error}")]
    Refused {
        /// What was given.
        target: String,
        /// Why.
        error: PurgeError,
    },
}

impl Site {
    /// A purge of these targets. It stands for what visitors ask for under this very configuration; what was
    /// stored under another is purged with every target that goes by URL.
    pub fn purge(&self, targets: &[PurgeTarget], soft: bool) -> Result<Purge, PurgeTargetError> {
        let mut purge = Purge::new(soft);
        for target in targets {
            match target {
                PurgeTarget::Everything => purge.everything(),
                PurgeTarget::Tag(tag) => purge.tag(tag.as_bytes()).map_err(|error| refused(tag, error))?,
                PurgeTarget::Url(text) => self.purge_url(&self.parse(text)?, &mut purge),
                PurgeTarget::Prefix(text) => {
                    let url = self.parse(text)?;
                    if url.query.is_some() {
                        return Err(PurgeTargetError::Query(text.clone()));
                    }
                    self.purge_prefix(&url, &mut purge)
                        .map_err(|error| refused(text, error))?;
                }
                PurgeTarget::Mask(text) => {
                    self.purge_mask(text, &mut purge)?;
                }
            }
        }
        purge.under_policies(self.forwarding().map(|route| &*route.cache_fingerprint));
        Ok(purge)
    }

    fn forwarding(&self) -> impl Iterator<Item = &Route> {
        let forwards = |route: &&Route| matches!(route.action, Action::Forward(_));
        self.routes.iter().filter(forwards)
    }

    /// What every route that may serve it would look for.
    fn purge_url(&self, url: &PurgeUrl<'_>, purge: &mut Purge) {
        purge.url(url);
        let mut buffer = Vec::new();
        for route in self.forwarding().filter(|route| route.may_serve(url.path)) {
            let query = url
                .query
                .and_then(|query| key::select(query, &route.cache.0.policy.key, &mut buffer));
            let path = route.key_path(url.path);
            purge.url(&PurgeUrl { path, query, ..*url });
        }
    }

    fn purge_prefix(&self, url: &PurgeUrl<'_>, purge: &mut Purge) -> Result<(), PurgeError> {
        purge.prefix(url)?;
        for route in self.forwarding() {
            // Where all paths are rewritten to one, it is in the key.
            if let Some(PathChange::Full(path)) = &route.path
                && route.matcher.may_match_below(url.path)
            {
                purge.path(&PurgeUrl { path, ..*url })?;
            }
        }
        Ok(())
    }

    fn purge_mask(&self, text: &str, purge: &mut Purge) -> Result<(), PurgeTargetError> {
        let Some((scheme, mask)) = text.split_once("://") else {
            return Err(PurgeTargetError::Url(text.to_owned()));
        };
        let bare = mask.split(['/', '*']).next().is_some_and(str::is_empty) && !mask.starts_with('*');
        if !matches!(scheme, "http" | "https" | "*") || bare {
            return Err(PurgeTargetError::Url(text.to_owned()));
        }
        if mask.contains(['?', '#']) {
            return Err(PurgeTargetError::Query(text.to_owned()));
        }
        let refused = |error| refused(text, error);
        purge.mask(&lower_host(mask)).map_err(refused)?;
        for route in self.forwarding() {
            if let Some(PathChange::Full(path)) = &route.path {
                // Which of the paths that it stands for the mask holds for can't be told.
                purge.mask(&[b"*", &**path].concat()).map_err(refused)?;
            }
        }
        Ok(())
    }

    /// Reads `http[s]://host[:port][/path][?query]`.
    fn parse<'t>(&self, text: &'t str) -> Result<PurgeUrl<'t>, PurgeTargetError> {
        let error = || PurgeTargetError::Url(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(error)?;
        let own_port: u16 = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(error()),
        };
        // A fragment is never sent.
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).ok_or_else(error)?;
        let (host, port) = match authority.split_once(':') {
            None => (authority, None),
            Some((host, port)) => (host, Some(port.parse().map_err(|_| error())?)),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if !self
            .config()
            .hosts
            .iter()
            .any(|pattern| pattern.covers(&host.to_ascii_lowercase()))
        {
            return Err(PurgeTargetError::Host {
                url: text.to_owned(),
                host: host.to_owned(),
            });
        }
        let (path, query) = match target.split_once('?') {
            None => (target, None),
            Some((path, query)) => (path, Some(query.as_bytes())),
        };
        Ok(PurgeUrl {
            host: host.as_bytes(),
            port: port.filter(|port| *port != own_port),
            path: if path.is_empty() { b"/" } else { path.as_bytes() },
            query,
        })
    }
}

fn refused(target: &str, error: PurgeError) -> PurgeTargetError {
    PurgeTargetError::Refused {
        target: target.to_owned(),
        error,
    }
}

/// What stands before the first slash is of the host, as far as no star may stand for one.
fn lower_host(mask: &str) -> Vec<u8> {
    let end = mask.find('/').unwrap_or(mask.len());
    let mut bytes = mask.as_bytes().to_vec();
    if let Some(host) = bytes.get_mut(..end) {
        host.make_ascii_lowercase();
    }
    bytes
}
