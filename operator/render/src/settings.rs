use ipnet::IpNet;

/// What the platform decides for every site.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of this cluster's home region; it stands in every [`SiteId`](breakwater_edge_config::SiteId).
    pub home: String,
    /// Namespace of the operator; policies with a scope are accepted there only.
    pub operator_namespace: String,
    /// Networks that origins may have although they are not globally reachable.
    pub allow_origin_cidrs: Vec<IpNet>,
    /// Networks of the cluster's Pods.
    pub pod_cidrs: Vec<IpNet>,
    /// Networks of the cluster's Services, besides the `ServiceCIDR` objects.
    pub service_cidrs: Vec<IpNet>,
    /// Addresses of the API server, and whatever else no origin may have.
    pub deny_origin_cidrs: Vec<IpNet>,
    /// Who may claim which hosts; open when empty.
    pub host_grants: Vec<HostGrant>,
    /// No cluster: loopback origins and `localhost` hosts are allowed, and [`Self::implicit_region`] serves.
    pub standalone: bool,
    /// The region that serves every site when no `EdgeRegion` was given.
    pub implicit_region: Option<ImplicitRegion>,
    /// What wasn't given doesn't exist. False in a cluster, where Secrets and a namespace's Services are
    /// fetched once a site names them: until then such a site waits.
    pub complete: bool,
}

/// The region of an installation without `EdgeRegion`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImplicitRegion {
    /// Its name.
    pub name: String,
    /// Port of HTTPS addresses that plain HTTP is redirected to.
    pub https_port: u16,
}

/// Namespaces that may claim hosts below these names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostGrant {
    /// Names of namespaces; `*` for every one.
    pub namespaces: Vec<String>,
    /// Names such as `example.com`: it, and every host below it. `*` for every host.
    pub suffixes: Vec<String>,
}

impl Settings {
    /// A cluster whose platform says nothing else.
    pub fn cluster(home: &str, operator_namespace: &str) -> Self {
        Self {
            home: home.to_owned(),
            operator_namespace: operator_namespace.to_owned(),
            allow_origin_cidrs: Vec::new(),
            pod_cidrs: Vec::new(),
            service_cidrs: Vec::new(),
            deny_origin_cidrs: Vec::new(),
            host_grants: Vec::new(),
            standalone: false,
            implicit_region: None,
            complete: false,
        }
    }

    /// No cluster: everything is in the files, and one region serves.
    pub fn standalone(https_port: u16) -> Self {
        let region = ImplicitRegion {
            name: "local".to_owned(),
            https_port,
        };
        Self {
            standalone: true,
            complete: true,
            implicit_region: Some(region),
            ..Self::cluster("local", "breakwater-system")
        }
    }

    /// The verdict on files for a cluster: as [`Self::cluster`], with everything in the files.
    pub fn files(home: &str, operator_namespace: &str) -> Self {
        let region = ImplicitRegion {
            name: home.to_owned(),
            https_port: 443,
        };
        Self {
            complete: true,
            implicit_region: Some(region),
            ..Self::cluster(home, operator_namespace)
        }
    }

    /// True when a grant names this namespace and host. `name` is the host, for a wildcard what follows `*.`.
    pub(crate) fn granted(&self, namespace: &str, name: &str) -> bool {
        self.host_grants.iter().any(|grant| {
            grant.namespaces.iter().any(|n| n == "*" || n == namespace)
                && grant.suffixes.iter().any(|suffix| is_at_or_below(name, suffix))
        })
    }
}

/// True for `suffix` itself and for names below it; `*` and a leading `*.` are understood.
fn is_at_or_below(name: &str, suffix: &str) -> bool {
    let suffix = suffix.strip_prefix("*.").unwrap_or(suffix);
    suffix == "*" || name == suffix || name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_covers_a_name_and_what_is_below_it() {
        for (name, suffix, expected) in [
            ("example.com", "example.com", true),
            ("a.b.example.com", "example.com", true),
            ("a.example.com", "*.example.com", true),
            ("badexample.com", "example.com", false),
            ("example.com", "a.example.com", false),
            ("anything.example", "*", true),
        ] {
            assert_eq!(is_at_or_below(name, suffix), expected, "{name} {suffix}");
        }
    }
}
