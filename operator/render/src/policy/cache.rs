use breakwater_crds::{self as crds, CachePolicySpec, QueryMode};
use breakwater_edge_config::{
    BodyMethods, CacheKey, CachePolicy, Compression, Encoding, PolicyId, QueryKey, StatusTtl, StorageClass,
    Tags, Ttl,
};

use super::unsupported;
use crate::problem::Problem;
use crate::site::matches::request_match;

pub(super) fn compile(id: &PolicyId, spec: &CachePolicySpec) -> Result<CachePolicy, Vec<Problem>> {
    // Every field is named, so that a new one can't be forgotten here.
    let CachePolicySpec {
        target_refs: _,
        scope: _,
        selector: _,
        mode: _,
        enabled,
        body_methods,
        key,
        ttl,
        bypass,
        max_object_bytes,
        strict_headers,
        tags,
        slices,
        prewarm,
        storage_class,
        compression,
    } = spec;
    let mut problems = unsupported(&[(slices.is_some(), "slices")]);
    let ttl = times(ttl, &mut problems);
    let rfc = CachePolicy::rfc();
    let compiled = CachePolicy {
        id: id.clone(),
        enabled: *enabled,
        body_methods: body_methods.as_ref().map(body_methods_of),
        key: key_of(key),
        ttl,
        bypass: bypass.iter().map(request_match).collect(),
        prewarm: sorted(prewarm),
        max_object_bytes: max_object_bytes
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(rfc.max_object_bytes),
        storage_class: storage_class.map(|class| match class {
            crds::StorageClass::Small => StorageClass::Small,
            crds::StorageClass::Large => StorageClass::Large,
        }),
        strict_headers: *strict_headers,
        tags: tags.as_ref().map(tags_of),
        compression: compression.as_ref().map(compression_of),
    };
    if problems.is_empty() {
        Ok(compiled)
    } else {
        Err(problems)
    }
}

/// Where the policy doesn't say from which length on: shorter bodies fit into one packet anyway.
const MIN_COMPRESSED_BYTES: u64 = 1_024;

fn compression_of(of: &crds::Compression) -> Compression {
    let crds::Compression { encodings, min_bytes } = of;
    let mut preferred: Vec<Encoding> = Vec::new();
    for encoding in encodings {
        let encoding = match encoding {
            crds::Encoding::Brotli => Encoding::Brotli,
            crds::Encoding::Zstd => Encoding::Zstd,
            crds::Encoding::Gzip => Encoding::Gzip,
        };
        if !preferred.contains(&encoding) {
            preferred.push(encoding);
        }
    }
    Compression {
        encodings: preferred,
        min_bytes: min_bytes
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(MIN_COMPRESSED_BYTES),
    }
}

fn tags_of(tags: &crds::Tags) -> Tags {
    let crds::Tags { headers, expose } = tags;
    let mut fields: Vec<String> = Vec::new();
    for name in headers.iter().map(|name| name.to_ascii_lowercase()) {
        if !fields.contains(&name) {
            fields.push(name);
        }
    }
    Tags {
        fields,
        expose: *expose,
    }
}

fn body_methods_of(of: &crds::BodyMethods) -> BodyMethods {
    let crds::BodyMethods {
        methods,
        max_body_bytes,
        graphql,
    } = of;
    BodyMethods {
        methods: sorted(methods),
        // The schema allows 1 to 1 MiB.
        max_body_bytes: u64::try_from(*max_body_bytes).unwrap_or(0),
        graphql: *graphql,
    }
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}

fn key_of(key: &crds::CacheKey) -> CacheKey {
    let crds::CacheKey {
        query,
        headers,
        cookies,
        device_class,
    } = key;
    let lower: Vec<String> = headers.iter().map(|name| name.to_ascii_lowercase()).collect();
    CacheKey {
        query: match query.mode {
            QueryMode::All => QueryKey::All,
            QueryMode::None => QueryKey::None,
            QueryMode::Allow => QueryKey::Allow(sorted(&query.parameters)),
            QueryMode::Deny => QueryKey::Deny(sorted(&query.parameters)),
        },
        sort_query: query.sort,
        headers: sorted(&lower),
        cookies: sorted(cookies),
        device_class: *device_class,
    }
}

fn times(ttl: &crds::Ttl, problems: &mut Vec<Problem>) -> Ttl {
    let crds::Ttl {
        default,
        force,
        min,
        max,
        statuses,
        stale_while_revalidate,
        stale_if_error,
    } = ttl;
    let mut never_stored = Vec::new();
    let mut millis = |field: &str, duration: &Option<crds::Duration>| {
        let duration = duration.as_ref()?;
        duration
            .as_millis()
            .map_err(|error| problems.push(Problem::invalid(format!("ttl.{field}: {error}"))))
            .ok()
    };
    let compiled = Ttl {
        default_ms: millis("default", default),
        force_ms: millis("override", force),
        min_ms: millis("min", min),
        max_ms: millis("max", max),
        statuses: statuses
            .iter()
            .filter_map(|entry| {
                let ttl_ms = millis("statuses", &Some(entry.ttl.clone()))?;
                let (from, to) = statuses_of(&entry.status)?;
                if from == to && ttl_ms > 0 && StatusTtl::NEVER_STORED.contains(&from) {
                    never_stored.push(from);
                }
                Some(StatusTtl { from, to, ttl_ms })
            })
            .collect(),
        stale_while_revalidate_ms: millis("staleWhileRevalidate", stale_while_revalidate),
        stale_if_error_ms: millis("staleIfError", stale_if_error),
    };
    problems.extend(never_stored.into_iter().map(|status| {
        Problem::invalid(format!(
            "ttl.statuses: {status} is about one request or a part of an answer and is never stored: remove it"
        ))
    }));
    if compiled
        .min_ms
        .zip(compiled.max_ms)
        .is_some_and(|(min, max)| min > max)
    {
        problems.push(Problem::invalid("ttl.min is longer than ttl.max"));
    }
    compiled
}

/// `404` is 404 to 404, `5xx` is 500 to 599.
fn statuses_of(text: &str) -> Option<(u16, u16)> {
    match text.strip_suffix("xx") {
        Some(class) => {
            let class: u16 = class.parse().ok()?;
            Some((class * 100, class * 100 + 99))
        }
        None => text.parse().ok().map(|status| (status, status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_or_a_class_becomes_a_range() {
        assert_eq!(statuses_of("404"), Some((404, 404)));
        assert_eq!(statuses_of("5xx"), Some((500, 599)));
        assert_eq!(statuses_of("x"), None);
    }
}
