use std::collections::BTreeMap;

use breakwater_edge_config::bundle::{self, Document, Files, REGION_SECRET, SECRET_TYPE};
use breakwater_edge_config::{ContentHash, HostPattern, SiteId};
use breakwater_render::object::Published;
use breakwater_render::{Publish, PublishKind, SecretPosition};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::regions::{MANAGER, REGION_LABEL};

/// `home/namespace/name` of the site that a Secret holds.
const SITE_ANNOTATION: &str = "edge.breakwater.dev/site";
/// Generation of the site that was rendered.
const GENERATION_ANNOTATION: &str = "edge.breakwater.dev/site-generation";
/// UID of the site that was rendered.
const UID_ANNOTATION: &str = "edge.breakwater.dev/site-uid";
/// Hosts that are served, separated by commas.
const HOSTS_ANNOTATION: &str = "edge.breakwater.dev/hosts";
/// Hash of the files, for people; the operator computes it from the bytes.
const HASH_ANNOTATION: &str = "edge.breakwater.dev/hash";
/// Version of the operator that rendered it.
const RENDERED_BY_ANNOTATION: &str = "edge.breakwater.dev/rendered-by";
/// Who made it.
const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// What a Secret holds: `site`, `region` or `part`.
const CONTENT_LABEL: &str = "edge.breakwater.dev/content";

/// Which object, in which state, a site's Secret was rendered from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// UID of the `EdgeSite`.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
}

/// A Secret as it is in the cluster. Its bytes are kept only of the region's settings, and where they are
/// asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedSecret {
    /// What render looks at. Its position names the namespace where the region belongs, until somebody who
    /// knows puts that in.
    pub object: Published,
    /// UID of the Secret.
    pub uid: String,
    /// Version of the operator that rendered it; empty when it doesn't say.
    pub rendered_by: String,
    /// What a site was rendered from.
    pub origin: Origin,
}

impl PublishedSecret {
    /// Takes note of a Secret. Its bytes are kept where render always needs them, and for `keep_files`.
    pub fn read(secret: Secret, keep_files: bool) -> Self {
        let meta = secret.metadata;
        let name = meta.name.unwrap_or_default();
        let files: Files = secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(name, ByteString(bytes))| (name, bytes))
            .collect();
        let mut annotations = meta.annotations.unwrap_or_default();
        let labels = meta.labels.unwrap_or_default();
        let mut hash = bundle::hash(&files);
        if !are_notes_right(&files, &hash, &annotations, &labels) {
            hash = ContentHash::of_parts([hash.as_str().as_bytes(), b"other notes"]);
        }
        let (site, hosts) = served(&files, &annotations);
        let mut take = |name: &str| annotations.remove(name).unwrap_or_default();
        Self {
            uid: meta.uid.unwrap_or_default(),
            rendered_by: take(RENDERED_BY_ANNOTATION),
            origin: Origin {
                uid: take(UID_ANNOTATION),
                generation: take(GENERATION_ANNOTATION).parse().unwrap_or_default(),
            },
            object: Published {
                resource_version: meta.resource_version.unwrap_or_default(),
                hash,
                site,
                hosts,
                files: (keep_files || name == REGION_SECRET).then_some(files),
                position: SecretPosition {
                    region: meta.namespace.unwrap_or_default(),
                    secret: name,
                },
            },
        }
    }
}

/// True when version `a` of the operator is newer than `b`; what can't be read is older than anything.
pub fn is_newer(a: &str, b: &str) -> bool {
    let numbers = |text: &str| {
        let core = text.split(['-', '+']).next().unwrap_or_default();
        core.split('.')
            .map(str::parse)
            .collect::<Result<Vec<u64>, _>>()
            .unwrap_or_default()
    };
    numbers(a) > numbers(b)
}

/// Whether what is noted beside the files is what this build notes there; what was changed by hand is written
/// anew as other bytes are. Of a document that this build can't read, nothing can be said.
fn are_notes_right(
    files: &Files,
    hash: &ContentHash,
    annotations: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> bool {
    let noted = |name: &str| annotations.get(name).map_or("", String::as_str);
    let content = match Document::from_files(files) {
        Err(_) => return true,
        Ok(Document::Part(..)) => "part",
        Ok(Document::Region(_)) => "region",
        Ok(Document::Site(bundle)) => {
            let config = bundle.config;
            if noted(SITE_ANNOTATION) != config.id.to_string()
                || noted(HOSTS_ANNOTATION) != listed(&config.hosts)
            {
                return false;
            }
            "site"
        }
    };
    let labelled = |name: &str, value: &str| labels.get(name).is_some_and(|label| label == value);
    noted(HASH_ANNOTATION) == hash.as_str()
        && labelled(CONTENT_LABEL, content)
        && labelled(MANAGED_BY_LABEL, MANAGER)
}

fn listed(hosts: &[HostPattern]) -> String {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    hosts.join(",")
}

/// The site and hosts of a Secret: from its document; where this build can't read that, from what its writer
/// noted beside it.
fn served(files: &Files, annotations: &BTreeMap<String, String>) -> (Option<SiteId>, Vec<HostPattern>) {
    match Document::from_files(files) {
        Ok(Document::Site(bundle)) => (Some(bundle.config.id), bundle.config.hosts),
        Ok(Document::Region(_) | Document::Part(..)) => (None, Vec::new()),
        Err(_) => {
            let site = annotations.get(SITE_ANNOTATION).and_then(|text| site_id(text));
            let hosts = annotations.get(HOSTS_ANNOTATION).map_or_else(Vec::new, |hosts| {
                hosts
                    .split(',')
                    .filter_map(|host| HostPattern::parse(host).ok())
                    .collect()
            });
            (site, hosts)
        }
    }
}

fn site_id(text: &str) -> Option<SiteId> {
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    Some(SiteId {
        home: parts.next()?,
        namespace: parts.next()?,
        name: parts.next()?,
    })
}

/// The apply configuration of a Secret in `namespace`; it carries the version that it was rendered against.
///
/// No owner (an owner in another namespace would have it collected) and nothing by which Argo CD, Flux or
/// Helm track what they made (they would prune it).
pub fn apply_body(namespace: &str, publish: &Publish, origin: &Origin) -> Value {
    let mut annotations = BTreeMap::from([
        (HASH_ANNOTATION, publish.hash.to_string()),
        (RENDERED_BY_ANNOTATION, env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    let content = match &publish.kind {
        PublishKind::Part => "part",
        PublishKind::Region => "region",
        PublishKind::Site(site) => {
            let (_, hosts) = served(&publish.files, &BTreeMap::new());
            annotations.insert(SITE_ANNOTATION, site.to_string());
            annotations.insert(UID_ANNOTATION, origin.uid.clone());
            annotations.insert(GENERATION_ANNOTATION, origin.generation.to_string());
            annotations.insert(HOSTS_ANNOTATION, listed(&hosts));
            "site"
        }
    };
    let data: BTreeMap<&str, ByteString> = publish
        .files
        .iter()
        .map(|(name, bytes)| (name.as_str(), ByteString(bytes.clone())))
        .collect();
    let mut metadata = json!({
        "name": publish.position.secret,
        "namespace": namespace,
        "labels": {
            MANAGED_BY_LABEL: MANAGER,
            REGION_LABEL: publish.position.region,
            CONTENT_LABEL: content,
        },
        "annotations": annotations,
    });
    if let (Some(version), Some(metadata)) = (&publish.resource_version, metadata.as_object_mut()) {
        metadata.insert("resourceVersion".to_owned(), Value::from(version.as_str()));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SECRET_TYPE,
        "metadata": metadata,
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use breakwater_edge_config::RegionSettings;

    fn publish(files: Files, kind: PublishKind, version: Option<&str>) -> Publish {
        Publish {
            position: SecretPosition {
                region: "fra".to_owned(),
                secret: "site-1".to_owned(),
            },
            kind,
            hash: bundle::hash(&files),
            files,
            resource_version: version.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_applied_is_read_back_as_the_same() {
        let files = Document::Region(RegionSettings::default()).to_files().unwrap();
        let wanted = publish(files, PublishKind::Region, Some("7"));
        let body = apply_body("edges", &wanted, &Origin::default());
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        assert!(body["metadata"].get("ownerReferences").is_none());
        let read = PublishedSecret::read(serde_json::from_value(body).unwrap(), false);
        assert_eq!(read.object.hash, wanted.hash);
        assert_eq!(read.object.resource_version, "7");
        assert_eq!(read.rendered_by, env!("CARGO_PKG_VERSION"));
        assert_eq!(read.object.files, None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (a, b, newer) in [
            ("0.10.0", "0.9.0", true),
            ("0.9.0", "0.10.0", false),
            ("1.0.0", "1.0.0", false),
            ("1.0.1-rc.1", "1.0.0", true),
            ("", "0.1.0", false),
        ] {
            assert_eq!(is_newer(a, b), newer, "{a} {b}");
        }
    }

    #[test]
    fn a_secret_that_is_created_names_no_version() {
        let body = apply_body(
            "edges",
            &publish(Files::new(), PublishKind::Part, None),
            &Origin::default(),
        );
        assert!(body["metadata"].get("resourceVersion").is_none());
    }

    #[test]
    fn of_a_document_that_only_a_newer_version_can_read_the_claims_still_count() {
        let files = Files::from([(
            "breakwater.json".to_owned(),
            br#"{"minReader":9,"kind":"Site","body":{}}"#.to_vec(),
        )]);
        let site = SiteId {
            home: "h".to_owned(),
            namespace: "n".to_owned(),
            name: "s".to_owned(),
        };
        let mut body = apply_body(
            "edges",
            &publish(files, PublishKind::Site(site.clone()), Some("7")),
            &Origin {
                uid: "u".to_owned(),
                generation: 4,
            },
        );
        body["metadata"]["annotations"][HOSTS_ANNOTATION] = json!("a.example,*.a.example");
        let read = PublishedSecret::read(serde_json::from_value(body).unwrap(), true);
        assert_eq!(read.object.site, Some(site));
        assert_eq!(read.object.hosts.len(), 2);
        assert_eq!(read.origin.generation, 4);
        assert!(read.object.files.is_some());
    }

    #[test]
    fn bytes_that_somebody_changed_by_hand_are_noticed_whatever_the_annotation_says() {
        let files = Document::Region(RegionSettings::default()).to_files().unwrap();
        let wanted = publish(files, PublishKind::Region, Some("7"));
        let mut body = apply_body("edges", &wanted, &Origin::default());
        body["data"]["breakwater.json"] = json!("e30K");
        let read = PublishedSecret::read(serde_json::from_value(body).unwrap(), false);
        assert_ne!(read.object.hash, wanted.hash);
    }
}
