//! Certificates and keys of the cases. They are committed, since signatures differ each time that they are
//! made: `cargo test -p breakwater-render --test pairs -- --ignored` makes them anew, then
//! `UPDATE_GOLDENS=1`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
};

fn write(name: &str, text: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/pairs");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(name), text).unwrap();
}

fn params(hosts: &[&str], years: (i32, i32)) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    params
}

fn pair(name: &str, params: &CertificateParams, key: &KeyPair) {
    write(&format!("{name}.crt"), &params.self_signed(key).unwrap().pem());
    write(&format!("{name}.key"), &key.serialize_pem());
}

#[test]
#[ignore = "writes files"]
fn makes_the_certificates_and_keys_anew() {
    let ecdsa = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let shop = ["shop.example.com"];
    pair("shop", &params(&shop, (2026, 2036)), &ecdsa());
    pair("shop-next", &params(&shop, (2026, 2037)), &ecdsa());
    pair(
        "shop-ed25519",
        &params(&shop, (2026, 2036)),
        &KeyPair::generate_for(&PKCS_ED25519).unwrap(),
    );
    pair("expired", &params(&shop, (2020, 2022)), &ecdsa());
    pair("future", &params(&shop, (2030, 2036)), &ecdsa());
    pair("other", &params(&["other.example.com"], (2026, 2036)), &ecdsa());
    pair(
        "wildcard",
        &params(&["*.example.com", "example.com"], (2026, 2036)),
        &ecdsa(),
    );
    pair("nameless", &params(&[], (2026, 2036)), &ecdsa());
    let mut soon = params(&shop, (2026, 2036));
    soon.not_after = rcgen::date_time_ymd(2026, 11, 9);
    pair("soon", &soon, &ecdsa());
    let key = ecdsa();
    let mut authority = params(&[], (2026, 2036));
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = authority.self_signed(&key).unwrap().pem();
    write("ca.crt", &ca);
    let issuer = Issuer::from_params(&authority, &key);
    let leaf_key = ecdsa();
    let leaf = params(&shop, (2026, 2034))
        .signed_by(&leaf_key, &issuer)
        .unwrap()
        .pem();
    write("chain.crt", &format!("{leaf}{ca}"));
    write("chain-wrong-order.crt", &format!("{ca}{leaf}"));
    write("chain.key", &leaf_key.serialize_pem());
    let client = ecdsa();
    pair("client", &params(&[], (2026, 2036)), &client);
    let whole = client.serialize_pem();
    write("truncated.key", whole.get(..whole.len() / 2).unwrap());
}
