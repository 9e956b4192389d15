//! What etcd and kube-apiserver are given, in a whole cluster and alone.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::pki::Ca;

/// Certificates, tokens and kubeconfigs, in a directory `certs` and beside it. The tokens are no secrets: the
/// server exists on this machine only, for minutes.
pub(crate) fn write(directory: &Path, address: &str, port: u16, name: &str) -> Result<()> {
    fs::create_dir_all(directory.join("certs"))?;
    fs::create_dir_all(directory.join("logs"))?;
    let write = |file: &str, text: &str| fs::write(directory.join(file), text);
    write(
        "tokens.csv",
        &format!("e2e-admin,admin,admin,system:masters\ne2e-node,system:node:{name}-n1,node,system:nodes\n"),
    )?;
    for (user, token) in [("admin", "e2e-admin"), ("node", "e2e-node")] {
        write(
            &format!("{user}.kubeconfig"),
            &kubeconfig(directory, address, port, token),
        )?;
    }
    let ca = Ca::new("e2e API server")?;
    let server = ca.leaf(&[
        address,
        "127.0.0.1",
        "10.96.0.1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
    ])?;
    write("certs/ca.crt", &ca.pem)?;
    write("certs/apiserver.crt", &server.chain)?;
    write("certs/apiserver.key", &server.key)?;
    let key = rcgen::KeyPair::generate()?;
    write("certs/sa.key", &key.serialize_pem())?;
    write("certs/sa.pub", &key.public_key_pem())?;
    Ok(())
}

/// A kubeconfig with a bearer token.
pub(crate) fn kubeconfig(directory: &Path, address: &str, port: u16, token: &str) -> String {
    let ca = directory.join("certs/ca.crt");
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: \"https://{address}:{port}\", certificate-authority: {}}}}}]\n\
         users: [{{name: u, user: {{token: {token}}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
        ca.display()
    )
}

/// The certificate to trust.
pub(crate) fn certificate(directory: &Path) -> Result<Vec<Vec<u8>>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_file(directory.join("certs/ca.crt"))?;
    Ok(vec![der.to_vec()])
}

/// A client as a kubeconfig says.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    let config = Kubeconfig::read_from(kubeconfig)?;
    Ok(Client::try_from(
        kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?,
    )?)
}

/// etcd that keeps its data as long as the machine runs; it listens on loopback and at `address`.
pub(crate) fn etcd_arguments(
    directory: &Path,
    address: Option<&str>,
    port: u16,
    peer_port: u16,
) -> Vec<String> {
    let mut listen = format!("http://127.0.0.1:{port}");
    if let Some(address) = address {
        listen = format!("{listen},http://{address}:{port}");
    }
    vec![
        format!("--data-dir={}", directory.join("etcd").display()),
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={listen}"),
        format!("--advertise-client-urls=http://127.0.0.1:{port}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"),
    ]
}

/// kube-apiserver with RBAC and with tokens for service accounts.
pub(crate) fn api_arguments(directory: &Path, address: &str, port: u16, etcd_port: u16) -> Vec<String> {
    let path = |file: &str| directory.join(file).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--tls-cert-file={}", path("certs/apiserver.crt")),
        format!("--tls-private-key-file={}", path("certs/apiserver.key")),
        format!("--advertise-address={address}"),
        format!("--secure-port={port}"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", path("certs/sa.pub")),
        format!("--service-account-signing-key-file={}", path("certs/sa.key")),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        format!("--token-auth-file={}", path("tokens.csv")),
    ]
}

/// Compacts the history of the etcd at this address up to now.
pub(crate) async fn compact(etcd: SocketAddr) -> Result<()> {
    let status = ask(etcd, "maintenance/status", "{}").await?;
    let revision = status
        .pointer("/header/revision")
        .context("etcd tells no revision")?
        .clone();
    let body = serde_json::json!({"revision": revision, "physical": true});
    ask(etcd, "kv/compaction", &body.to_string()).await.map(drop)
}

async fn ask(etcd: SocketAddr, what: &str, body: &str) -> Result<serde_json::Value> {
    let answer = crate::client::post(etcd, &format!("/v3/{what}"), body).await?;
    ensure!(answer.status().is_success(), "etcd: {answer:?}");
    Ok(serde_json::from_slice(answer.body())?)
}
