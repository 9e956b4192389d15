//! How much memory this process may use, and what of that the cache may have.

use std::fs;
use std::path::Path;

use crate::options::EdgeOptions;

/// What the cache leaves of the limit in any case, per cent: a process at its limit is killed.
const SPARE_PERCENT: u64 = 15;

/// What the cache leaves for connections, TLS, configuration and code.
const REST_BYTES: u64 = 64 << 20;

/// Least that a cache gets: below, it isn't worth having, and whoever set such a limit is told.
const LEAST_BYTES: u64 = 1 << 20;

/// The bytes that the cache in memory may have: what the options ask for, and no more than the limit of this
/// process has room for.
pub(crate) fn cache_bytes(options: &EdgeOptions) -> u64 {
    let asked = options.cache_max_bytes;
    let Some(limit) = limit_bytes(Path::new("/")) else {
        return asked;
    };
    let table = u64::try_from(options.rate_table_bytes).unwrap_or(u64::MAX);
    let bytes = asked.min(room(limit, table));
    if bytes < asked {
        tracing::warn!(
            asked_bytes = asked,
            cache_bytes = bytes,
            limit_bytes = limit,
            "the memory limit has no room for a cache as large as it was asked for: it gets less"
        );
    }
    bytes
}

/// What a limit leaves for the cache beside a table of `table` bytes.
fn room(limit: u64, table: u64) -> u64 {
    let usable = limit - limit / 100 * SPARE_PERCENT;
    usable
        .saturating_sub(table)
        .saturating_sub(REST_BYTES)
        .max(LEAST_BYTES)
}

/// The least of the limits of this process' control groups (version 2 and 1) and the machine's memory, bytes;
/// `None`: none can be read. `root` is `/` but in tests.
fn limit_bytes(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let of_groups = groups.lines().filter_map(|line| {
        // hierarchy:controllers:path; version 2 has the hierarchy 0 and names no controllers.
        let mut parts = line.splitn(3, ':');
        let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        if hierarchy == "0" && controllers.is_empty() {
            least_upwards(&root.join("sys/fs/cgroup"), path, "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            least_upwards(&root.join("sys/fs/cgroup/memory"), path, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    of_groups.chain(machine_bytes(root)).min()
}

/// The least limit of a group and those above it. A group that isn't visible from inside a container is passed
/// over: what is mounted there as the root is the container's own.
fn least_upwards(mount: &Path, path: &str, file: &str) -> Option<u64> {
    // A path that begins above the root of the namespace has nothing to be read.
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors()
        .filter_map(|group| fs::read_to_string(mount.join(group).join(file)).ok())
        // "max": no limit.
        .filter_map(|text| text.trim().parse().ok())
        .min()
}

fn machine_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:        1048576 kB\nMemFree:          400000 kB\n",
    );

    #[test]
    fn the_least_limit_of_a_group_those_above_it_and_the_machine_holds() {
        let version_2 = [
            MEMINFO,
            ("proc/self/cgroup", "0::/pod/edge\n"),
            ("sys/fs/cgroup/pod/edge/memory.max", "max\n"),
            ("sys/fs/cgroup/pod/memory.max", "268435456\n"),
        ];
        let version_1 = [
            MEMINFO,
            ("proc/self/cgroup", "5:devices:/x\n4:cpu,memory:/pod\n0::/\n"),
            ("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "134217728\n"),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ];
        let inside_a_container = [
            MEMINFO,
            ("proc/self/cgroup", "4:memory:/not/mounted/here\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"),
        ];
        let unlimited = [
            MEMINFO,
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
        ];
        for (files, limit) in [
            (&version_2[..], Some(256 << 20)),
            (&version_1[..], Some(128 << 20)),
            (&inside_a_container[..], Some(64 << 20)),
            (&unlimited[..], Some(1 << 30)),
            (&[MEMINFO][..], Some(1 << 30)),
            (&[][..], None),
        ] {
            assert_eq!(limit_bytes(machine(files).path()), limit, "{files:?}");
        }
    }

    #[test]
    fn a_cache_leaves_a_share_of_the_limit_the_table_and_a_fixed_rest() {
        assert_eq!(room(1_000 << 20, 16 << 20), (850 - 16 - 64) << 20);
        assert_eq!(room(64 << 20, 16 << 20), LEAST_BYTES);
        assert_eq!(room(0, u64::MAX), LEAST_BYTES);
    }
}
