//! Reads a directory of manifests.
//!
//! A file that can't be read as a whole (half-written, say) keeps what it said before; the objects of all
//! other files go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Largest file that is read, bytes: what the API server takes of one object, many times over.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Most files that are read.
const MAX_FILES: usize = 20_000;

/// The text of every manifest below `directory`, by path. A file that can't be read is an error in its place.
pub fn texts(directory: &Path) -> io::Result<BTreeMap<PathBuf, Result<String, String>>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(directory) = waiting.pop() {
        // Links may lead back.
        if !seen.insert(fs::canonicalize(&directory)?) {
            continue;
        }
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if is_hidden(&path) {
                continue; // editors' and Kubernetes' own (..data)
            }
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => waiting.push(path),
                Ok(metadata) if is_manifest(&path) => {
                    if found.len() >= MAX_FILES {
                        return Err(io::Error::other(format!("more than {MAX_FILES} manifests")));
                    }
                    found.insert(path.clone(), text(&path, metadata.len()));
                }
                // A name that vanished between listing and looking is no error.
                _ => {}
            }
        }
    }
    Ok(found)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().first() == Some(&b'.'))
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
}

fn text(path: &Path, bytes: u64) -> Result<String, String> {
    if bytes > MAX_FILE_BYTES {
        return Err(format!(
            "it has {bytes} bytes; a manifest may have {MAX_FILE_BYTES}"
        ));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "byte {} isn't UTF-8: this is no YAML",
            error.utf8_error().valid_up_to()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_found_below_the_directory_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("team/sites")).unwrap();
        for name in [
            "a.yaml",
            "b.yml",
            "team/sites/c.json",
            "notes.txt",
            ".hidden.yaml",
            "a.yaml~",
        ] {
            fs::write(root.join(name), "x").unwrap();
        }
        let names: Vec<String> = texts(root)
            .unwrap()
            .keys()
            .map(|path| path.strip_prefix(root).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a.yaml", "b.yml", "team/sites/c.json"]);
    }

    #[test]
    fn a_link_that_leads_back_is_no_trap() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.yaml"), "x").unwrap();
        std::os::unix::fs::symlink(".", directory.path().join("again")).unwrap();
        assert_eq!(texts(directory.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_file_that_isnt_text_says_where() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.yaml"), b"ab\xffc").unwrap();
        let found = texts(directory.path()).unwrap();
        let problem = found.values().next().unwrap().as_ref().unwrap_err();
        assert!(problem.contains("byte 2"), "{problem}");
    }
}
