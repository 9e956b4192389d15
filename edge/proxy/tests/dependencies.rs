//! The phases stay free of any HTTP library, runtime and TLS.

use std::process::Command;

#[test]
fn no_http_library_runtime_or_tls_is_in_the_dependency_tree() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "-p",
            "breakwater-edge-proxy",
            "-e",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"breakwater-edge-cache"), "{tree}");
    for banned in [
        "hyper",
        "http",
        "http-body",
        "h2",
        "h3",
        "httparse",
        "quinn",
        "rustls",
        "tokio",
    ] {
        assert!(!names.contains(&banned), "{banned} is in the tree:\n{tree}");
    }
}
