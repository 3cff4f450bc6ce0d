//! CRC-32C, the checksum of record batches.
//!
//! By crc-fast, which takes 5.5 µs for 256 KiB in the cache, 0.34 µs for 16 KiB and 12 ns for 200 B where the crate crc32c takes 12.7 µs, 0.88 µs and 16 ns (2.8 GHz Ice Lake). From
//! main memory both are as fast as it.

/// The CRC-32C of `bytes`, by the processor's own instructions where it has them.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The CRC-32C of the two parts as if they were one.
pub(crate) fn crc32c_of_parts(first: &[u8], second: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(first);
    digest.update(second);
    digest.finalize() as u32
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
    fn parts_are_the_whole() {
        let whole: Vec<u8> = (0..5000).map(|at| (at * 31 % 251) as u8).collect();
        for at in [0, 1, 40, 255, 256, 4999, 5000] {
            assert_eq!(crc32c_of_parts(&whole[..at], &whole[at..]), crc32c(&whole), "cut at {at}");
        }
    }
}
