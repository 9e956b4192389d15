use std::sync::Arc;

use breakwater_edge_config::{ContentHash, Document, Part, RegionSettings, SiteBundle, SiteConfig};

use super::Failure;

/// One object as its source told it last, with the last good state of it.
#[derive(Debug)]
pub(super) enum Object {
    /// A site.
    Site(SiteObject),
    /// The region's settings.
    Region(Simple<RegionSettings>),
    /// A shared policy.
    Part(Simple<(ContentHash, Part)>),
    /// It could never be read.
    Unread(Problem),
}

/// What is wrong with an object.
#[derive(Debug)]
pub(super) struct Problem {
    hash: ContentHash,
    reason: String,
}

/// An object that is used as it is.
#[derive(Debug)]
pub(super) struct Simple<T> {
    hash: ContentHash,
    pub(super) value: T,
    problem: Option<Problem>,
}

impl<T> Simple<T> {
    pub(super) fn refuse(&mut self, reason: Option<String>) {
        self.problem = reason.map(|reason| Problem {
            hash: self.hash.clone(),
            reason,
        });
    }
}

/// An object that holds a site.
#[derive(Debug)]
pub(super) struct SiteObject {
    hash: ContentHash,
    /// What is served.
    in_force: Option<Arc<SiteConfig>>,
    /// What should be served and isn't yet; `None`: it is what is in force.
    wanted: Option<Arc<SiteBundle>>,
    problem: Option<Problem>,
}

impl SiteObject {
    pub(super) fn in_force(&self) -> Option<&Arc<SiteConfig>> {
        self.in_force.as_ref()
    }

    pub(super) fn wanted(&self) -> Option<&Arc<SiteBundle>> {
        self.wanted.as_ref()
    }

    /// What is wanted is in force from now on. Returns the name of the site that was in force where that was
    /// another one.
    pub(super) fn accept(&mut self, config: Arc<SiteConfig>) -> Option<breakwater_edge_config::SiteId> {
        self.wanted = None;
        self.problem = None;
        let old = self.in_force.replace(config);
        let new = self.in_force.as_ref();
        old.filter(|old| new.is_some_and(|new| new.id != old.id))
            .map(|old| old.id.clone())
    }

    pub(super) fn refuse(&mut self, reason: String) {
        self.problem = Some(Problem {
            hash: self.hash.clone(),
            reason,
        });
    }

    pub(super) fn waiting(&mut self, reason: &str) {
        if self.in_force.is_none() {
            self.refuse(reason.to_owned());
        }
    }
}

impl Object {
    pub(super) fn unread(hash: ContentHash) -> Self {
        Self::Unread(Problem {
            hash,
            reason: String::new(),
        })
    }

    /// The object after a new version of it; and the old one, where the two have nothing in common.
    pub(super) fn put(old: Option<Self>, hash: ContentHash, document: Document) -> (Self, Option<Self>) {
        match (document, old) {
            (Document::Site(bundle), Some(Self::Site(mut site))) => {
                site.hash = hash;
                site.wanted = Some(Arc::from(bundle));
                site.problem = None;
                (Self::Site(site), None)
            }
            (Document::Site(bundle), old) => {
                let wanted = Some(Arc::from(bundle));
                (
                    Self::Site(SiteObject {
                        hash,
                        in_force: None,
                        wanted,
                        problem: None,
                    }),
                    old,
                )
            }
            (Document::Region(value), old) => (
                Self::Region(Simple {
                    hash,
                    value,
                    problem: None,
                }),
                old,
            ),
            (Document::Part(content, part), old) => (
                Self::Part(Simple {
                    hash,
                    value: (content, part),
                    problem: None,
                }),
                old,
            ),
        }
    }

    /// A version of it can't be read.
    pub(super) fn set_unreadable(&mut self, hash: ContentHash, reason: String) {
        let problem = Problem { hash, reason };
        match self {
            Self::Unread(old) => *old = problem,
            Self::Site(site) => {
                // What was wanted before and couldn't be used is no longer what the source says.
                site.wanted = None;
                site.hash = problem.hash.clone();
                site.problem = Some(problem);
            }
            Self::Region(simple) => simple.problem = Some(problem),
            Self::Part(simple) => simple.problem = Some(problem),
        }
    }

    /// True when this very version is in use.
    pub(super) fn is_good(&self, hash: &ContentHash) -> bool {
        match self {
            Self::Unread(_) => false,
            Self::Site(site) => site.hash == *hash && site.problem.is_none() && site.wanted.is_none(),
            Self::Region(simple) => simple.hash == *hash && simple.problem.is_none(),
            Self::Part(simple) => simple.hash == *hash && simple.problem.is_none(),
        }
    }

    pub(super) fn failure(&self, name: &str) -> Option<Failure> {
        let (problem, site) = match self {
            Self::Unread(problem) => (Some(problem), None),
            Self::Region(simple) => (simple.problem.as_ref(), None),
            Self::Part(simple) => (simple.problem.as_ref(), None),
            Self::Site(site) => (site.problem.as_ref(), site.ids().next().cloned()),
        };
        problem.map(|problem| Failure {
            object: name.to_owned(),
            site,
            hash: problem.hash.clone(),
            reason: problem.reason.clone(),
        })
    }
}
