//! Manifests that several scenarios use.

use std::net::SocketAddr;

use breakwater_e2e::pki::Leaf;

/// An `EdgeSite` in the namespace `default` with one origin by address; `more` are lines of its `spec`.
pub(crate) fn site(name: &str, host: &str, origin: SocketAddr, more: &str) -> String {
    let more = more.replace('\n', "\n  ");
    format!(
        "apiVersion: edge.breakwater.dev/v1alpha1\nkind: EdgeSite\nmetadata: {{name: {name}, namespace: default}}\n\
         spec:\n  hosts: [\"{host}\"]\n  origins: [{{name: app, addresses: [{{address: {}, port: {}}}]}}]\n  {more}\n",
        origin.ip(),
        origin.port()
    )
}

/// A Secret of type `kubernetes.io/tls` in the namespace `default`.
pub(crate) fn tls_secret(name: &str, leaf: &Leaf) -> String {
    let manifest = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": "default"},
        "stringData": {"tls.crt": leaf.chain, "tls.key": leaf.key},
    });
    manifest.to_string()
}
