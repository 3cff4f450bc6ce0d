//! The bare server: one blocking thread per connection, one file per partition, a counter for offsets.
//!
//! A frame is read in as few system calls as the socket allows into one buffer that is used again; a batch goes from that buffer to the
//! file with one `pwrite`, and from the file to a consumer with `sendfile` or `pread` + `write`.

use crate::Options;
use crate::wire::{
    API_VERSIONS, FETCH, INIT_PRODUCER_ID, In, LIST_OFFSETS, METADATA, Out, PRODUCE, SPOKEN, check_batch,
};
use anyhow::{Context, Result, bail, ensure};
use rustix::net::{RecvFlags, SendFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufRead;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Kafka's producers send at most 1 MiB in one request.
const FRAME_BYTES_MAX: usize = 8 << 20;
/// What is read when the next frame's length is unknown: small frames come many at once, of a large one little is moved.
const READ_AHEAD_BYTES: usize = 64 << 10;
/// One piece of `pread` + `write`: small enough to stay in the second-level cache.
const COPY_BYTES: usize = 256 << 10;

#[derive(Clone, Copy, PartialEq)]
enum Sync {
    None,
    Each,
    Group,
}

struct Server {
    address: SocketAddr,
    data_dir: PathBuf,
    partition_count: usize,
    sync: Sync,
    sendfile: bool,
    topics: Mutex<BTreeMap<String, Arc<Topic>>>,
}

type Topic = Vec<Partition>;

struct Partition {
    file: File,
    end: Mutex<End>,
}

/// Where the next batch goes, and where those before it begin.
#[derive(Default)]
struct End {
    position: u64,
    offset: i64,
    batches: Vec<(i64, u64)>,
}

pub(crate) fn serve(options: &Options) -> Result<()> {
    let sync = match options.text("sync").unwrap_or("none") {
        "none" => Sync::None,
        "each" => Sync::Each,
        "group" => Sync::Group,
        other => bail!("--sync {other}: none, each or group"),
    };
    let sendfile = options.text("send").unwrap_or("sendfile") == "sendfile";
    let listener = TcpListener::bind(options.text("listen")?)?;
    let server = Arc::new(Server {
        address: listener.local_addr()?,
        data_dir: options.text("data-dir")?.into(),
        partition_count: options.number("partitions", 16)?,
        sync,
        sendfile,
        topics: Mutex::default(),
    });
    std::fs::create_dir_all(&server.data_dir)?;
    if options.has("stdin") {
        std::thread::spawn(|| {
            for _ in std::io::stdin().lock().lines() {
                print_cpu();
            }
            print_cpu();
            std::process::exit(0);
        });
    }
    for stream in listener.incoming() {
        let (stream, server) = (stream?, server.clone());
        std::thread::spawn(move || {
            if let Err(error) = (Connection { server, topic: None }).run(&stream) {
                eprintln!("connection closed: {error:#}");
            }
        });
    }
    Ok(())
}

fn print_cpu() {
    // user and system time in ticks of 10 ms, fields 14 and 15 of proc(5).
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let seconds = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    println!("{{\"user_s\":{:.2},\"system_s\":{:.2}}}", seconds(11), seconds(12));
}

struct Connection {
    server: Arc<Server>,
    /// The topic used last, so that the map is not asked for each batch.
    topic: Option<(String, Arc<Topic>)>,
}

impl Connection {
    fn run(&mut self, stream: &TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; FRAME_BYTES_MAX];
        let mut filled = 0;
        let mut replies = Out::default();
        let mut touched = Vec::new();
        loop {
            let (until, flags) = match frame_end(&buffer[..filled])? {
                Some(end) => (end, RecvFlags::WAITALL),
                None => (filled + READ_AHEAD_BYTES, RecvFlags::empty()),
            };
            let (received, _) = rustix::net::recv(stream, &mut buffer[filled..until], flags)?;
            if received == 0 {
                return Ok(());
            }
            filled += received;
            let mut begin = 0;
            while let Some(end) =
                frame_end(&buffer[begin..filled])?.map(|size| begin + size).filter(|end| *end <= filled)
            {
                self.answer(stream, &mut buffer[begin + 4..end], &mut replies, &mut touched)?;
                begin = end;
            }
            buffer.copy_within(begin..filled, 0);
            filled -= begin;
            touched.sort_unstable();
            touched.dedup();
            for partition in touched.drain(..) {
                self.topic.as_ref().context("no topic")?.1[partition].file.sync_data()?;
            }
            send_all(stream, &replies.0, SendFlags::empty())?;
            replies.0.clear();
        }
    }

    fn answer(
        &mut self,
        stream: &TcpStream,
        frame: &mut [u8],
        replies: &mut Out,
        touched: &mut Vec<usize>,
    ) -> Result<()> {
        let mut header = In::new(frame);
        let (key, version, correlation) = (header.i16()?, header.i16()?, header.i32()?);
        let begin = replies.begin_frame();
        replies.i32(correlation);
        if key == API_VERSIONS {
            // Any newer version gets the oldest answer with UNSUPPORTED_VERSION; the client then asks again in the oldest.
            replies.i16(if version == 0 { 0 } else { 35 }).i32(SPOKEN.len() as i32);
            for (key, version) in SPOKEN {
                replies.i16(key).i16(version).i16(version);
            }
            replies.end_frame(begin, 0);
            return Ok(());
        }
        ensure!(SPOKEN.contains(&(key, version)), "key {key} version {version} is not spoken");
        header.text()?;
        let body = header.at;
        match key {
            PRODUCE => self.produce(&mut frame[body..], replies, touched)?,
            FETCH => return self.fetch(stream, &frame[body..], replies, begin),
            LIST_OFFSETS => self.list_offsets(&frame[body..], replies)?,
            METADATA => self.metadata(&frame[body..], replies)?,
            INIT_PRODUCER_ID => drop(replies.i32(0).i16(0).i64(1).i16(0)),
            _ => unreachable!("every key spoken is answered"),
        }
        replies.end_frame(begin, 0);
        Ok(())
    }

    fn produce(&mut self, body: &mut [u8], replies: &mut Out, touched: &mut Vec<usize>) -> Result<()> {
        let mut at = { In::new(body).text()?.len() } + 2 + 2 + 4;
        let topics = read_i32(body, &mut at)?;
        replies.i32(topics);
        for _ in 0..topics {
            let mut names = In { bytes: body, at };
            let name = names.text()?;
            at = names.at;
            replies.text(name);
            let topic = self.topic(name)?;
            let partitions = read_i32(body, &mut at)?;
            replies.i32(partitions);
            for _ in 0..partitions {
                let index = read_i32(body, &mut at)?;
                let size = read_i32(body, &mut at)? as usize;
                let batch = body.get_mut(at..at + size).context("the frame is too short")?;
                at += size;
                let base = self.append(&topic, index as usize, batch, touched)?;
                replies.i32(index).i16(0).i64(base).i64(-1).i64(0);
            }
        }
        replies.i32(0);
        Ok(())
    }

    fn append(&self, topic: &Topic, index: usize, batch: &mut [u8], touched: &mut Vec<usize>) -> Result<i64> {
        let record_count = check_batch(batch)?;
        let partition = topic.get(index).context("no such partition")?;
        let mut end = lock(&partition.end);
        let (base, position) = (end.offset, end.position);
        batch[..8].copy_from_slice(&base.to_be_bytes());
        partition.file.write_all_at(batch, position)?;
        end.batches.push((base, position));
        end.offset += record_count;
        end.position += batch.len() as u64;
        drop(end);
        match self.server.sync {
            Sync::None => {}
            Sync::Each => partition.file.sync_data()?,
            Sync::Group => touched.push(index),
        }
        Ok(base)
    }

    fn fetch(&mut self, stream: &TcpStream, body: &[u8], replies: &mut Out, begin: usize) -> Result<()> {
        // Replica, wait, least and most bytes, isolation level.
        let mut body = In { bytes: body, at: 4 };
        let wait_ms = body.i32()?;
        let mut budget = body.skip(4)?.i32()? as u64;
        let topics = body.skip(1)?.i32()?;
        ensure!(topics == 1, "one topic a fetch");
        let name = body.text()?;
        let topic = self.topic(name)?;
        let partitions = body.i32()?;
        let mut found: Vec<(usize, i64, Range<u64>)> = Vec::with_capacity(partitions as usize);
        for _ in 0..partitions {
            let (index, offset, most) = (body.i32()? as usize, body.i64()?, body.i32()? as u64);
            let end = lock(&topic.get(index).context("no such partition")?.end);
            let after = end.batches.partition_point(|(base, _)| *base <= offset);
            let from = if offset >= end.offset { end.position } else { end.batches[after.max(1) - 1].1 };
            let size = (end.position - from).min(most).min(budget);
            budget -= size;
            found.push((index, end.offset, from..from + size));
        }
        let total: u64 = found.iter().map(|(_, _, range)| range.end - range.start).sum();
        if total == 0 {
            std::thread::sleep(Duration::from_millis(wait_ms.clamp(1, 500) as u64));
        }
        let headers = 4 + 4 + 2 + name.len() + 4 + found.len() * (4 + 2 + 8 + 8 + 4 + 4);
        replies.i32(0).i32(1).text(name).i32(found.len() as i32);
        let beyond = headers + total as usize - (replies.0.len() - begin - 4);
        replies.end_frame(begin, beyond);
        let mut piece = vec![0; if self.server.sendfile { 0 } else { COPY_BYTES.min(total as usize) }];
        for (index, end_offset, range) in found {
            let size = (range.end - range.start) as i32;
            replies.i32(index as i32).i16(0).i64(end_offset).i64(end_offset).i32(0).i32(size);
            if size > 0 {
                send_all(stream, &replies.0, SendFlags::MORE)?;
                replies.0.clear();
                send_range(stream, &topic[index].file, range, &mut piece)?;
            }
        }
        Ok(())
    }

    fn list_offsets(&mut self, body: &[u8], replies: &mut Out) -> Result<()> {
        let mut body = In { bytes: body, at: 4 };
        let topics = body.i32()?;
        replies.i32(topics);
        for _ in 0..topics {
            let name = body.text()?;
            let topic = self.topic(name)?;
            let partitions = body.i32()?;
            replies.text(name).i32(partitions);
            for _ in 0..partitions {
                let (index, timestamp) = (body.i32()?, body.i64()?);
                let end = lock(&topic.get(index as usize).context("no such partition")?.end).offset;
                replies.i32(index).i16(0).i64(-1).i64(if timestamp == -2 { 0 } else { end });
            }
        }
        Ok(())
    }

    fn metadata(&mut self, body: &[u8], replies: &mut Out) -> Result<()> {
        let mut body = In::new(body);
        let (host, port) = (self.server.address.ip().to_string(), i32::from(self.server.address.port()));
        replies.i32(0).i32(1).i32(1).text(&host).i32(port).i16(-1).text("bench-floor").i32(1);
        let topics = body.i32()?.max(0);
        replies.i32(topics);
        for _ in 0..topics {
            let name = body.text()?;
            let topic = self.topic(name)?;
            replies.i16(0).text(name).i8(0).i32(topic.len() as i32);
            for index in 0..topic.len() {
                replies.i16(0).i32(index as i32).i32(1).i32(0).i32(1).i32(1).i32(1).i32(1).i32(0);
            }
        }
        Ok(())
    }

    /// Every topic asked for is there.
    fn topic(&mut self, name: &str) -> Result<Arc<Topic>> {
        if let Some((last, topic)) = &self.topic
            && last == name
        {
            return Ok(topic.clone());
        }
        let mut topics = lock(&self.server.topics);
        if !topics.contains_key(name) {
            ensure!(!name.contains('/'), "a topic's name is part of its files' names");
            let open = |index| -> Result<Partition> {
                let path = self.server.data_dir.join(format!("{name}-{index}.log"));
                let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
                Ok(Partition { file, end: Mutex::default() })
            };
            let partitions = (0..self.server.partition_count).map(open).collect::<Result<Topic>>()?;
            topics.insert(name.to_owned(), Arc::new(partitions));
        }
        let topic = topics[name].clone();
        self.topic = Some((name.to_owned(), topic.clone()));
        Ok(topic)
    }
}

/// Where the first frame ends, its length included; `None` until the length is there.
fn frame_end(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(length) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let end = u32::from_be_bytes(*length) as usize + 4;
    ensure!(end <= FRAME_BYTES_MAX, "a frame of {end} bytes");
    Ok(Some(end))
}

fn read_i32(bytes: &[u8], at: &mut usize) -> Result<i32> {
    let mut field = In { bytes, at: *at };
    let value = field.i32()?;
    *at = field.at;
    Ok(value)
}

fn send_all(stream: &TcpStream, mut bytes: &[u8], flags: SendFlags) -> Result<()> {
    while !bytes.is_empty() {
        let sent = rustix::net::send(stream, bytes, flags | SendFlags::NOSIGNAL)?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// Without a `piece` to copy through, the kernel moves the bytes itself.
fn send_range(stream: &TcpStream, file: &File, mut range: Range<u64>, piece: &mut [u8]) -> Result<()> {
    while !range.is_empty() {
        let left = (range.end - range.start) as usize;
        let sent = if piece.is_empty() {
            rustix::fs::sendfile(stream, file, Some(&mut range.start.clone()), left)?
        } else {
            let size = left.min(piece.len());
            file.read_exact_at(&mut piece[..size], range.start)?;
            send_all(stream, &piece[..size], SendFlags::empty())?;
            size
        };
        ensure!(sent > 0, "the file is shorter than its counter says");
        range.start += sent as u64;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
