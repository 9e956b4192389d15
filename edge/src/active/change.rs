use std::fmt;

use breakwater_edge_config::bundle::{self, Files};
use breakwater_edge_config::{ContentHash, Document, SiteId};

/// What a source of configuration tells: one object of it. Objects are known by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are the largest one")]
pub enum Change {
    /// The object is there, or is another now.
    Put {
        /// Its name.
        name: String,
        /// Hash of its files.
        hash: ContentHash,
        /// What it says.
        document: Document,
    },
    /// The object is there and can't be read; what it said before stays in use.
    Unreadable {
        /// Its name.
        name: String,
        /// Hash of its files.
        hash: ContentHash,
        /// What is wrong with it.
        reason: String,
    },
    /// The object is gone.
    Remove {
        /// Its name.
        name: String,
    },
}

impl Change {
    /// The object `name` with these files, readable or not.
    pub fn from_files(name: &str, files: &Files) -> Self {
        let (name, hash) = (name.to_owned(), bundle::hash(files));
        match Document::from_files(files) {
            Ok(document) => Self::Put { name, hash, document },
            Err(error) => Self::Unreadable {
                name,
                hash,
                reason: error.to_string(),
            },
        }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Put { name, .. } | Self::Unreadable { name, .. } | Self::Remove { name } => name,
        }
    }
}

/// An object that can't be used as it is. Its site, if it had a good configuration, keeps that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The object's name.
    pub object: String,
    /// The site, where it could be read, now or before.
    pub site: Option<SiteId>,
    /// Hash of the object's files.
    pub hash: ContentHash,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.site {
            Some(site) => write!(f, "{site} ({}): {}", self.object, self.reason),
            None => write!(f, "{}: {}", self.object, self.reason),
        }
    }
}
