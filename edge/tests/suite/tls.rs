use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use breakwater_edge_config::TlsVersion;
use rustls::HandshakeKind;
use tokio::io::AsyncReadExt;

use crate::support::client::{Raw, get, h1, whole};
use crate::support::tls::{Authority, TLS12, TLS13, connect};
use crate::support::{
    edge_with, fixed_site, options, site_change, until, with_certificate, with_hosts, with_min_version,
};

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_the_certificate() {
    let authority = Authority::new();
    let of = |name: &str, host: &str| {
        with_certificate(fixed_site(name, host, name), &[host], authority.issue(&[host]))
    };
    let edge = edge_with(
        options(),
        vec![
            of("a", "a.example"),
            of("b", "b.example"),
            of("w", "*.wild.example"),
        ],
    );
    let tls = authority.client(&[], TLS13);
    for (host, body) in [
        ("a.example", "a"),
        ("b.example", "b"),
        ("x.wild.example", "w"),
        ("A.Example", "a"),
    ] {
        let stream = connect(&tls, edge.addresses().https[0], host).await.unwrap();
        let answer = Raw::new(stream).get(host, "/").await;
        assert_eq!(answer.body, body.as_bytes());
    }
}

#[tokio::test]
async fn an_unknown_name_or_none_gets_nothing_not_even_an_alert() {
    let authority = Authority::new();
    let site = with_certificate(
        with_hosts(
            fixed_site("a", "a.example", "a"),
            &["a.example", "uncovered.example"],
        ),
        &["a.example"],
        authority.issue(&["a.example"]),
    );
    let edge = edge_with(
        options(),
        vec![site, fixed_site("plain", "plain.example", "no certificate")],
    );
    let address = edge.addresses().https[0];
    for host in [
        "unknown.example",
        "uncovered.example",
        "plain.example",
        "127.0.0.1",
    ] {
        let config = authority.client(&[], TLS13);
        let name = rustls::pki_types::ServerName::try_from(host).unwrap();
        let mut session = rustls::ClientConnection::new(config, name).unwrap();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut tcp, &hello)
            .await
            .unwrap();
        let mut got = Vec::new();
        // A reset says as little.
        let _ = tcp.read_to_end(&mut got).await;
        assert!(got.is_empty(), "{host}: {got:?}");
    }
}

#[tokio::test]
async fn a_site_for_the_newest_version_refuses_the_older_one() {
    let authority = Authority::new();
    let of = |name: &str, host: &str, version| {
        let site = with_certificate(fixed_site(name, host, name), &[host], authority.issue(&[host]));
        with_min_version(site, version)
    };
    let edge = edge_with(
        options(),
        vec![
            of("new", "new.example", TlsVersion::Tls13),
            of("old", "old.example", TlsVersion::Tls12),
        ],
    );
    let address = edge.addresses().https[0];
    let (tls12, tls13) = (authority.client(&[], TLS12), authority.client(&[], TLS13));
    assert!(connect(&tls12, address, "new.example").await.is_err());
    for (config, host) in [
        (&tls12, "old.example"),
        (&tls13, "old.example"),
        (&tls13, "new.example"),
    ] {
        connect(config, address, host).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_is_resumed_whichever_worker_gets_the_connection() {
    let authority = Authority::new();
    let site = with_certificate(
        fixed_site("a", "a.example", "a"),
        &["a.example"],
        authority.issue(&["a.example"]),
    );
    let edge = edge_with(options(), vec![site]);
    for versions in [TLS12, TLS13] {
        let tls = authority.client(&[], versions);
        let mut kinds = Vec::new();
        for _ in 0..8 {
            let stream = connect(&tls, edge.addresses().https[0], "a.example")
                .await
                .unwrap();
            let mut client = Raw::new(stream);
            assert_eq!(client.get("a.example", "/").await.status, 200);
            kinds.push(client.io.get_ref().1.handshake_kind().unwrap());
        }
        assert_eq!(kinds[0], HandshakeKind::Full);
        assert!(
            kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed),
            "{kinds:?}"
        );
    }
}

#[tokio::test]
async fn a_session_of_one_site_is_not_resumed_under_a_stricter_one() {
    let authority = Authority::new();
    let of = |name: &str, host: &str, version| {
        let site = with_certificate(fixed_site(name, host, name), &[host], authority.issue(&[host]));
        with_min_version(site, version)
    };
    let before = of("a", "a.example", TlsVersion::Tls12);
    let edge = edge_with(options(), vec![before.clone()]);
    let tls = authority.client(&[], TLS13);
    for _ in 0..2 {
        let stream = connect(&tls, edge.addresses().https[0], "a.example")
            .await
            .unwrap();
        assert_eq!(Raw::new(stream).get("a.example", "/").await.status, 200);
    }
    assert_eq!(
        edge.apply(vec![site_change(with_min_version(before, TlsVersion::Tls13))]),
        []
    );
    let stream = connect(&tls, edge.addresses().https[0], "a.example")
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_swapped_under_load_without_one_failure() {
    let authority = Arc::new(Authority::new());
    let site = fixed_site("a", "a.example", "hello");
    let renewed = {
        let (authority, site) = (Arc::clone(&authority), site);
        move || with_certificate(site.clone(), &["a.example"], authority.issue(&["a.example"]))
    };
    let edge = edge_with(options(), vec![renewed()]);
    let address = edge.addresses().https[0];
    let done = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (done, served, authority) = (Arc::clone(&done), Arc::clone(&served), Arc::clone(&authority));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let mut tls = (*authority.client(&["http/1.1"], TLS13)).clone();
                    tls.resumption = rustls::client::Resumption::disabled();
                    let stream = connect(&Arc::new(tls), address, "a.example").await.unwrap();
                    let mut sender = h1(stream).await;
                    for _ in 0..3 {
                        let request = http::Request::get("/").header("host", "a.example");
                        let request = request.body(http_body_util::Full::default()).unwrap();
                        let answer = sender.send_request(request).await.unwrap();
                        assert_eq!(whole(answer).await, (200, "hello".into()));
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for round in 1..=50 {
        assert_eq!(edge.apply(vec![site_change(renewed())]), []);
        until("a request after the swap", || {
            served.load(Ordering::Relaxed) >= round * 4
        })
        .await;
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    // The newest certificate is the one that is presented.
    let newest = renewed();
    edge.apply(vec![site_change(newest.clone())]);
    let stream = connect(&authority.client(&[], TLS13), address, "a.example")
        .await
        .unwrap();
    let presented = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let pem = &newest.key_pairs["pair0"].chain_pem;
    let expected =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(pem);
    assert_eq!(presented, expected.unwrap());
    let _ = get("/");
}
