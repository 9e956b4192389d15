use std::fmt::Write as _;

/// Manifests of a platform with many sites, as their owners would write them.
pub(crate) struct Fleet {
    namespaces: usize,
    each: usize,
    pairs: Vec<(String, String)>,
}

impl Fleet {
    pub(crate) fn new(namespaces: usize, each: usize) -> Self {
        let pair = |n: usize| {
            let cert = rcgen::generate_simple_self_signed(vec![format!("*.team-{n}.example.com")]).unwrap();
            (cert.cert.pem(), cert.signing_key.serialize_pem())
        };
        Self {
            namespaces,
            each,
            pairs: (0..namespaces).map(pair).collect(),
        }
    }

    pub(crate) fn sites(&self) -> usize {
        self.namespaces * self.each
    }

    pub(crate) fn namespaces(&self) -> usize {
        self.namespaces
    }

    /// Everything.
    pub(crate) fn manifests(&self) -> String {
        let mut text = String::from(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: breakwater-edge-fra}\n---\n\
             apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeRegion\nmetadata: {name: fra, uid: fra, generation: 1}\n\
             spec: {serviceSameness: true, local: {nodeSelector: {edge: 'true'}}}\n---\n",
        );
        for namespace in 0..self.namespaces {
            let _ = writeln!(
                text,
                "apiVersion: v1\nkind: Namespace\nmetadata: {{name: team-{namespace}}}\n---"
            );
            text += &self.secret(namespace * self.each, 0);
        }
        for n in 0..self.sites() {
            text += &self.site(n, 0);
            if n % 2 == 0 {
                text += &self.cache_policy(n, 0);
            }
            if n % 5 == 0 {
                let (namespace, name) = self.name(n);
                let _ = writeln!(
                    text,
                    "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
                     spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}\n---"
                );
                text += &self.endpoints(n, 0);
            }
            if n % 10 == 0 {
                text += &self.rate_rule(n, 0);
            }
        }
        text += &self.platform_rule(0, 0);
        text
    }

    /// Site `n`, in its `version`.
    pub(crate) fn site(&self, n: usize, version: usize) -> String {
        let n = n % self.sites();
        let (namespace, name) = self.name(n);
        let origin = if n.is_multiple_of(5) {
            format!("service: {{name: {name}, port: 80}}")
        } else if n.is_multiple_of(3) {
            format!("dns: {{name: {name}.origin.example.net, port: 443}}, tls: {{}}")
        } else {
            format!(
                "addresses: [{{address: 203.0.113.{}, port: 8080}}, {{address: 198.51.100.{}, port: 8080, weight: 3}}]",
                n % 250 + 1,
                n % 250 + 1
            )
        };
        format!(
            "{}\nspec:\n  hosts: [{name}.{namespace}.example.com]\n  origins: [{{name: app, {origin}}}]\n  \
             tls: {{certificateRefs: [{{name: wildcard}}], hsts: {{}}}}\n  securityHeaders: {{noSniff: true}}\n  routes:\n  \
             - {{name: api, match: [{{path: {{value: /api}}, methods: [GET, POST]}}], origin: app}}\n  \
             - {{name: old, match: [{{path: {{type: Exact, value: /old}}}}], redirect: {{path: {{full: /new-{version}}}}}}}\n  \
             - {{name: rest, origin: app, responseHeaders: {{set: [{{name: x-team, value: {namespace}}}]}}}}\n---\n",
            head("EdgeSite", &namespace, &name, version)
        )
    }

    /// The policy of site `n` or the next that has one.
    pub(crate) fn cache_policy(&self, n: usize, version: usize) -> String {
        let (namespace, name) = self.name(n / 2 * 2);
        format!(
            "{}\nspec: {{targetRefs: [{{kind: EdgeSite, name: {name}}}], ttl: {{default: {}s}}}}\n---\n",
            head("CachePolicy", &namespace, &name, version),
            version + 60
        )
    }

    /// The Pods of site `n`'s Service or of the next that has one.
    pub(crate) fn endpoints(&self, n: usize, version: usize) -> String {
        let (namespace, name) = self.name(n / 5 * 5);
        let mut text = String::new();
        for pod in 0..3 {
            let address = pod_address(version, pod);
            let _ = writeln!(
                text,
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}-{pod}, namespace: {namespace}}}\nspec: {{}}\n\
                 status: {{podIPs: [{{ip: {address}}}]}}\n---"
            );
        }
        let _ = write!(
            text,
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-1\n  namespace: {namespace}\n  \
             labels: {{kubernetes.io/service-name: {name}, endpointslice.kubernetes.io/managed-by: \
             endpointslice-controller.k8s.io}}\naddressType: IPv4\nports: [{{name: '', port: 8080}}]\nendpoints:\n"
        );
        for pod in 0..3 {
            let address = pod_address(version, pod);
            let _ = writeln!(
                text,
                "- {{addresses: [{address}], targetRef: {{kind: Pod, name: {name}-{pod}, namespace: {namespace}}}}}"
            );
        }
        text += "---\n";
        text
    }

    /// A rule for ten sites.
    pub(crate) fn rate_rule(&self, n: usize, version: usize) -> String {
        let first = n % self.sites() / 10 * 10;
        let (namespace, name) = self.name(first);
        let targets = (first..first + 10).map(|n| format!("{{kind: EdgeSite, name: {}}}", self.name(n).1));
        let targets = targets.collect::<Vec<_>>().join(", ");
        format!(
            "{}\nspec: {{targetRefs: [{targets}], rate: {{requests: {}, period: 1m}}}}\n---\n",
            head("RateRule", &namespace, &name, version),
            version + 100
        )
    }

    /// The certificate of the namespace of site `n`: the one of another for every other version.
    pub(crate) fn secret(&self, n: usize, version: usize) -> String {
        let namespace = n % self.sites() / self.each;
        let (chain, key) = if version == 0 {
            self.pairs.get(namespace).unwrap().clone()
        } else {
            let name = format!("*.team-{namespace}.example.com");
            let cert = rcgen::generate_simple_self_signed(vec![name]).unwrap();
            (cert.cert.pem(), cert.signing_key.serialize_pem())
        };
        let block = |pem: &str| pem.trim_end().replace('\n', "\n    ");
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: wildcard, namespace: team-{namespace}}}\ntype: \
             kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n---\n",
            block(&chain),
            block(&key)
        )
    }

    /// A rule of the platform for every site.
    #[allow(clippy::unused_self, reason = "one of several of a kind")]
    pub(crate) fn platform_rule(&self, _: usize, version: usize) -> String {
        format!(
            "{}\nspec: {{scope: AllSites, mode: Enforced, rate: {{requests: {}, period: 1s}}}}\n---\n",
            head("RateRule", "breakwater-system", "everybody", version),
            version + 1000
        )
    }

    fn name(&self, n: usize) -> (String, String) {
        let n = n % self.sites();
        (format!("team-{}", n / self.each), format!("site-{n}"))
    }
}

fn pod_address(version: usize, pod: usize) -> String {
    format!("192.0.{}.{}", 2 + version / 200, version % 200 + pod + 1)
}

fn head(kind: &str, namespace: &str, name: &str, version: usize) -> String {
    format!(
        "apiVersion: edge.breakwater.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}, uid: \
         {kind}-{name}, generation: {}}}",
        version + 1
    )
}
