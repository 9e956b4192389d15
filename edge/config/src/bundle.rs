//! How documents lie in Secrets (and in the same form on a node's disk): a map of file names to bytes.
//!
//! `breakwater.json` is the document. A site's key pairs are `pair-NAME.crt` and `pair-NAME.key`, its CA
//! bundles `ca-NAME.pem`. Configuration and keys are one object, so that an edge never sees one without the
//! other.

use std::collections::BTreeMap;
use std::fmt;

use crate::envelope::{self, Kind, ReadError};
use crate::{ContentHash, Part, RegionSettings, SiteConfig};

/// Type of the Secrets that hold documents; edges watch it by field selector.
pub const SECRET_TYPE: &str = "edge.breakwater.dev/site";

/// File name of the document.
pub const DOCUMENT_FILE: &str = "breakwater.json";

/// Name of the Secret that holds the [`RegionSettings`].
pub const REGION_SECRET: &str = "region-settings";

/// Name prefix of the Secrets that hold [`Part`]s; the short hash follows.
pub const PART_SECRET_PREFIX: &str = "part-";

/// Name prefix of the Secrets that hold sites.
pub const SITE_SECRET_PREFIX: &str = "site-";

/// Most bytes of all files of one object together (a Secret holds 1 MiB with its metadata).
pub const MAX_BYTES: usize = 900 * 1024;

/// The files of one object.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A private key with its certificate chain, both PEM. Its debug form shows a fingerprint only.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// Leaf first.
    pub chain_pem: Vec<u8>,
    /// PKCS#8, SEC1 or PKCS#1.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair(chain {})", ContentHash::of(&self.chain_pem).short())
    }
}

/// A site with everything that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteBundle {
    /// The configuration.
    pub config: SiteConfig,
    /// By name; certificates towards visitors and client certificates towards origins refer to them.
    pub key_pairs: BTreeMap<String, KeyPair>,
    /// PEM bundles by name; [`OriginTls::ca_file`](crate::OriginTls::ca_file) refers to them.
    pub ca_files: BTreeMap<String, Vec<u8>>,
}

impl SiteBundle {
    /// A site without keys.
    pub fn plain(config: SiteConfig) -> Self {
        Self {
            config,
            key_pairs: BTreeMap::new(),
            ca_files: BTreeMap::new(),
        }
    }

    /// The files of this site; equal sites give equal bytes.
    pub fn to_files(&self) -> Result<Files, serde_json::Error> {
        let mut files = Files::new();
        let document = envelope::write(Kind::Site, self.config.min_reader(), &self.config)?;
        files.insert(DOCUMENT_FILE.to_owned(), document);
        for (name, pair) in &self.key_pairs {
            files.insert(format!("pair-{name}.crt"), pair.chain_pem.clone());
            files.insert(format!("pair-{name}.key"), pair.key_pem.clone());
        }
        for (name, pem) in &self.ca_files {
            files.insert(format!("ca-{name}.pem"), pem.clone());
        }
        Ok(files)
    }
}

/// One object of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A site.
    Site(Box<SiteBundle>),
    /// What the region's sites share.
    Region(RegionSettings),
    /// A shared policy; its hash has been checked against its bytes by [`Part::hash`].
    Part(ContentHash, Part),
}

impl Document {
    /// The files of this object.
    pub fn to_files(&self) -> Result<Files, serde_json::Error> {
        let single = |bytes: Vec<u8>| Files::from([(DOCUMENT_FILE.to_owned(), bytes)]);
        Ok(match self {
            Self::Site(bundle) => bundle.to_files()?,
            Self::Region(settings) => single(envelope::write(Kind::Region, 1, settings)?),
            Self::Part(_, part) => single(envelope::write(Kind::Part, part.min_reader(), part)?),
        })
    }

    /// Reads an object. A certificate or key that the configuration names and the files lack is an error:
    /// half an object is never used.
    pub fn from_files(files: &Files) -> Result<Self, ReadError> {
        let document = file(files, DOCUMENT_FILE)?;
        Ok(match envelope::kind(document)? {
            Kind::Region => Self::Region(envelope::read(Kind::Region, document)?),
            Kind::Part => {
                let part: Part = envelope::read(Kind::Part, document)?;
                Self::Part(part.hash()?, part)
            }
            Kind::Site => Self::Site(Box::new(site_from_files(files, document)?)),
        })
    }
}

/// The hash of an object's files, names included.
pub fn hash(files: &Files) -> ContentHash {
    ContentHash::of_parts(
        files
            .iter()
            .flat_map(|(name, bytes)| [name.as_bytes(), bytes.as_slice()]),
    )
}

fn site_from_files(files: &Files, document: &[u8]) -> Result<SiteBundle, ReadError> {
    let config: SiteConfig = envelope::read(Kind::Site, document)?;
    let mut bundle = SiteBundle::plain(config);
    let tls = || {
        bundle
            .config
            .origins
            .iter()
            .filter_map(|origin| origin.tls.as_ref())
    };
    let mut pairs: Vec<String> = bundle
        .config
        .certificates
        .iter()
        .map(|c| c.key_pair.clone())
        .collect();
    pairs.extend(tls().filter_map(|tls| tls.client_key_pair.clone()));
    let cas: Vec<String> = tls().filter_map(|tls| tls.ca_file.clone()).collect();
    for name in pairs {
        let pair = KeyPair {
            chain_pem: file(files, &format!("pair-{name}.crt"))?.to_vec(),
            key_pem: file(files, &format!("pair-{name}.key"))?.to_vec(),
        };
        bundle.key_pairs.insert(name, pair);
    }
    for name in cas {
        let pem = file(files, &format!("ca-{name}.pem"))?.to_vec();
        bundle.ca_files.insert(name, pem);
    }
    Ok(bundle)
}

fn file<'a>(files: &'a Files, name: &str) -> Result<&'a [u8], ReadError> {
    files.get(name).map(Vec::as_slice).ok_or_else(|| ReadError::File {
        file: name.to_owned(),
        problem: "is missing".to_owned(),
    })
}
