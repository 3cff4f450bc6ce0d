//! Zigzag variable-length numbers, as the fields of a record are written.
//!
//! Zero and small numbers of either sign take one byte: seven bits a byte, lowest first, the top bit says that more follow.

/// Most bytes that a 32-bit number takes.
const VARINT_SIZE_MAX: usize = 5;

/// Writes a 32-bit number in 1 to 5 bytes.
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_varlong(out, i64::from(value));
}

/// Writes a 64-bit number in 1 to 10 bytes.
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    if rest < 0x80 {
        out.push(rest as u8);
        return;
    }
    let mut bytes = [0; 10];
    let mut size = 0;
    while rest >= 0x80 {
        bytes[size] = rest as u8 | 0x80;
        rest >>= 7;
        size += 1;
    }
    bytes[size] = rest as u8;
    out.extend_from_slice(&bytes[..=size]);
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
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    // Nearly all numbers of a record take one or two bytes.
    match **bytes {
        [low, ref rest @ ..] if low < 0x80 => {
            *bytes = rest;
            Some(unzigzag_32(u32::from(low)))
        }
        [low, high, ref rest @ ..] if high < 0x80 => {
            *bytes = rest;
            Some(unzigzag_32(u32::from(low & 0x7f) | u32::from(high) << 7))
        }
        _ => take_long_varint(bytes),
    }
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
#[inline]
pub(crate) fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    match **bytes {
        [low, ref rest @ ..] if low < 0x80 => {
            *bytes = rest;
            Some(unzigzag_64(u64::from(low)))
        }
        _ => take_long_varlong(bytes),
    }
}

fn take_long_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for at in 0..10 {
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
        assert_eq!(
            take_varint(&mut [0xff, 0xff, 0xff, 0xff, 0x1f].as_slice()),
            None
        );
        assert_eq!(
            take_varint(&mut [0xff, 0xff, 0xff, 0xff, 0x0f].as_slice()),
            Some(i32::MIN)
        );
        let beyond_64_bits = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x03];
        assert_eq!(take_varlong(&mut beyond_64_bits.as_slice()), None);
    }
}
