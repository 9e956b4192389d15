//! Cases of `testdata/*.in.yaml`: manifests as people write them, in steps, and what became of them.
//!
//! Besides manifests, a case may hold documents of `apiVersion: golden`: `Settings` (of the platform; first),
//! `Step` (render what stands above, publish it as the operator would, go on), `Remove`, `Listed`
//! (everything of a namespace was listed), `Absent` (a Secret was looked for), `Unreadable` (an object whose spec this
//! build can't read), `Unchecked` (an object that never saw this build's schema: the cluster still has an older one). `$(NAME)`
//! stands for the contents of `testdata/pairs/NAME`.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod case;
pub(crate) mod cluster;
pub(crate) mod show;
pub(crate) mod world;

use std::path::{Path, PathBuf};

pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// Every case, sorted.
pub(crate) fn inputs() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(testdata()).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".in.yaml"));
    paths.sort();
    paths
}
