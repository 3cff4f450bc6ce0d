use super::*;

const LIMITS: FrameLimits = FrameLimits { size_min: 10, size_max: 100 << 20 };

fn frame(size: usize, fill: u8) -> Vec<u8> {
    let mut frame = (size as i32).to_be_bytes().to_vec();
    frame.resize(4 + size, fill);
    frame
}

#[test]
fn frames_come_out_however_the_bytes_come_in() {
    let sizes =
        [10, 100, 4096, 4097, 20_000, 11, 70_000, 300_000, 12, 13, 16_384, 16_384, 16_384, 16_384, 5000];
    let stream: Vec<u8> =
        sizes.iter().enumerate().flat_map(|(index, size)| frame(*size, index as u8)).collect();
    for chunk_size in [1, 3, 4, 5, 1000, 4100, 65_536, usize::MAX] {
        let mut buffer = FrameBuffer::new(LIMITS);
        let mut frames = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let received = buffer.prepare();
            let room = received.capacity() - received.len();
            assert!(0 < room);
            let (chunk, later) = rest.split_at(chunk_size.min(room).min(rest.len()));
            received.extend_from_slice(chunk);
            rest = later;
            while let Some(frame) = buffer.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(buffer.buffered(), 0);
        assert_eq!(frames.iter().map(Bytes::len).collect::<Vec<_>>(), sizes, "in chunks of {chunk_size}");
        for (index, frame) in frames.iter().enumerate() {
            assert!(frame.iter().all(|byte| usize::from(*byte) == index), "in chunks of {chunk_size}");
        }
        buffer.release();
        assert_eq!(buffer.capacity(), 0);
    }
}

/// The announced 90 MiB never come: what is held stays near what was sent.
#[test]
fn memory_follows_received_bytes() {
    let mut buffer = FrameBuffer::new(LIMITS);
    let announced = frame(90 << 20, 0);
    let mut sent = 0;
    while sent < 10 << 20 {
        let received = buffer.prepare();
        let room = received.capacity() - received.len();
        let chunk = room.min(4096);
        received.extend_from_slice(&announced[sent..sent + chunk]);
        sent += chunk;
        assert_eq!(buffer.next_frame(), Ok(None));
        assert!(buffer.capacity() <= CAPACITY_FIRST.max(2 * sent), "{} for {sent}", buffer.capacity());
    }
}

#[test]
fn a_peer_that_sent_large_frames_gets_room_for_the_next_at_once() {
    let mut buffer = FrameBuffer::new(LIMITS);
    let whole = frame(256 << 10, 1);
    buffer.prepare().extend_from_slice(&whole);
    let first = buffer.next_frame().unwrap().unwrap();
    assert_eq!(first.len(), 256 << 10);
    buffer.prepare().extend_from_slice(&whole[..10]);
    assert_eq!(buffer.next_frame(), Ok(None));
    let next = buffer.prepare();
    assert_eq!(next.capacity(), whole.len(), "exactly one frame: nothing of the one after it must be moved");
}

#[test]
fn large_frames_are_slices_of_what_was_received() {
    let mut buffer = FrameBuffer::new(LIMITS);
    let received = buffer.prepare();
    let start = received.as_ptr();
    received.extend_from_slice(&frame(10_000, 1));
    received.extend_from_slice(&frame(20_000, 2));
    assert_eq!(buffer.next_frame().unwrap().unwrap().as_ptr(), start.wrapping_add(4));
    assert_eq!(buffer.next_frame().unwrap().unwrap().as_ptr(), start.wrapping_add(10_008));
    assert_eq!(buffer.next_frame(), Ok(None));
}

#[test]
fn wrong_lengths_are_refused_at_once() {
    let limits = FrameLimits::requests(1 << 20);
    let refused = |start: &[u8]| peek(start, limits).unwrap_err();
    assert_eq!(refused(&[0xff; 4]), FrameError::Negative { size: -1 });
    assert_eq!(refused(&[0, 0, 0, 0]), FrameError::TooSmall { size: 0 });
    assert_eq!(refused(&[0, 0, 0, 9]), FrameError::TooSmall { size: 9 });
    assert_eq!(refused(&[0, 0x10, 0, 1]), FrameError::TooLarge { size: (1 << 20) + 1, max: 1 << 20 });
    assert_eq!(peek(&[0, 0x10, 0, 0], limits), Ok(Peek::NeedMore { missing: 1 << 20 }));
    assert_eq!(peek(&[0, 0x10], limits), Ok(Peek::NeedMore { missing: 2 }));
    assert_eq!(peek(&frame(10, 0), limits), Ok(Peek::Frame { size: 10 }));
}

#[test]
fn other_protocols_are_recognized() {
    let seen = |start: &[u8]| match peek(start, FrameLimits::requests(100 << 20)) {
        Err(FrameError::OtherProtocol { protocol, .. }) => Some(protocol),
        _ => None,
    };
    assert_eq!(seen(b"\x16\x03\x01\x02\x00\x01"), Some(LooksLike::Tls));
    assert_eq!(seen(b"GET / HTTP/1.1"), Some(LooksLike::Http));
    assert_eq!(seen(b"SSH-2.0-OpenSSH"), Some(LooksLike::Ssh));
    assert_eq!(seen(b"\x00\x00\x00\x20"), None);
    assert_eq!(seen(b"\x7f\x00\x00\x20"), None);
}
