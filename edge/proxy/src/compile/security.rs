use breakwater_edge_config::{FrameOptions, Hsts, SecurityHeaders};

use super::edits::value_of;
use super::{CompileError, Edit};
use crate::wire::Name;

/// The fields that browsers heed, encoded.
pub(super) fn compile(headers: &SecurityHeaders) -> Result<Vec<Edit>, CompileError> {
    let SecurityHeaders {
        no_sniff,
        frame_options,
        referrer_policy,
        content_security_policy,
        permissions_policy,
        cross_origin_opener_policy,
    } = headers;
    let frame = frame_options.map(|frame| match frame {
        FrameOptions::Deny => "DENY",
        FrameOptions::SameOrigin => "SAMEORIGIN",
    });
    [
        ("x-content-type-options", no_sniff.then_some("nosniff")),
        ("x-frame-options", frame),
        ("referrer-policy", referrer_policy.as_deref()),
        ("content-security-policy", content_security_policy.as_deref()),
        ("permissions-policy", permissions_policy.as_deref()),
        (
            "cross-origin-opener-policy",
            cross_origin_opener_policy.as_deref(),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .map(|(name, value)| {
        Ok(Edit {
            id: Name::of(name.as_bytes()),
            name: name.as_bytes().into(),
            value: value_of(value, "securityHeaders")?,
        })
    })
    .collect()
}

/// The value of `Strict-Transport-Security` (RFC 6797 §6.1).
pub(super) fn hsts(hsts: Hsts) -> Box<[u8]> {
    let Hsts {
        max_age_secs,
        include_sub_domains,
        preload,
    } = hsts;
    let mut value = format!("max-age={max_age_secs}");
    if include_sub_domains {
        value.push_str("; includeSubDomains");
    }
    if preload {
        value.push_str("; preload");
    }
    value.into_bytes().into()
}
