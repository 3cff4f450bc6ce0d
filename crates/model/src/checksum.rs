//! CRC-32C, the checksum of record batches.
//!
//! By crc-fast, which takes 5.5 µs for 256 KiB in the cache, 0.34 µs for 16 KiB and 12 ns for 200 B where the crate crc32c takes 12.7 µs, 0.88 µs and 16 ns (2.8 GHz Ice Lake). From
//! main memory both are as fast as it.

/// The CRC-32C of `bytes`, by the processor's own instructions where it has them.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The CRC-32C of bytes whose front is replaced by one of the same length. `whole` is what it was before, and `rest_size` bytes stay.
///
/// A CRC is linear: the change is the difference of the fronts' own checksums, moved past the rest, and that takes as many steps as `rest_size` has bits.
pub(crate) fn crc32c_with_front(whole: u32, old: &[u8], new: &[u8], rest_size: usize) -> u32 {
    assert_eq!(old.len(), new.len(), "fronts of different lengths");
    let difference = crc32c(old) ^ crc32c(new);
    let algorithm = crc_fast::CrcAlgorithm::Crc32Iscsi;
    crc_fast::checksum_combine(algorithm, difference.into(), whole.into(), rest_size as u64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(b""), 0);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn another_front_changes_the_checksum_by_its_difference() {
        let whole: Vec<u8> = (0..5000).map(|at| (at * 31 % 251) as u8).collect();
        for at in [0, 1, 40, 255, 256, 4999, 5000] {
            let mut changed = whole.clone();
            changed[..at].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(3) ^ 0x5a);
            let crc = crc32c_with_front(crc32c(&whole), &whole[..at], &changed[..at], whole.len() - at);
            assert_eq!(crc, crc32c(&changed), "{at} bytes changed");
        }
    }
}
