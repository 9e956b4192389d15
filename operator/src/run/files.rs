use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use breakwater_crds::EdgeRegionSpec;
use breakwater_render::HostGrant;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Why a file of the platform's settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It doesn't have the right form.
    #[error("{}: {problem}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    namespaces: Vec<String>,
    suffixes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedRegion {
    name: String,
    spec: EdgeRegionSpec,
}

/// Reads who may claim which hosts: a list of `namespaces` and `suffixes`.
pub(super) fn host_grants(path: &Path) -> Result<Vec<HostGrant>, FileError> {
    let grants: Vec<Grant> = read(path)?;
    Ok(grants
        .into_iter()
        .map(|Grant { namespaces, suffixes }| HostGrant { namespaces, suffixes })
        .collect())
}

/// Reads the regions to apply: a list of `name` and `spec`.
pub(super) fn regions(path: &Path) -> Result<BTreeMap<String, EdgeRegionSpec>, FileError> {
    let regions: Vec<NamedRegion> = read(path)?;
    Ok(regions
        .into_iter()
        .map(|NamedRegion { name, spec }| (name, spec))
        .collect())
}

/// JSON is read as such, everything else as YAML.
fn read<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let text = std::fs::read_to_string(path).map_err(|error| FileError::Read {
        path: path.to_owned(),
        error,
    })?;
    let form = |problem: String| FileError::Form {
        path: path.to_owned(),
        problem,
    };
    if path.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str(&text).map_err(|error| form(error.to_string()))
    } else {
        serde_saphyr::from_str(&text).map_err(|error| form(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_and_regions_are_read_as_json_and_yaml_and_a_wrong_field_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let grants = write(
            "grants.json",
            r#"[{"namespaces":["a"],"suffixes":["example.com"]}]"#,
        );
        assert_eq!(host_grants(&grants).unwrap()[0].suffixes, ["example.com"]);
        let list = write(
            "regions.yaml",
            "- name: fra\n  spec:\n    local:\n      ports: {http: 8080}\n",
        );
        assert_eq!(
            regions(&list).unwrap()["fra"].local.as_ref().unwrap().ports.http,
            8080
        );
        let wrong = write("wrong.yaml", "- name: fra\n  spec:\n    local: {port: 1}\n");
        let error = regions(&wrong).unwrap_err().to_string();
        assert!(error.contains("wrong.yaml") && error.contains("port"), "{error}");
    }
}
