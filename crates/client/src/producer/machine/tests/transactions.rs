//! Transactions: what the coordinator is asked, and what its answers lead to.

use klamm_model::Offset;
use klamm_wire::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, EndTxnResponse, FindCoordinatorResponse, Response,
    TxnOffsetCommitResponse,
    add_partitions_to_txn::{AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult},
    txn_offset_commit::{TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic},
};

use super::super::super::config::TransactionalConfig;
use super::super::super::question::{GroupOffsets, Protocol};
use super::super::super::transaction_error::TransactionError;
use super::*;
use crate::admin::PartitionName;
use crate::group::GroupMetadata;

impl World {
    fn transactional(config: Config, leaders: &[i32]) -> Self {
        let config = TransactionalConfig { producer: config, ..TransactionalConfig::new("me") };
        Self::of(Machine::transactional(config, cluster(leaders), Random::new(1)))
    }

    /// What is done about transactions, and what coordinators say.
    pub(super) fn transact(&mut self, now: Tick, words: &[&str]) {
        match words {
            // begin 1 or begin 2: by which level of transaction.version
            ["begin", level] => {
                let protocol = Protocol::of_level(level.parse().expect("a level"));
                let begun = self.machine.begin(protocol);
                self.note(&format!("{begun:?}"));
            }
            ["commit"] => {
                let asked = self.machine.commit();
                self.outcome(asked);
            }
            ["abort"] => {
                let asked = self.machine.abort();
                self.outcome(asked);
            }
            ["drop"] => self.machine.let_go(),
            ["end?"] => {
                let end = self.machine.transaction_end();
                self.note(&format!("{end:?}"));
            }
            // offsets GROUP OFFSET, of partition 0
            ["offsets", group, offset] => {
                let offset = Offset::new(offset.parse().expect("an offset"));
                let offsets = BTreeMap::from([(PartitionName::new("t", 0), offset.into())]);
                let group = GroupMetadata::without_member(*group);
                match self.machine.send_offsets(GroupOffsets { group, offsets }) {
                    Ok(ticket) => self.note(&format!("ticket {ticket}")),
                    Err(error) => self.note(&error.to_string()),
                }
            }
            ["taken?", ticket] => {
                let taken = self.machine.offsets_taken(ticket.parse().expect("a ticket"));
                self.note(&format!("{taken:?}"));
            }
            // said CALL: no error; said CALL CODE; said CALL ID EPOCH or said CALL BROKER, where that is what was asked for
            ["said", call, what @ ..] => {
                let call = call_of(call);
                let question = self.asked.remove(&call).expect("it was asked");
                self.machine.coordinated(now, call, answer(&question, what), &mut self.effects);
            }
            other => panic!("what is {other:?}?"),
        }
    }

    fn outcome(&mut self, asked: Result<(), TransactionError>) {
        if let Err(error) = asked {
            self.note(&error.to_string());
        }
    }

    pub(super) fn asked(
        &mut self,
        call: CallId,
        coordinator: Option<BrokerId>,
        question: Question,
    ) -> String {
        let whom = coordinator.map_or("anybody".into(), |broker| broker.to_string());
        let text = match &question {
            Question::FindCoordinator => "who coordinates".into(),
            Question::FindGroupCoordinator(group) => format!("who coordinates group {group}"),
            Question::Identify { current, .. } => {
                format!("identify {}", current.map_or("anew".into(), identity))
            }
            Question::AddPartitions(it, topics) => format!("add {topics:?} as {}", identity(*it)),
            Question::AddGroup(it, group) => format!("add group {group} as {}", identity(*it)),
            Question::CommitOffsets(it, protocol, GroupOffsets { group, offsets }) => {
                let offsets: Vec<_> =
                    offsets.iter().map(|(name, it)| format!("{name}:{}", it.offset)).collect();
                format!(
                    "{protocol:?} offsets of {} {} as {}",
                    group.group_id,
                    offsets.join(" "),
                    identity(*it)
                )
            }
            Question::End(it, protocol, outcome) => format!("{protocol:?} {outcome:?} as {}", identity(*it)),
        };
        self.asked.insert(call, question);
        format!("ask #{} {whom}: {text}", call.0)
    }
}

fn identity(it: Identity) -> String {
    format!("{}/{}", it.id, it.epoch)
}

pub(super) fn answer(question: &Question, words: &[&str]) -> Response {
    let (error_code, numbers) = match words {
        [code] if code.parse::<i64>().is_err() => (code_of(code), Vec::new()),
        numbers => (0, numbers.iter().map(|it| it.parse::<i64>().expect("a number")).collect()),
    };
    let number = |place: usize| numbers.get(place).copied().unwrap_or(-1);
    match question {
        Question::FindCoordinator | Question::FindGroupCoordinator(_) => {
            let node_id = number(0) as i32;
            Response::FindCoordinator(FindCoordinatorResponse { error_code, node_id, ..Default::default() })
        }
        Question::Identify { .. } => {
            let (producer_id, producer_epoch) = (number(0), number(1) as i16);
            Response::InitProducerId(InitProducerIdResponse {
                error_code,
                producer_id,
                producer_epoch,
                ..Default::default()
            })
        }
        Question::AddPartitions(_, topics) => {
            let topics = topics.iter().map(|(name, numbers)| AddPartitionsToTxnTopicResult {
                name: name.to_string(),
                results_by_partition: numbers
                    .iter()
                    .enumerate()
                    .map(|(place, &partition_index)| AddPartitionsToTxnPartitionResult {
                        partition_index,
                        // One of them is refused, and so the others are not added.
                        partition_error_code: match (error_code, place) {
                            (0, _) => 0,
                            (code, 0) => code,
                            _ => ErrorCode::OperationNotAttempted.code(),
                        },
                    })
                    .collect(),
            });
            let results_by_topic_v3_and_below = topics.collect();
            Response::AddPartitionsToTxn(AddPartitionsToTxnResponse {
                results_by_topic_v3_and_below,
                ..Default::default()
            })
        }
        Question::AddGroup(..) => {
            Response::AddOffsetsToTxn(AddOffsetsToTxnResponse { error_code, ..Default::default() })
        }
        Question::CommitOffsets(..) => {
            let partition = TxnOffsetCommitResponsePartition { partition_index: 0, error_code };
            let topic = TxnOffsetCommitResponseTopic {
                name: "t".into(),
                partitions: vec![partition],
                ..Default::default()
            };
            Response::TxnOffsetCommit(TxnOffsetCommitResponse { topics: vec![topic], ..Default::default() })
        }
        Question::End(..) => {
            let (producer_id, producer_epoch) = (number(0), number(1) as i16);
            Response::EndTxn(EndTxnResponse { error_code, producer_id, producer_epoch, ..Default::default() })
        }
    }
}

/// As producer 7 in epoch 0, with broker 5 as the coordinator and partitions that broker 1 leads, in a transaction by this level.
fn check(level: u8, script: &str, expected: &Expect) {
    let mut world = World::transactional(eager(), &[1, 1]);
    world.run(&format!("0 tick\n0 said #0 5\n0 said #1 7 0\n0 begin {level}"));
    world.log.clear();
    world.run(script);
    expected.assert_eq(&world.log);
}

#[test]
fn a_transaction_that_takes_in_whatever_is_written_and_the_next_one_in_a_new_epoch() {
    check(
        2,
        "1 append 0 a\n 2 commit\n 2 end?\n 3 ok #2 0\n 4 said #3 7 1\n 4 end?\n 4 begin 2\n 5 drop\n 5 begin 2\n \
         6 append 0 b\n 7 ok #4 1\n 8 offsets g 5\n 9 said #5 9\n 9 taken? 1\n 10 said #6\n 10 taken? 1\n 11 abort\n 12 said #7 7 2\n 12 end?",
        &expect![[r#"
            1 append 0 a
                send #2 to 1: t-0 7/0@0 [a]
            2 commit
            2 end?
                None
            3 ok #2 0
                0 x1 written at 0
                ask #3 5: Implicit Commit as 7/0
            4 said #3 7 1
            4 end?
                Some(Ok(()))
            4 begin 2
                Ok(false)
            5 drop
            5 begin 2
                Ok(true)
            6 append 0 b
                send #4 to 1: t-0 7/1@0 [b]
            7 ok #4 1
                0 x1 written at 1
            8 offsets g 5
                ticket 1
                ask #5 anybody: who coordinates group g
            9 said #5 9
                ask #6 9: Implicit offsets of g t-0:5 as 7/1
            9 taken? 1
                None
            10 said #6
            10 taken? 1
                Some(Ok(()))
            11 abort
                ask #7 5: Implicit Abort as 7/1
            12 said #7 7 2
            12 end?
                Some(Ok(()))
        "#]],
    );
}

#[test]
fn a_transaction_whose_coordinator_hears_of_everything_first() {
    check(
        1,
        "1 append 0 a\n 1 append 1 b\n 2 said #2\n 3 said #4\n 4 offsets g 5\n 5 said #6\n 6 said #7 9\n 7 said #8\n 8 offsets g 6\n 9 said #9\n \
         10 commit\n 11 ok #3 0\n 12 ok #5 0\n 13 said #10\n 13 end?\n 14 drop\n 14 begin 1\n 15 append 0 c\n 16 said #11\n 17 ok #12 1\n 18 commit\n 19 said #13",
        &expect![[r#"
            1 append 0 a
                ask #2 5: add {"t": [0]} as 7/0
            1 append 1 b
            2 said #2
                send #3 to 1: t-0 7/0@0 [a]
                ask #4 5: add {"t": [1]} as 7/0
            3 said #4
                send #5 to 1: t-1 7/0@0 [b]
            4 offsets g 5
                ticket 1
                ask #6 5: add group g as 7/0
            5 said #6
                ask #7 anybody: who coordinates group g
            6 said #7 9
                ask #8 9: Named offsets of g t-0:5 as 7/0
            7 said #8
            8 offsets g 6
                ticket 2
                ask #9 9: Named offsets of g t-0:6 as 7/0
            9 said #9
            10 commit
            11 ok #3 0
                0 x1 written at 0
            12 ok #5 0
                1 x1 written at 0
                ask #10 5: Named Commit as 7/0
            13 said #10
            13 end?
                Some(Ok(()))
            14 drop
            14 begin 1
                Ok(true)
            15 append 0 c
                ask #11 5: add {"t": [0]} as 7/0
            16 said #11
                send #12 to 1: t-0 7/0@1 [c]
            17 ok #12 1
                0 x1 written at 1
            18 commit
                ask #13 5: Named Commit as 7/0
            19 said #13
        "#]],
    );
}

#[test]
fn of_a_transaction_that_misses_a_record_nothing_more_is_sent_and_it_can_only_be_aborted() {
    check(
        2,
        "1 append 0 a b\n 2 append 1 c\n 3 append 1 d\n 4 error #2 INVALID_RECORD\n 4 append 0 e\n 5 commit\n 6 abort\n 6 begin 2\n 7 ok #3 0\n \
         8 said #4 7 1\n 8 end?\n 9 drop\n 9 begin 2\n 10 append 0 f",
        &expect![[r#"
            1 append 0 a b
                send #2 to 1: t-0 7/0@0 [a b]
            2 append 1 c
                send #3 to 1: t-1 7/0@0 [c]
            3 append 1 d
            4 error #2 INVALID_RECORD
                0 x2 lost: t-0: not written after 1 try: the broker answered INVALID_RECORD
                1 x1 lost: t-1: not sent: the transaction can only be aborted: the broker answered INVALID_RECORD
            4 append 0 e
                never: t-0: not sent: the transaction can only be aborted: the broker answered INVALID_RECORD
            5 commit
                the transaction can only be aborted: the broker answered INVALID_RECORD
            6 abort
            6 begin 2
                Ok(false)
            7 ok #3 0
                1 x1 written at 0
                ask #4 5: Implicit Abort as 7/0
            8 said #4 7 1
            8 end?
                Some(Ok(()))
            9 drop
            9 begin 2
                Ok(true)
            10 append 0 f
                send #5 to 1: t-0 7/1@0 [f]
        "#]],
    );
    // While a commit waits for it.
    check(
        2,
        "1 append 0 a\n 2 commit\n 3 abort\n 4 error #2 TRANSACTION_ABORTABLE\n 4 end?\n 5 commit\n 6 drop\n 7 said #3 7 1\n 8 begin 2",
        &expect![[r#"
            1 append 0 a
                send #2 to 1: t-0 7/0@0 [a]
            2 commit
            3 abort
                the transaction is being committed
            4 error #2 TRANSACTION_ABORTABLE
                0 x1 lost: t-0: not written after 1 try: the broker answered TRANSACTION_ABORTABLE
            4 end?
                Some(Err(MustAbort(Refused { code: TransactionAbortable, message: None })))
            5 commit
                the transaction can only be aborted: the broker answered TRANSACTION_ABORTABLE
            6 drop
                ask #3 5: Implicit Abort as 7/0
            7 said #3 7 1
            8 begin 2
                Ok(true)
        "#]],
    );
    // Nobody waits for the commit any more when it comes to nothing.
    check(
        2,
        "1 append 0 a\n 2 commit\n 3 drop\n 4 error #2 INVALID_RECORD\n 4 begin 2\n 5 said #3 7 1\n 5 begin 2",
        &expect![[r#"
            1 append 0 a
                send #2 to 1: t-0 7/0@0 [a]
            2 commit
            3 drop
            4 error #2 INVALID_RECORD
                0 x1 lost: t-0: not written after 1 try: the broker answered INVALID_RECORD
                ask #3 5: Implicit Abort as 7/0
            4 begin 2
                Ok(false)
            5 said #3 7 1
            5 begin 2
                Ok(true)
        "#]],
    );
    // The time for it is over; what is under way must not come after the end.
    check(
        2,
        "1 append 0 a\n 2 broken #2\n 200 tick\n 1999 append 1 b\n 2002 tick\n 2003 abort\n 2004 ok #4 0\n 2005 broken #3\n 2006 said #5 7 1",
        &expect![[r#"
            1 append 0 a
                send #2 to 1: t-0 7/0@0 [a]
            2 broken #2
                refresh
            200 tick
                send #3 to 1: t-0 7/0@0 [a]
            1999 append 1 b
                refresh
                send #4 to 1: t-1 7/0@0 [b]
            2002 tick
                0 x1 lost: t-0: not known to be written after 2 tries: no acknowledgement within 2000 ms; what stood in the way: the connection to b broke: cut
            2003 abort
            2004 ok #4 0
                1 x1 written at 0
            2005 broken #3
                refresh
                ask #5 5: Implicit Abort as 7/0
            2006 said #5 7 1
        "#]],
    );
}

#[test]
fn numbers_begin_anew_after_something_was_not_written() {
    check(
        1,
        "1 append 0 a\n 2 said #2\n 3 error #3 OUT_OF_ORDER_SEQUENCE_NUMBER\n 4 abort\n 5 said #4\n 5 end?\n 6 said #5 7 1\n 6 end?\n 7 drop\n 7 begin 1\n \
         8 append 0 b\n 9 said #6",
        &expect![[r#"
            1 append 0 a
                ask #2 5: add {"t": [0]} as 7/0
            2 said #2
                send #3 to 1: t-0 7/0@0 [a]
            3 error #3 OUT_OF_ORDER_SEQUENCE_NUMBER
                0 x1 lost: t-0: not written after 1 try: the broker answered OUT_OF_ORDER_SEQUENCE_NUMBER
            4 abort
                ask #4 5: Named Abort as 7/0
            5 said #4
                ask #5 5: identify 7/0
            5 end?
                None
            6 said #5 7 1
            6 end?
                Some(Ok(()))
            7 drop
            7 begin 1
                Ok(true)
            8 append 0 b
                ask #6 5: add {"t": [0]} as 7/1
            9 said #6
                send #7 to 1: t-0 7/1@0 [b]
        "#]],
    );
    // The coordinator has forgotten us: there is nothing to abort, and somebody else to be.
    check(
        1,
        "1 append 0 a\n 2 said #2 INVALID_PRODUCER_ID_MAPPING\n 3 abort\n 4 said #3 8 0\n 4 end?\n 5 drop\n 5 begin 1\n 6 append 0 b",
        &expect![[r#"
            1 append 0 a
                ask #2 5: add {"t": [0]} as 7/0
            2 said #2 INVALID_PRODUCER_ID_MAPPING
                0 x1 lost: t-0: not sent: the transaction can only be aborted: the broker answered INVALID_PRODUCER_ID_MAPPING
            3 abort
                ask #3 5: identify 7/0
            4 said #3 8 0
            4 end?
                Some(Ok(()))
            5 drop
            5 begin 1
                Ok(true)
            6 append 0 b
                ask #4 5: add {"t": [0]} as 8/0
        "#]],
    );
    // A cluster that has learnt the newer protocol: what is late of the older one must not end the first transaction of the newer one.
    check(
        1,
        "1 append 0 a\n 2 said #2\n 3 ok #3 0\n 4 commit\n 5 said #4\n 6 drop\n 6 begin 2\n 7 said #5 7 1\n 7 begin 2\n 8 append 0 b",
        &expect![[r#"
            1 append 0 a
                ask #2 5: add {"t": [0]} as 7/0
            2 said #2
                send #3 to 1: t-0 7/0@0 [a]
            3 ok #3 0
                0 x1 written at 0
            4 commit
                ask #4 5: Named Commit as 7/0
            5 said #4
            6 drop
            6 begin 2
                Ok(false)
                ask #5 5: identify 7/0
            7 said #5 7 1
            7 begin 2
                Ok(true)
            8 append 0 b
                send #6 to 1: t-0 7/1@0 [b]
        "#]],
    );
}

#[test]
fn a_coordinator_that_moved_or_gave_no_answer_is_looked_for_and_asked_again() {
    check(
        2,
        "1 append 0 a\n 2 ok #2 0\n 3 commit\n 4 said #3 NOT_COORDINATOR\n 200 tick\n 201 said #4 6\n 202 broken #5\n 400 tick\n \
         401 said #6 COORDINATOR_NOT_AVAILABLE\n 600 tick\n 601 said #7 5\n 602 said #8 CONCURRENT_TRANSACTIONS\n 730 tick\n 731 said #9 7 1\n 731 end?",
        &expect![[r#"
            1 append 0 a
                send #2 to 1: t-0 7/0@0 [a]
            2 ok #2 0
                0 x1 written at 0
            3 commit
                ask #3 5: Implicit Commit as 7/0
            4 said #3 NOT_COORDINATOR
            200 tick
                ask #4 anybody: who coordinates
            201 said #4 6
                ask #5 6: Implicit Commit as 7/0
            202 broken #5
                refresh
            400 tick
                ask #6 anybody: who coordinates
            401 said #6 COORDINATOR_NOT_AVAILABLE
            600 tick
                ask #7 anybody: who coordinates
            601 said #7 5
                ask #8 5: Implicit Commit as 7/0
            602 said #8 CONCURRENT_TRANSACTIONS
            730 tick
                ask #9 5: Implicit Commit as 7/0
            731 said #9 7 1
            731 end?
                Some(Ok(()))
        "#]],
    );
    // The transaction may have the partition: that has to be known before anything is aborted.
    check(
        1,
        "1 append 0 a\n 2 broken #2\n 3 abort\n 200 tick\n 201 said #3 5\n 202 said #4\n 203 said #5\n 203 end?",
        &expect![[r#"
            1 append 0 a
                ask #2 5: add {"t": [0]} as 7/0
            2 broken #2
                refresh
            3 abort
                0 x1 lost: t-0: not sent: its transaction was aborted
            200 tick
                ask #3 anybody: who coordinates
            201 said #3 5
                ask #4 5: add {"t": [0]} as 7/0
            202 said #4
                ask #5 5: Named Abort as 7/0
            203 said #5
            203 end?
                Some(Ok(()))
        "#]],
    );
    check(
        1,
        "1 offsets g 5\n 2 broken #2\n 3 abort\n 200 tick\n 201 said #3 5\n 202 said #4\n 203 said #5\n 203 end?",
        &expect![[r#"
            1 offsets g 5
                ticket 1
                ask #2 5: add group g as 7/0
            2 broken #2
                refresh
            3 abort
            200 tick
                ask #3 anybody: who coordinates
            201 said #3 5
                ask #4 5: add group g as 7/0
            202 said #4
                ask #5 5: Named Abort as 7/0
            203 said #5
            203 end?
                Some(Ok(()))
        "#]],
    );
    // Nor is that known by who can't be reached, or can't say.
    check(
        1,
        "1 append 0 a\n 2 broken #2\n 3 abort\n 200 tick\n 201 said #3 5\n 202 unsent #4\n 400 tick\n 401 said #5 6\n \
         402 said #6 COORDINATOR_LOAD_IN_PROGRESS\n 600 tick\n 601 said #7 NOT_COORDINATOR\n 800 tick\n 801 said #8 5\n 802 said #9\n 803 said #10\n 803 end?",
        &expect![[r#"
            1 append 0 a
                ask #2 5: add {"t": [0]} as 7/0
            2 broken #2
                refresh
            3 abort
                0 x1 lost: t-0: not sent: its transaction was aborted
            200 tick
                ask #3 anybody: who coordinates
            201 said #3 5
                ask #4 5: add {"t": [0]} as 7/0
            202 unsent #4
                refresh
            400 tick
                ask #5 anybody: who coordinates
            401 said #5 6
                ask #6 6: add {"t": [0]} as 7/0
            402 said #6 COORDINATOR_LOAD_IN_PROGRESS
            600 tick
                ask #7 6: add {"t": [0]} as 7/0
            601 said #7 NOT_COORDINATOR
            800 tick
                ask #8 anybody: who coordinates
            801 said #8 5
                ask #9 5: add {"t": [0]} as 7/0
            802 said #9
                ask #10 5: Named Abort as 7/0
            803 said #10
            803 end?
                Some(Ok(()))
        "#]],
    );
    // Of a group: its own coordinator alone is looked for.
    check(
        2,
        "1 offsets g 5\n 2 said #2 9\n 3 said #3 NOT_COORDINATOR\n 200 tick\n 201 said #4 8\n 202 said #5\n 202 taken? 1\n 203 offsets h 6\n \
         204 said #6 9\n 205 said #7\n 205 taken? 2",
        &expect![[r#"
            1 offsets g 5
                ticket 1
                ask #2 anybody: who coordinates group g
            2 said #2 9
                ask #3 9: Implicit offsets of g t-0:5 as 7/0
            3 said #3 NOT_COORDINATOR
            200 tick
                ask #4 anybody: who coordinates group g
            201 said #4 8
                ask #5 8: Implicit offsets of g t-0:5 as 7/0
            202 said #5
            202 taken? 1
                Some(Ok(()))
            203 offsets h 6
                ticket 2
                ask #6 anybody: who coordinates group h
            204 said #6 9
                ask #7 9: Implicit offsets of h t-0:6 as 7/0
            205 said #7
            205 taken? 2
                Some(Ok(()))
        "#]],
    );
}

#[test]
fn a_transaction_that_the_coordinator_never_heard_of_ends_without_it() {
    for level in [1, 2] {
        for end in ["commit", "abort"] {
            let mut world = World::transactional(eager(), &[1]);
            world.run(&format!("0 tick\n0 said #0 5\n0 said #1 7 0\n0 begin {level}\n1 {end}\n1 tick"));
            assert_eq!(world.machine.transaction_end(), Some(Ok(())), "{level} {end}");
            assert_eq!(world.asked.len(), 0, "{level} {end}");
        }
    }
}

#[test]
fn what_an_answer_means_for_the_transaction_and_for_its_producer() {
    const ADD: &str = "1 append 0 a\n 2 said #2";
    const PRODUCE: &str = "1 append 0 a\n 2 error #2";
    const END: &str = "1 append 0 a\n 2 ok #2 0\n 3 commit\n 4 said #3";
    const ABORT: &str = "1 append 0 a\n 2 ok #2 0\n 3 abort\n 4 said #3";
    const OFFSETS: &str = "1 offsets g 5\n 2 said #2 9\n 3 said #3";
    const GROUP: &str = "1 offsets g 5\n 2 said #2";
    // "on": it is asked or sent again.
    for (level, script, codes, outcome) in [
        (1, ADD, "PRODUCER_FENCED INVALID_PRODUCER_EPOCH", "fenced"),
        (1, ADD, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED INVALID_TXN_STATE UNKNOWN_SERVER_ERROR", "fatal"),
        (1, ADD, "TOPIC_AUTHORIZATION_FAILED TRANSACTION_ABORTABLE UNKNOWN_PRODUCER_ID", "abort"),
        (1, ADD, "CONCURRENT_TRANSACTIONS COORDINATOR_LOAD_IN_PROGRESS UNKNOWN_TOPIC_OR_PARTITION", "on"),
        (1, GROUP, "GROUP_AUTHORIZATION_FAILED INVALID_GROUP_ID", "abort"),
        (2, PRODUCE, "PRODUCER_FENCED", "fenced"),
        (2, PRODUCE, "TRANSACTION_ABORTABLE INVALID_PRODUCER_EPOCH INVALID_TXN_STATE", "abort"),
        (2, PRODUCE, "MESSAGE_TOO_LARGE OUT_OF_ORDER_SEQUENCE_NUMBER INVALID_PRODUCER_ID_MAPPING", "abort"),
        (2, PRODUCE, "CONCURRENT_TRANSACTIONS NOT_ENOUGH_REPLICAS", "on"),
        (2, OFFSETS, "ILLEGAL_GENERATION UNKNOWN_MEMBER_ID FENCED_INSTANCE_ID STALE_MEMBER_EPOCH", "abort"),
        (2, OFFSETS, "GROUP_AUTHORIZATION_FAILED OFFSET_METADATA_TOO_LARGE TRANSACTION_ABORTABLE", "abort"),
        (2, OFFSETS, "INVALID_PRODUCER_EPOCH PRODUCER_FENCED", "fenced"),
        (2, OFFSETS, "COORDINATOR_LOAD_IN_PROGRESS CONCURRENT_TRANSACTIONS", "on"),
        (2, END, "PRODUCER_FENCED INVALID_PRODUCER_EPOCH INVALID_TXN_STATE", "fenced"),
        (2, END, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED UNKNOWN_SERVER_ERROR", "fatal"),
        (2, END, "TRANSACTION_ABORTABLE INVALID_PRODUCER_ID_MAPPING", "abort"),
        (2, END, "CONCURRENT_TRANSACTIONS NOT_COORDINATOR", "on"),
        (2, ABORT, "PRODUCER_FENCED", "fenced"),
        (2, ABORT, "INVALID_TXN_STATE", "fatal"),
        (2, ABORT, "TRANSACTION_ABORTABLE CONCURRENT_TRANSACTIONS", "on"),
    ] {
        for code in codes.split(' ') {
            let mut world = World::transactional(eager(), &[1]);
            world.run(&format!(
                "0 tick\n0 said #0 5\n0 said #1 7 0\n0 begin {level}\n{script} {code}\n5 tick"
            ));
            let is_on = world.machine.transaction_end().is_none()
                || world.machine.transactions().check_open().is_ok();
            let found = match world.machine.transaction_end() {
                _ if is_on => "on",
                Some(Err(TransactionError::Fenced { .. })) => "fenced",
                Some(Err(TransactionError::Fatal(_))) => "fatal",
                Some(Err(TransactionError::MustAbort(_))) => "abort",
                other => panic!("{level} {script} {code}: {other:?}"),
            };
            assert_eq!(found, outcome, "{level} {script} {code}\n{}", world.log);
            // What is to be tried again is, and whoever is at an end asks nothing more.
            let calls = world.machine.next_call;
            world.run("1000 tick\n 1001 tick");
            assert_eq!(calls < world.machine.next_call, is_on, "{level} {script} {code}\n{}", world.log);
        }
    }
}

#[test]
fn what_can_be_done_when() {
    let states = [
        ("identifying", ""),
        ("idle", "0 said #0 5\n 0 said #1 7 0"),
        ("open", "0 said #0 5\n 0 said #1 7 0\n 0 begin 2\n 1 append 0 a"),
        ("failed", "0 said #0 5\n 0 said #1 7 0\n 0 begin 2\n 1 append 0 a\n 2 error #2 INVALID_RECORD"),
        ("committing", "0 said #0 5\n 0 said #1 7 0\n 0 begin 2\n 1 append 0 a\n 2 commit"),
        (
            "committed, in hand",
            "0 said #0 5\n 0 said #1 7 0\n 0 begin 2\n 1 append 0 a\n 2 commit\n 3 ok #2 0\n 4 said #3 7 1",
        ),
        ("aborting", "0 said #0 5\n 0 said #1 7 0\n 0 begin 2\n 1 append 0 a\n 2 abort"),
        ("over", "0 said #0 5\n 0 said #1 PRODUCER_FENCED"),
        ("closed", "0 said #0 5\n 0 said #1 7 0\n 0 close"),
    ];
    let mut table = String::new();
    for (state, script) in states {
        writeln!(table, "{state}").expect("writes to memory");
        for deed in ["begin 2", "append 0 x", "offsets g 1", "commit", "abort"] {
            let mut world = World::transactional(eager(), &[1]);
            world.run(&format!("0 tick\n{script}"));
            world.log.clear();
            world.run(&format!("9 {deed}"));
            let said: Vec<_> = world.log.lines().skip(1).map(str::trim).collect();
            writeln!(table, "    {deed}: {}", said.join("; ")).expect("writes to memory");
        }
    }
    expect![[r#"
        identifying
            begin 2: Ok(false)
            append 0 x: never: t-0: not sent: no transaction is open
            offsets g 1: no transaction is open
            commit: no transaction is open
            abort: 
        idle
            begin 2: Ok(true)
            append 0 x: never: t-0: not sent: no transaction is open
            offsets g 1: no transaction is open
            commit: no transaction is open
            abort: 
        open
            begin 2: Err(AlreadyOpen)
            append 0 x: 
            offsets g 1: ticket 1; ask #3 anybody: who coordinates group g
            commit: 
            abort: 
        failed
            begin 2: Err(AlreadyOpen)
            append 0 x: never: t-0: not sent: the transaction can only be aborted: the broker answered INVALID_RECORD
            offsets g 1: the transaction can only be aborted: the broker answered INVALID_RECORD
            commit: the transaction can only be aborted: the broker answered INVALID_RECORD
            abort: ask #3 5: Implicit Abort as 7/0
        committing
            begin 2: Ok(false)
            append 0 x: never: t-0: not sent: the transaction is being committed
            offsets g 1: the transaction is being committed
            commit: 
            abort: the transaction is being committed
        committed, in hand
            begin 2: Ok(false)
            append 0 x: never: t-0: not sent: no transaction is open
            offsets g 1: no transaction is open
            commit: 
            abort: the transaction is being committed
        aborting
            begin 2: Ok(false)
            append 0 x: never: t-0: not sent: the transaction is being aborted
            offsets g 1: the transaction is being aborted
            commit: the transaction is being aborted
            abort: 
        over
            begin 2: Err(Fenced { transactional_id: "me" })
            append 0 x: never: t-0: not sent: another producer has the transactional id me now, or the transaction was open for too long
            offsets g 1: another producer has the transactional id me now, or the transaction was open for too long
            commit: another producer has the transactional id me now, or the transaction was open for too long
            abort: another producer has the transactional id me now, or the transaction was open for too long
        closed
            begin 2: Err(Closed)
            append 0 x: never: t-0: not sent: the producer is closed
            offsets g 1: no transaction is open
            commit: no transaction is open
            abort: 
    "#]].assert_eq(&table);
}

#[test]
fn who_closes_aborts_what_is_open_and_does_not_wait_for_ever() {
    for (answers, is_at_once) in [
        ("4 said #3 7 1", true),
        ("4 broken #3\n 500 tick\n 501 broken #4\n 2600 tick\n 2601 broken #5", false),
    ] {
        let mut world = World::transactional(eager(), &[1]);
        world.run("0 tick\n 0 said #0 5\n 0 said #1 7 0\n 0 begin 2\n 1 append 0 a\n 2 close\n 3 ok #2 0");
        for answer in answers.lines() {
            assert!(!world.machine.is_finished(), "{}", world.log);
            world.run(answer);
        }
        assert!(world.machine.is_finished(), "{}", world.log);
        let ended = world.machine.transaction_end().expect("known");
        assert_eq!(ended, if is_at_once { Ok(()) } else { Err(TransactionError::Closed) });
    }
}

#[test]
fn who_is_sent_from_one_coordinator_to_another_asks_at_leisure() {
    let mut world = World::transactional(Config { delivery_timeout_ms: 60_000, ..eager() }, &[1]);
    world.run("0 tick\n 0 said #0 5\n 0 said #1 7 0\n 0 begin 2\n 1 append 0 a\n 2 ok #2 0\n 3 commit");
    for now in 4..10_000 {
        world.run(&format!("{now} tick"));
        while let Some((call, question)) = world.asked.first_key_value() {
            let said = match question {
                Question::FindCoordinator => format!("{}", 5 + now % 2),
                _ => "NOT_COORDINATOR".to_owned(),
            };
            world.run(&format!("{now} said #{} {said}", call.0));
        }
    }
    // Two questions a time.
    assert!((150..=260).contains(&world.machine.next_call), "{}", world.machine.next_call);
    assert!(world.machine.transaction_trouble().is_some());
}
