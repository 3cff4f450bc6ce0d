//! Zigzag variable-length numbers, as the fields of a record are written.
//!
//! Zero and small numbers of either sign take one byte: seven bits a byte, lowest first, the top bit says that more follow.

/// Most bytes that a 32-bit number takes.
const VARINT_SIZE_MAX: usize = 5;

/// Most bytes that a 64-bit number takes.
const VARLONG_SIZE_MAX: usize = 10;

/// Writes a 32-bit number in 1 to 5 bytes.
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_varlong(out, i64::from(value));
}

/// Writes a 64-bit number in 1 to 10 bytes.
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut bytes = [0; VARLONG_SIZE_MAX];
    let size = write_varlong(&mut bytes, 0, value);
    out.extend_from_slice(&bytes[..size]);
}

/// Writes a number into `out` from `at`; gives the position after it.
#[inline]
pub(crate) fn write_varlong(out: &mut [u8], mut at: usize, value: i64) -> usize {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out[at] = rest as u8 | 0x80;
        rest >>= 7;
        at += 1;
    }
    out[at] = rest as u8;
    at + 1
}

/// How many bytes [`put_varint`] writes.
pub fn varint_size(value: i32) -> usize {
    varlong_size(i64::from(value))
}

/// How many bytes [`put_varlong`] writes.
pub fn varlong_size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Takes a number off the front of `bytes`. `None` if it does not end there or exceeds 32 bits.
#[inline(always)]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    match take_short(bytes) {
        Some(value) => Some(unzigzag_32(value)),
        None => take_long_varint(bytes),
    }
}

/// Takes a number of at most three bytes, which nearly all numbers of a record are, if there are at least four. One look at memory serves all three.
#[inline(always)]
fn take_short(bytes: &mut &[u8]) -> Option<u32> {
    let (front, _) = bytes.split_first_chunk::<4>()?;
    let (value, size) = decode_short(u32::from_le_bytes(*front).into())?;
    *bytes = &bytes[size..];
    Some(value)
}

/// The number in the lowest bytes of `window`, and its size, if that is at most three.
#[inline(always)]
fn decode_short(window: u64) -> Option<(u32, usize)> {
    let bytes = window as u32;
    if bytes & 0x80 == 0 {
        Some((bytes & 0x7f, 1))
    } else if bytes & 0x8000 == 0 {
        Some((bytes & 0x7f | bytes >> 1 & 0x3f80, 2))
    } else if bytes & 0x80_0000 == 0 {
        Some((bytes & 0x7f | bytes >> 1 & 0x3f80 | bytes >> 2 & 0x1f_c000, 3))
    } else {
        None
    }
}

/// [`decode_short`] of a signed number.
#[inline(always)]
pub(crate) fn peek_short(window: u64) -> Option<(i32, usize)> {
    decode_short(window).map(|(value, size)| (unzigzag_32(value), size))
}

#[cold]
fn take_long_varint(bytes: &mut &[u8]) -> Option<i32> {
    let mut value = 0_u64;
    for at in 0..VARINT_SIZE_MAX {
        let byte = *bytes.get(at)?;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return u32::try_from(value).ok().map(unzigzag_32);
        }
    }
    None
}

/// Takes a number off the front of `bytes`. `None` if it does not end there or exceeds 64 bits.
#[inline(always)]
pub(crate) fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    match take_short(bytes) {
        Some(value) => Some(unzigzag_64(value.into())),
        None => take_long_varlong(bytes),
    }
}

#[cold]
fn take_long_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for at in 0..VARLONG_SIZE_MAX {
        let byte = *bytes.get(at)?;
        // The tenth byte has room for the 64th bit alone.
        if at == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(unzigzag_64(value));
        }
    }
    None
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

#[inline]
fn unzigzag_32(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

#[inline]
fn unzigzag_64(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(bits in 0..64_u32, raw: i64) {
            let value = raw >> bits;
            let mut written = Vec::new();
            put_varlong(&mut written, value);
            prop_assert_eq!(written.len(), varlong_size(value));
            let mut rest = written.as_slice();
            prop_assert_eq!(take_varlong(&mut rest), Some(value));
            prop_assert!(rest.is_empty());

            let mut rest = written.as_slice();
            prop_assert_eq!(take_varint(&mut rest), i32::try_from(value).ok());
            for end in 0..written.len() {
                prop_assert_eq!(take_varlong(&mut &written[..end]), None);
            }
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let without_end = [0xff; 11];
        assert_eq!(take_varint(&mut without_end.as_slice()), None);
        assert_eq!(take_varlong(&mut without_end.as_slice()), None);
        assert_eq!(take_varint(&mut [0xff, 0xff, 0xff, 0xff, 0x1f].as_slice()), None);
        assert_eq!(take_varint(&mut [0xff, 0xff, 0xff, 0xff, 0x0f].as_slice()), Some(i32::MIN));
        let beyond_64_bits = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x03];
        assert_eq!(take_varlong(&mut beyond_64_bits.as_slice()), None);
    }
}
