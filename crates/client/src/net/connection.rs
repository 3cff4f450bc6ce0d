//! One connection to a broker: requests go out in order, answers come back in the same order.
//!
//! Owns the socket and the questions under way. A question is encoded and, if nothing is queued before it, written by whoever asks; the
//! connection's task writes what did not fit, reads answers and watches the deadlines. Invariant: every question is answered once, by
//! the broker or by the error that ended the connection.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use klamm_wire::{
    ApiKey, ApiVersionsResponse, FrameBuffer, FrameLimits, Limits, Part, Reader, Request, RequestHeader,
    Response, ResponseHeader, encode_request,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Manner;
use super::transport::{Source, Transport, plain, tls_problem};
use crate::call::CallError;
use crate::metrics::add;
use crate::tls::TlsProblem;

/// Called once with what came of a question.
pub(crate) type Answer = Box<dyn FnOnce(Result<Response, CallError>) + Send>;

/// No answer may be longer: more than any broker sends by default, and a bound for what a confused peer announces.
const ANSWER_SIZE_MAX: u32 = 512 << 20;
/// Reads before others on the runtime get their turn, however much the broker sends.
const READS_IN_A_ROW_MAX: usize = 16;
/// Parts handed to one write call.
const WRITE_PARTS_MAX: usize = 64;
/// How often Kafka's brokers let somebody show again who they are; a little more, as clocks differ.
const PROOF_INTERVAL_MIN: Duration = Duration::from_millis(1_005);
/// How a complaint of TLS begins. Read as a length it would be 352 MB, which no greeting of a broker has.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

pub(crate) struct Connection {
    address: String,
    manner: Arc<Manner>,
    transport: Transport,
    state: Mutex<State>,
    wake: Notify,
    versions: OnceLock<BTreeMap<ApiKey, RangeInclusive<i16>>>,
}

struct State {
    queue: VecDeque<Bytes>,
    /// Bytes that were ever put into the queue, and those that left it.
    queued: u64,
    written: u64,
    waiting: VecDeque<Waiting>,
    /// Those to whom nothing comes back. They are told when their bytes have left: until then these count against what their sender may hold.
    unanswered: VecDeque<Unanswered>,
    next_correlation: i32,
    /// When the broker wants to know again who we are.
    proof_due: Option<Instant>,
    broken: Option<CallError>,
}

struct Waiting {
    correlation: i32,
    api: ApiKey,
    version: i16,
    deadline: Instant,
    timeout_ms: u64,
    answer: Answer,
}

struct Unanswered {
    /// Where its bytes end.
    end: u64,
    deadline: Instant,
    timeout_ms: u64,
    answer: Answer,
}

impl State {
    /// Writes as much as the socket takes. Says whether nothing is left.
    fn write(&mut self, transport: &Transport) -> io::Result<bool> {
        while !self.queue.is_empty() {
            let mut parts = [IoSlice::new(&[]); WRITE_PARTS_MAX];
            let count = self.queue.len().min(WRITE_PARTS_MAX);
            for (part, bytes) in parts.iter_mut().zip(self.queue.iter()) {
                *part = IoSlice::new(bytes);
            }
            match transport.write(&parts[..count]) {
                Ok(written) => {
                    self.written += written as u64;
                    drop_written(&mut self.queue, written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        transport.flush()
    }

    /// Whose time is over first, and how long that was.
    fn first_deadline(&self) -> Option<(ApiKey, Instant, u64)> {
        let waiting = self.waiting.front().map(|it| (it.api, it.deadline, it.timeout_ms));
        let unanswered = self.unanswered.front().map(|it| (ApiKey::Produce, it.deadline, it.timeout_ms));
        waiting.into_iter().chain(unanswered).min_by_key(|it| it.1)
    }

    /// Takes those who waited only for their bytes to leave.
    fn take_sent(&mut self) -> Vec<Answer> {
        let sent = self.unanswered.iter().take_while(|it| it.end <= self.written).count();
        self.unanswered.drain(..sent).map(|it| it.answer).collect()
    }
}

fn tell_sent(sent: Vec<Answer>) {
    for answer in sent {
        answer(Ok(Response::Produce(Default::default())));
    }
}

impl Connection {
    /// Connects, without asking for anything yet; the caller spawns [`run`](Self::run).
    pub(crate) async fn open(
        address: &str,
        source: Source,
        manner: &Arc<Manner>,
    ) -> Result<Arc<Self>, CallError> {
        let transport = Transport::open(address, source, manner.tls.as_ref(), manner.connect_timeout).await?;
        add(&manner.counters.connections_made, 1);
        let state = State {
            queue: VecDeque::new(),
            queued: 0,
            written: 0,
            waiting: VecDeque::new(),
            unanswered: VecDeque::new(),
            next_correlation: 0,
            proof_due: None,
            broken: None,
        };
        Ok(Arc::new(Self {
            address: address.into(),
            manner: manner.clone(),
            transport,
            state: Mutex::new(state),
            wake: Notify::new(),
            versions: OnceLock::new(),
        }))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.state.lock().broken.is_some()
    }

    /// Whether nobody waits for an answer.
    pub(crate) fn is_at_rest(&self) -> bool {
        let state = self.state.lock();
        state.waiting.is_empty() && state.unanswered.is_empty()
    }

    /// Whether the broker has to be shown again who we are, before anything else is asked.
    pub(crate) fn wants_proof(&self) -> bool {
        self.state.lock().proof_due.is_some_and(|due| due <= Instant::now())
    }

    /// The broker knows who we are, for so long or, if that is nothing, for ever (KIP-368). `begun_at`: when it had certainly heard that we begin to show it.
    pub(crate) fn proven(&self, lifetime: Duration, begun_at: Instant) {
        let mut state = self.state.lock();
        let was_known = state.proof_due.is_some();
        // Before the session ends, by as much as a message may take on its way.
        let due = (!lifetime.is_zero()).then(|| Instant::now() + lifetime * 4 / 5);
        // Kafka's brokers refuse, for good, whoever shows it again twice within a second. Who asks on when the session is over only loses the connection.
        state.proof_due = due.map(|due| if was_known { due.max(begun_at + PROOF_INTERVAL_MIN) } else { due });
    }

    /// What the broker said that it serves.
    pub(crate) fn learn_versions(&self, response: &ApiVersionsResponse) {
        let ranges = response
            .api_keys
            .iter()
            .filter_map(|api| Some((ApiKey::from_number(api.api_key)?, api.min_version..=api.max_version)));
        // A second answer on one connection would say the same.
        let _ = self.versions.set(ranges.collect());
    }

    /// The newest version that both sides speak, at most `limit`.
    pub(crate) fn version_of(&self, api: ApiKey, limit: i16) -> Option<i16> {
        let theirs = self.versions.get()?.get(&api)?;
        let ours = api.stable_versions();
        let version = (*theirs.end()).min(*ours.end()).min(limit);
        (version >= *theirs.start() && version >= *ours.start()).then_some(version)
    }

    /// Asks. `answer` is called at once if the connection is broken or the request can't be written.
    pub(crate) fn ask(&self, request: &Request, version_limit: i16, timeout_ms: u64, answer: Answer) {
        let api = request.api_key();
        match self.version_of(api, version_limit) {
            Some(version) => self.ask_in_version(request, version, timeout_ms, answer),
            None => answer(Err(CallError::Unsupported { address: self.address.clone(), api })),
        }
    }

    pub(crate) fn ask_in_version(&self, request: &Request, version: i16, timeout_ms: u64, answer: Answer) {
        if let Err((answer, error)) = self.try_ask(request, version, timeout_ms, answer) {
            answer(Err(error));
        }
    }

    fn try_ask(
        &self,
        request: &Request,
        version: i16,
        timeout_ms: u64,
        answer: Answer,
    ) -> Result<(), (Answer, CallError)> {
        let api = request.api_key();
        let mut state = self.state.lock();
        if let Some(error) = &state.broken {
            return Err((answer, error.clone()));
        }
        let correlation = state.next_correlation;
        let client_id = Some(self.manner.client_id.clone());
        let header =
            RequestHeader { api_key: api, api_version: version, correlation_id: correlation, client_id };
        let encoded = match encode_request(&header, request) {
            Ok(encoded) => encoded,
            Err(problem) => {
                let address = self.address.clone();
                return Err((answer, CallError::Unencodable { address, api, problem: problem.to_string() }));
            }
        };
        state.next_correlation = correlation.wrapping_add(1);
        let was_empty = state.queue.is_empty();
        state.queued += encoded.size() as u64;
        add(&self.manner.counters.requests, 1);
        add(&self.manner.counters.bytes_sent, encoded.size() as u64);
        state.queue.extend(encoded.parts.into_iter().map(|part| match part {
            Part::Bytes(bytes) => bytes,
            Part::Hole { .. } => unreachable!("requests hold their records in memory"),
        }));
        // Without acks nothing comes back.
        let is_answered = !matches!(request, Request::Produce(produce) if produce.acks == 0);
        let deadline = Instant::now() + Duration::from_millis(timeout_ms);
        if is_answered {
            state.waiting.push_back(Waiting { correlation, api, version, deadline, timeout_ms, answer });
        } else {
            let end = state.queued;
            state.unanswered.push_back(Unanswered { end, deadline, timeout_ms, answer });
        }
        // Wake the task when it has to write the rest, or has to watch the first deadline.
        let is_first = state.waiting.len() + state.unanswered.len() == 1;
        if (was_empty && !matches!(state.write(&self.transport), Ok(true))) || is_first {
            self.wake.notify_one();
        }
        let sent = state.take_sent();
        drop(state);
        tell_sent(sent);
        Ok(())
    }

    /// Ends the connection; whoever waits gets the error.
    pub(crate) fn close(&self, error: CallError) {
        self.state.lock().broken.get_or_insert(error);
        self.wake.notify_one();
    }

    /// Reads and writes until the connection ends, and says why it ended.
    pub(crate) async fn run(self: Arc<Self>) -> CallError {
        let error = match self.serve().await {
            Err(error) => error,
            Ok(never) => match never {},
        };
        let (waiting, unanswered) = {
            let mut state = self.state.lock();
            state.broken.get_or_insert(error.clone());
            state.queue.clear();
            (std::mem::take(&mut state.waiting), std::mem::take(&mut state.unanswered))
        };
        add(&self.manner.counters.connections_ended, 1);
        add(&self.manner.counters.requests_failed, (waiting.len() + unanswered.len()) as u64);
        let waiting = waiting.into_iter().map(|it| it.answer);
        for answer in waiting.chain(unanswered.into_iter().map(|it| it.answer)) {
            answer(Err(error.clone()));
        }
        error
    }

    async fn serve(&self) -> Result<std::convert::Infallible, CallError> {
        let mut received = FrameBuffer::new(FrameLimits::responses(ANSWER_SIZE_MAX));
        loop {
            let (has_queue, deadline) = {
                let state = self.state.lock();
                if let Some(error) = &state.broken {
                    return Err(error.clone());
                }
                (
                    !state.queue.is_empty() || !self.transport.is_flushed(),
                    state.first_deadline().map(|(_, deadline, _)| deadline),
                )
            };
            let overdue = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                ready = self.transport.readable() => {
                    ready.map_err(|error| self.broken(&error))?;
                    self.read(&mut received)?;
                }
                ready = self.transport.writable(), if has_queue => {
                    ready.map_err(|error| self.broken(&error))?;
                    self.write().map_err(|error| self.broken(&error))?;
                }
                () = self.wake.notified() => {}
                () = overdue => self.check_deadline()?,
            }
        }
    }

    fn write(&self) -> io::Result<()> {
        let sent = {
            let mut state = self.state.lock();
            state.write(&self.transport)?;
            state.take_sent()
        };
        tell_sent(sent);
        Ok(())
    }

    fn read(&self, received: &mut FrameBuffer) -> Result<(), CallError> {
        for _ in 0..READS_IN_A_ROW_MAX {
            let buffer = received.prepare();
            match self.transport.read(buffer) {
                Ok(0) => return Err(self.broken(&io::Error::other("the broker closed it"))),
                Ok(_) if self.is_new() && !self.transport.is_secured() && buffer.starts_with(&TLS_ALERT) => {
                    return Err(self.broken(&io::Error::other(TlsProblem::Wanted)));
                }
                Ok(count) => {
                    add(&self.manner.counters.bytes_received, count as u64);
                    while let Some(frame) =
                        received.next_frame().map_err(|error| self.broken(&io::Error::other(error)))?
                    {
                        self.answer(&frame)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(())
    }

    fn answer(&self, frame: &Bytes) -> Result<(), CallError> {
        let waiting = self.state.lock().waiting.pop_front();
        let Some(waiting) = waiting else {
            return Err(self.broken(&io::Error::other("an answer came that nobody waits for")));
        };
        let Waiting { correlation, api, version, .. } = waiting;
        match decode(frame, correlation, api, version) {
            Ok(response) => {
                // When it was asked is known from when it would have been too late.
                let left = waiting.deadline.saturating_duration_since(Instant::now());
                let took = Duration::from_millis(waiting.timeout_ms).saturating_sub(left);
                self.manner.counters.answered(&response, took);
                (waiting.answer)(Ok(response));
                Ok(())
            }
            Err(problem) => {
                add(&self.manner.counters.requests_failed, 1);
                // Where one answer is unreadable the next ones can't be trusted either.
                let error = CallError::Malformed { address: self.address.clone(), api, problem };
                (waiting.answer)(Err(error.clone()));
                Err(error)
            }
        }
    }

    fn check_deadline(&self) -> Result<(), CallError> {
        match self.state.lock().first_deadline() {
            Some((api, deadline, timeout_ms)) if deadline <= Instant::now() => {
                Err(CallError::TimedOut { address: self.address.clone(), api, timeout_ms })
            }
            _ => Ok(()),
        }
    }

    /// Whether the broker has not said yet what it serves, so that nobody can have asked it for anything.
    fn is_new(&self) -> bool {
        self.versions.get().is_none()
    }

    fn broken(&self, error: &io::Error) -> CallError {
        let address = self.address.clone();
        match tls_problem(error).filter(|_| self.is_new()) {
            Some(problem) => CallError::Tls { address, problem },
            None => CallError::Broken { address, problem: plain(error) },
        }
    }
}

fn decode(frame: &Bytes, correlation: i32, api: ApiKey, version: i16) -> Result<Response, String> {
    let mut reader = Reader::with_limits(frame.clone(), Limits::for_response(frame.len()));
    let header = ResponseHeader::decode(&mut reader, api, version).map_err(|error| error.to_string())?;
    if header.correlation_id != correlation {
        return Err(format!("it answers request {}, expected {correlation}", header.correlation_id));
    }
    // A broker that does not know our version of ApiVersions says so in version 0.
    let version = match api {
        ApiKey::ApiVersions if is_unsupported_version(&frame.slice(reader.position()..)) => 0,
        _ => version,
    };
    let response = Response::decode(api, version, &mut reader).map_err(|error| error.to_string())?;
    reader.finish().map_err(|error| error.to_string())?;
    Ok(response)
}

fn is_unsupported_version(body: &Bytes) -> bool {
    let unsupported = klamm_model::ErrorCode::UnsupportedVersion.code();
    Reader::new(body.clone()).i16().is_ok_and(|code| code == unsupported)
}

fn drop_written(queue: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(front) = queue.front_mut() {
        if written < front.len() {
            front.advance(written);
            return;
        }
        written -= front.len();
        queue.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use klamm_wire::{ListGroupsResponse, encode_response, list_groups::ListedGroup};

    use super::*;

    #[test]
    fn an_answer_of_many_short_names_is_read() {
        let groups = (0..50_000)
            .map(|number| ListedGroup { group_id: format!("g{number}"), ..ListedGroup::default() });
        let response =
            Response::ListGroups(ListGroupsResponse { groups: groups.collect(), ..Default::default() });
        let frame =
            encode_response(7, 0, &response).expect("encodes").to_bytes().expect("no holes").slice(4..);
        assert_eq!(decode(&frame, 7, ApiKey::ListGroups, 0), Ok(response));
    }
}
