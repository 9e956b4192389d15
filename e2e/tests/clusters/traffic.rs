//! Installed, applied, served: the way of a newcomer, over every protocol, from outside the cluster.

use anyhow::{Result, ensure};
use breakwater_e2e::installed::{Installed, SOON};
use breakwater_e2e::origin::Origin;
use breakwater_e2e::pki::Ca;
use breakwater_e2e::{client, wait};
use hyper::StatusCode;

use crate::sites;

/// A site with a certificate, over HTTP/1.1 with and without TLS and over HTTP/2.
pub(crate) async fn a_site_is_served_over_every_protocol(edge: &Installed) -> Result<()> {
    let origin = Origin::start("10.77.0.1:0", "hello", None).await?;
    let ca = Ca::new("e2e visitors")?;
    let host = "traffic.example.com";
    edge.cluster
        .apply(&sites::tls_secret("traffic-tls", &ca.leaf(&[host])?))?;
    let tls = "tls: {certificateRefs: [{name: traffic-tls}]}";
    edge.cluster
        .apply(&sites::site("traffic", host, origin.address, tls))?;
    edge.site_ready("traffic")?;

    let plain = client::get(edge.http()?, host, "/a").await?;
    ensure!(plain.status() == StatusCode::PERMANENT_REDIRECT, "{plain:?}");
    let location = plain
        .headers()
        .get("location")
        .map(hyper::header::HeaderValue::as_bytes);
    ensure!(location == Some(b"https://traffic.example.com/a"), "{plain:?}");
    let tls_only = "tls: {certificateRefs: [{name: traffic-tls}], redirect: {enabled: false}}";
    edge.cluster
        .apply(&sites::site("traffic", host, origin.address, tls_only))?;
    edge.site_ready("traffic")?;
    let plain = client::get(edge.http()?, host, "/a").await?;
    let tls = client::get_tls(edge.https()?, host, "/b", &ca.pem).await?;
    let h2 = client::get_h2(edge.https()?, host, "/c", &ca.pem).await?;
    for (answer, body) in [(plain, "hello /a"), (tls, "hello /b"), (h2, "hello /c")] {
        ensure!(
            answer.status() == StatusCode::OK && answer.body() == body,
            "{answer:?}"
        );
    }

    // A host that nobody serves gets no answer at all.
    let unknown = client::get(edge.http()?, "nobody.example.com", "/").await;
    ensure!(unknown.is_err(), "an unknown host is answered: {unknown:?}");
    let unknown = client::get_tls(edge.https()?, "nobody.example.com", "/", &ca.pem).await;
    ensure!(unknown.is_err(), "an unknown name gets a handshake: {unknown:?}");

    edge.cluster.kubectl(&["delete", "edgesite", "traffic"])?;
    wait::until("the deleted site is refused", SOON, || async {
        let plain = client::get(edge.http()?, host, "/").await;
        let tls = client::get_tls(edge.https()?, host, "/", &ca.pem).await;
        ensure!(plain.is_err() && tls.is_err(), "{plain:?} {tls:?}");
        Ok(())
    })
    .await
}
