//! How much the system has taken from anybody and not written yet.

use std::{fs::File, os::unix::fs::FileExt};

/// One sync for a whole file system waits for all of it, once: so much is there in some hundredths of a second on a disk that is slow, and what others write after it comes in pieces.
const LITTLE_BYTES: u64 = 16 << 20;

/// Asks the system. Costs some 6 µs.
#[derive(Debug)]
pub(super) struct Unwritten {
    meminfo: Option<File>,
}

impl Unwritten {
    pub(super) fn new() -> Self {
        Self { meminfo: File::open("/proc/meminfo").ok() }
    }

    /// Whether it is little. On all file systems together: more than that may be on none.
    pub(super) fn is_little(&self) -> bool {
        let mut buffer = [0; 4096];
        let Some(size) = self.meminfo.as_ref().and_then(|file| file.read_at(&mut buffer, 0).ok()) else {
            return false;
        };
        str::from_utf8(&buffer[..size])
            .ok()
            .and_then(unwritten_bytes)
            .is_some_and(|bytes| bytes <= LITTLE_BYTES)
    }
}

/// What waits, and what is on its way.
fn unwritten_bytes(meminfo: &str) -> Option<u64> {
    let kib = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((kib("Dirty:")?.saturating_add(kib("Writeback:")?)).saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_and_what_is_on_its_way() {
        let told = "MemTotal:       24684092 kB\nDirty:               348 kB\nWriteback:            12 kB\nWritebackTmp:          7 kB\n";
        assert_eq!(unwritten_bytes(told), Some(360 << 10));
        assert_eq!(unwritten_bytes("MemTotal: 1 kB\nDirty: 3 kB\n"), None);
        assert_eq!(unwritten_bytes("Dirty: many kB\nWriteback: 0 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_system_tells() {
        let meminfo = std::fs::read_to_string("/proc/meminfo").expect("readable");
        assert!(unwritten_bytes(&meminfo).is_some(), "{meminfo}");
    }
}
