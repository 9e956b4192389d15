use std::fmt;

/// Why something can't be used: a word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One of [`reason`].
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(reason::INVALID, message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

/// The first problem's reason and every message.
pub(crate) fn join(problems: &[Problem]) -> Option<(&'static str, String)> {
    let first = problems.first()?;
    let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    Some((first.reason, messages.join("; ")))
}

/// Reasons of conditions.
pub mod reason {
    /// All is well.
    pub const ACCEPTED: &str = "Accepted";
    /// Every reference is resolved.
    pub const RESOLVED: &str = "ResolvedRefs";
    /// Certificates are there.
    pub const CERTIFICATES: &str = "CertificatesValid";
    /// The site has no certificates and wants none.
    pub const NO_CERTIFICATES: &str = "NoCertificates";
    /// A value is wrong.
    pub const INVALID: &str = "Invalid";
    /// A host isn't a host.
    pub const INVALID_HOST: &str = "InvalidHost";
    /// Another site has the host.
    pub const HOST_CONFLICT: &str = "HostConflict";
    /// The namespace may not claim the host.
    pub const HOST_NOT_ALLOWED: &str = "HostNotAllowed";
    /// An origin may not have this address, or isn't what it must be.
    pub const FORBIDDEN_ORIGIN: &str = "ForbiddenOrigin";
    /// A Service isn't there.
    pub const SERVICE_NOT_FOUND: &str = "ServiceNotFound";
    /// A Service doesn't resolve in a region.
    pub const SERVICE_NOT_IN_REGION: &str = "ServiceNotInRegion";
    /// A Secret isn't there.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A Secret may not be used.
    pub const SECRET_NOT_USABLE: &str = "SecretNotUsable";
    /// A certificate or key can't be used.
    pub const INVALID_CERTIFICATE: &str = "InvalidCertificate";
    /// A host has no certificate.
    pub const HOST_NOT_COVERED: &str = "HostNotCovered";
    /// A certificate is out of date.
    pub const CERTIFICATE_EXPIRED: &str = "CertificateExpired";
    /// A certificate will soon be out of date.
    pub const CERTIFICATE_EXPIRES: &str = "CertificateExpiresSoon";
    /// An `EdgeRegion` isn't there.
    pub const REGION_NOT_FOUND: &str = "RegionNotFound";
    /// The rendered site doesn't fit a Secret.
    pub const TOO_LARGE: &str = "TooLarge";
    /// This version doesn't do that.
    pub const UNSUPPORTED: &str = "Unsupported";
    /// A policy has no target.
    pub const NO_TARGET: &str = "NoTarget";
    /// A scope in a tenant's namespace.
    pub const SCOPE_NOT_ALLOWED: &str = "ScopeNotAllowed";
    /// The target isn't there.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// The policy has no effect on this target.
    pub const TARGET_INVALID: &str = "TargetInvalid";
    /// Another policy of this kind has the target.
    pub const CONFLICTED: &str = "Conflicted";
    /// The platform's policy stands above.
    pub const OVERRIDDEN: &str = "Overridden";
    /// A policy of the site is refused.
    pub const POLICY_NOT_ACCEPTED: &str = "PolicyNotAccepted";
    /// Two regions share a namespace.
    pub const NAMESPACE_CONFLICT: &str = "NamespaceConflict";
}
