use crate::support::client::{get, h2, whole};
use crate::support::tls::{Authority, TLS13, connect};
use crate::support::{edge_with, fixed_site, options, with_certificate};

#[tokio::test]
async fn streams_of_one_connection_are_answered_beside_each_other() {
    let authority = Authority::new();
    let names = ["a.example"];
    let site = with_certificate(
        fixed_site("a", "a.example", "hello"),
        &names,
        authority.issue(&names),
    );
    let edge = edge_with(options(), vec![site]);
    let tls = authority.client(&["h2"], TLS13);
    let mut sender = h2(connect(&tls, edge.addresses().https[0], "a.example")
        .await
        .unwrap())
    .await;
    let answers: Vec<_> = (0..50)
        .map(|n| sender.send_request(get(&format!("https://a.example/{n}"))))
        .collect();
    for answer in answers {
        let answer = answer.await.unwrap();
        assert_eq!(answer.headers()["content-length"], "5");
        assert_eq!(whole(answer).await, (200, "hello".into()));
    }
}

#[tokio::test]
async fn an_unknown_host_resets_its_stream_and_no_other() {
    let authority = Authority::new();
    let names = ["a.example"];
    let site = with_certificate(
        fixed_site("a", "a.example", "hello"),
        &names,
        authority.issue(&names),
    );
    let edge = edge_with(options(), vec![site]);
    let tls = authority.client(&["h2"], TLS13);
    let mut sender = h2(connect(&tls, edge.addresses().https[0], "a.example")
        .await
        .unwrap())
    .await;
    let error = sender
        .send_request(get("https://unknown.example/"))
        .await
        .unwrap_err();
    let reason = std::error::Error::source(&error)
        .and_then(|e| e.downcast_ref::<h2::Error>())
        .and_then(h2::Error::reason);
    assert_eq!(reason, Some(h2::Reason::REFUSED_STREAM), "{error:?}");
    assert_eq!(
        sender
            .send_request(get("https://a.example/"))
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn a_host_that_the_certificate_does_not_cover_is_misdirected() {
    let authority = Authority::new();
    let of =
        |name, host: &str| with_certificate(fixed_site(name, host, name), &[host], authority.issue(&[host]));
    let edge = edge_with(options(), vec![of("a", "a.example"), of("b", "b.example")]);
    let tls = authority.client(&["h2"], TLS13);
    let mut sender = h2(connect(&tls, edge.addresses().https[0], "a.example")
        .await
        .unwrap())
    .await;
    assert_eq!(
        sender
            .send_request(get("https://b.example/"))
            .await
            .unwrap()
            .status(),
        421
    );
}
