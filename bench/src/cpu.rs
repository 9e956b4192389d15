//! What a server used: processor time and memory of its whole tree of processes, the kernel's part included.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

/// The kernel counts processor time in hundredths of a second for its users, whatever its own clock is.
const TICK_MS: u64 = 10;

struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

/// A line of `/proc/PID/stat`. The name stands in brackets and may hold anything, brackets and spaces too.
fn parse_stat(line: &str) -> Option<Stat> {
    let (pid, _) = line.split_once(' ')?;
    let fields: Vec<&str> = line.rsplit_once(") ")?.1.split(' ').collect();
    let number = |index: usize| -> Option<u64> { fields.get(index)?.parse().ok() };
    Some(Stat {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        // User and system time, and those of children that have ended.
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
    })
}

/// A process and all that descend from it.
fn tree(root: u32) -> Vec<Stat> {
    let all: Vec<Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| parse_stat(&fs::read_to_string(entry.path().join("stat")).ok()?))
        .collect();
    let mut members = HashSet::from([root]);
    loop {
        let before = members.len();
        for stat in &all {
            if members.contains(&stat.parent) {
                members.insert(stat.pid);
            }
        }
        if members.len() == before {
            break;
        }
    }
    all.into_iter()
        .filter(|stat| members.contains(&stat.pid))
        .collect()
}

/// Processor time so far.
pub(crate) fn time(root: u32) -> Duration {
    Duration::from_millis(tree(root).iter().map(|stat| stat.ticks * TICK_MS).sum())
}

/// Memory that is the tree's alone or its share of what is shared (PSS), KiB.
pub(crate) fn memory_kib(root: u32) -> u64 {
    tree(root)
        .iter()
        .filter_map(|stat| fs::read_to_string(format!("/proc/{}/smaps_rollup", stat.pid)).ok())
        .filter_map(|rollup| parse_pss(&rollup))
        .sum()
}

fn parse_pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_brackets_and_spaces_in_its_name_is_read() {
        let line = "4242 (a b) (c) S 17 4242 4242 0 -1 4194304 100 0 0 0 12 34 5 6 20 0 1 0 100 0 0\n";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.ticks), (4242, 17, 57));
        assert!(parse_stat("4242").is_none());
    }

    #[test]
    fn the_share_of_memory_is_read() {
        assert_eq!(
            parse_pss("Rss:  900 kB\nPss:                 345 kB\nPss_Dirty: 1 kB\n"),
            Some(345)
        );
    }

    #[test]
    fn a_tree_holds_its_root() {
        let own = std::process::id();
        assert!(tree(own).iter().any(|stat| stat.pid == own));
        assert!(memory_kib(own) > 0);
    }
}
