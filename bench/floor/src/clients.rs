//! Clients of any broker: a load, a drain, latency against a schedule, and the disk's own `fdatasync` to hold the answers against.

use crate::Options;
use crate::wire::{FETCH, In, Out, PRODUCE, build_batch};
use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// A sleeper on a virtual machine wakes up to 50 µs late; the end of a wait is therefore spent awake.
const AWAKE_BEFORE: Duration = Duration::from_micros(150);

/// Sends the same batch again and again to all partitions in turn, with so many requests on the way.
pub(crate) fn load(options: &Options) -> Result<()> {
    let connections = options.number("connections", 1_u64)?;
    let (batch, record_count) =
        build_batch(options.number("batch-bytes", 256 << 10)?, options.number("record-bytes", 1024)?);
    let requests =
        (options.number("gigabytes", 1.0)? * 1e9 / batch.len() as f64 / connections as f64).ceil() as u64;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..connections).map(|_| scope.spawn(|| load_one(options, &batch, requests))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().ok().context("a connection panicked")?)
    })?;
    let (total, seconds) = (requests * connections, begun.elapsed().as_secs_f64());
    println!(
        "{{\"requests\":{total},\"records\":{},\"bytes\":{},\"seconds\":{seconds:.3}}}",
        total * record_count as u64,
        total * batch.len() as u64
    );
    Ok(())
}

fn load_one(options: &Options, batch: &[u8], requests: u64) -> Result<()> {
    let (topic, partitions) = (options.text("topic")?, options.number("partitions", 16_u64)?);
    let (in_flight_max, acks) = (options.number("in-flight", 5)?, options.number("acks", -1)?);
    let mut stream = connect(options)?;
    let (mut request, mut reply) = (Out::default(), Vec::new());
    let mut on_the_way = 0;
    for number in 0..requests {
        if on_the_way == in_flight_max {
            read_produced(&mut stream, &mut reply)?;
            on_the_way -= 1;
        }
        produce_request(&mut request, number as i32, topic, (number % partitions) as i32, acks, batch);
        stream.write_all(&request.0)?;
        on_the_way += 1;
    }
    (0..on_the_way).try_for_each(|_| read_produced(&mut stream, &mut reply))
}

/// Fetches all partitions from offset 0 until so many records went by; only batch headers are looked at.
pub(crate) fn drain(options: &Options) -> Result<()> {
    let (topic, partitions) = (options.text("topic")?, options.number("partitions", 16)?);
    let (records, fetch_bytes) = (options.number("records", 0_i64)?, options.number("fetch-bytes", 1 << 20)?);
    let mut stream = connect(options)?;
    let mut next = vec![0_i64; partitions];
    let (mut request, mut reply) = (Out::default(), Vec::new());
    let (mut bytes, mut empty_answers) = (0_u64, 0);
    let begun = Instant::now();
    while next.iter().sum::<i64>() < records {
        request.0.clear();
        let begin = request.begin_request(FETCH, 1);
        request.i32(-1).i32(500).i32(1).i32(50 << 20).i8(0).i32(1).text(topic).i32(partitions as i32);
        for (index, offset) in next.iter().enumerate() {
            request.i32(index as i32).i64(*offset).i32(fetch_bytes);
        }
        request.end_frame(begin, 0);
        stream.write_all(&request.0)?;
        read_frame(&mut stream, &mut reply)?;
        let mut body = In::new(&reply);
        body.skip(4 + 4 + 4)?.text()?;
        let before = bytes;
        for _ in 0..body.i32()? {
            let index = body.i32()? as usize;
            body.error()?;
            let aborted = body.skip(16)?.i32()?;
            let size = body.skip(16 * usize::try_from(aborted).unwrap_or(0))?.i32()?;
            let run = body.take(usize::try_from(size).unwrap_or(0))?;
            bytes += run.len() as u64;
            next[index] = end_of_run(run).unwrap_or(next[index]);
        }
        empty_answers = if bytes == before { empty_answers + 1 } else { 0 };
        ensure!(empty_answers < 20, "no more records after {} of {records}", next.iter().sum::<i64>());
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{{\"records\":{},\"bytes\":{bytes},\"seconds\":{seconds:.3}}}", next.iter().sum::<i64>());
    Ok(())
}

/// The offset behind the last whole batch; the last one of a run may be cut off.
fn end_of_run(run: &[u8]) -> Option<i64> {
    let (mut at, mut end) = (0, None);
    while let Some(head) = run.get(at..at + 27) {
        let field =
            |from: usize| i32::from_be_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
        let size = 12 + field(8) as usize;
        if at + size > run.len() {
            break;
        }
        let base = (i64::from(field(0)) << 32) | i64::from(field(4) as u32);
        end = Some(base + i64::from(field(23)) + 1);
        at += size;
    }
    end
}

/// One small record a request. Open loop: each answer is timed from the moment its request *should* have left, so that a stall counts for
/// all requests that it held up.
pub(crate) fn latency(options: &Options) -> Result<()> {
    let (topic, acks) = (options.text("topic")?, options.number("acks", 1)?);
    let (rate, count) = (options.number("rate", 1000.0)?, options.number("count", 10_000_usize)?);
    let warm_up = options.number("warm-up", 2000_usize)?;
    let (batch, _) = build_batch(0, options.number("record-bytes", 100)?);
    // The kernel may otherwise wake a sleeper 50 µs late.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let mut stream = connect(options)?;
    let (mut request, mut reply) = (Out::default(), Vec::new());
    let (mut answered_us, mut left_late_us) = (Vec::with_capacity(count), Vec::with_capacity(count));
    if rate == 0.0 {
        for number in 0..count + warm_up {
            let sent = Instant::now();
            produce_request(&mut request, number as i32, topic, 0, acks, &batch);
            stream.write_all(&request.0)?;
            read_produced(&mut stream, &mut reply)?;
            answered_us.push(micros(sent.elapsed()));
        }
    } else {
        let begun = Instant::now() + Duration::from_millis(10);
        let mut on_the_way: VecDeque<Instant> = VecDeque::new();
        let mut sent = 0;
        while answered_us.len() < count + warm_up {
            let due = begun + Duration::from_secs_f64(sent as f64 / rate);
            let now = Instant::now();
            if sent < count + warm_up && now >= due {
                produce_request(&mut request, sent as i32, topic, 0, acks, &batch);
                stream.write_all(&request.0)?;
                left_late_us.push(micros(now - due));
                on_the_way.push_back(due);
                sent += 1;
                continue;
            }
            let wait = if sent < count + warm_up {
                (due - now).saturating_sub(AWAKE_BEFORE)
            } else {
                Duration::from_secs(30)
            };
            let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            if poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&wait))? > 0 {
                read_produced(&mut stream, &mut reply)?;
                answered_us.push(micros(on_the_way.pop_front().context("an answer to nothing")?.elapsed()));
            } else {
                ensure!(sent < count + warm_up, "no answer for 30 s");
            }
        }
    }
    let answered = quantiles(answered_us.split_off(warm_up));
    let late =
        if left_late_us.is_empty() { "null".to_owned() } else { quantiles(left_late_us.split_off(warm_up)) };
    println!(
        "{{\"rate\":{rate},\"acks\":{acks},\"count\":{count},\"answered_us\":{answered},\"left_late_us\":{late}}}"
    );
    Ok(())
}

/// Appends a little and waits for the disk, again and again: what any acknowledged-when-durable answer must pay at least once.
pub(crate) fn fsync(options: &Options) -> Result<()> {
    let directory = std::path::Path::new(options.target()?);
    let (count, bytes) = (options.number("count", 500_usize)?, options.number("bytes", 200_usize)?);
    std::fs::create_dir_all(directory)?;
    let path = directory.join("bench-floor-fsync.tmp");
    let file = std::fs::File::create(&path)?;
    let piece = vec![b'x'; bytes];
    let mut took_us = Vec::with_capacity(count);
    for number in 0..count {
        let begun = Instant::now();
        file.write_all_at(&piece, (number * bytes) as u64)?;
        file.sync_data()?;
        took_us.push(micros(begun.elapsed()));
    }
    std::fs::remove_file(&path)?;
    println!("{{\"count\":{count},\"bytes\":{bytes},\"fsync_us\":{}}}", quantiles(took_us));
    Ok(())
}

pub(crate) fn connect(options: &Options) -> Result<TcpStream> {
    let address = options.target()?;
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn produce_request(
    request: &mut Out,
    correlation: i32,
    topic: &str,
    partition: i32,
    acks: i16,
    batch: &[u8],
) {
    request.0.clear();
    let begin = request.begin_request(PRODUCE, correlation);
    request.i16(-1).i16(acks).i32(30_000).i32(1).text(topic).i32(1).i32(partition).i32(batch.len() as i32);
    request.0.extend(batch);
    request.end_frame(begin, 0);
}

fn read_produced(stream: &mut TcpStream, reply: &mut Vec<u8>) -> Result<()> {
    read_frame(stream, reply)?;
    let mut body = In::new(reply);
    body.skip(4 + 4)?.text()?;
    body.skip(4 + 4)?.error()
}

pub(crate) fn read_frame(stream: &mut TcpStream, frame: &mut Vec<u8>) -> Result<()> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            anyhow::bail!("the broker closed the connection")
        }
        other => other?,
    }
    frame.resize(u32::from_be_bytes(length) as usize, 0);
    Ok(stream.read_exact(frame)?)
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

pub(crate) fn quantiles(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        values
            .get(((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0.0)
    };
    format!(
        "{{\"p50\":{:.1},\"p90\":{:.1},\"p99\":{:.1},\"p999\":{:.1},\"max\":{:.1}}}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0)
    )
}
