//! CRC-32C, the checksum of record batches.

use crc_fast::CrcAlgorithm::Crc32Iscsi;

/// The CRC-32C of `bytes`, by the processor's own instructions where it has them.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of `new_start` + rest, where `checksum` is that of `old_start` + rest and the rest has `rest_size` bytes.
///
/// Two checksums over the same length differ only by their inputs' difference, and an equal rest only shifts it. So the rest needs not be read again.
pub(crate) fn crc32c_with_start_replaced(
    checksum: u32,
    old_start: &[u8],
    new_start: &[u8],
    rest_size: usize,
) -> u32 {
    debug_assert_eq!(old_start.len(), new_start.len());
    let difference = crc32c(old_start) ^ crc32c(new_start);
    let shifted =
        crc_fast::checksum_combine(Crc32Iscsi, u64::from(difference), 0, rest_size as u64);
    checksum ^ shifted as u32
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
    fn replaced_start_gives_the_checksum_of_the_whole() {
        for rest_size in [0, 1, 7, 61, 4096, 100_001] {
            let old: Vec<u8> = (0..40 + rest_size)
                .map(|at| (at * 31 % 251) as u8)
                .collect();
            let mut new = old.clone();
            new[..8].copy_from_slice(b"different"[..8].as_ref());
            new[39] ^= 1;
            let replaced =
                crc32c_with_start_replaced(crc32c(&old), &old[..40], &new[..40], rest_size);
            assert_eq!(replaced, crc32c(&new), "rest of {rest_size}");
        }
    }
}
