//! What the origin serves: a body for each path, the same each time, that the verifier knows too.

use std::sync::OnceLock;

/// Largest body.
pub(crate) const MAX_BYTES: usize = 1 << 20;
const OFFSETS: usize = 1 << 16;

fn noise() -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    NOISE.get_or_init(|| {
        let mut random = fastrand::Rng::with_seed(1);
        let mut bytes = vec![0; MAX_BYTES + OFFSETS];
        random.fill(&mut bytes);
        bytes
    })
}

/// The body of `/b/LENGTH/NAME`; none for what isn't such a path.
pub(crate) fn body(path: &str) -> Option<&'static [u8]> {
    let (length, name) = path.strip_prefix("/b/")?.split_once('/')?;
    let length: usize = length.parse().ok().filter(|length| *length <= MAX_BYTES)?;
    let hash = name.bytes().fold(5_381_usize, |hash, byte| {
        hash.wrapping_mul(33) ^ usize::from(byte)
    });
    let offset = hash % OFFSETS;
    noise().get(offset..offset + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_their_length_and_differ_by_name() {
        assert_eq!(body("/b/1024/x").unwrap().len(), 1_024);
        assert_eq!(body("/b/1048576/x").unwrap().len(), MAX_BYTES);
        assert_ne!(body("/b/1024/x"), body("/b/1024/y"));
        assert_eq!(body("/b/1024/x"), body("/b/1024/x"));
        assert!(body("/b/9999999/x").is_none() && body("/x").is_none());
    }
}
