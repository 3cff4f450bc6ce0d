//! What producers and brokers may do, and what comes of it.

use expect_test::expect;

use super::super::TransactionConfig;
use super::{check, check_with};

#[test]
fn a_transaction_from_its_begin_to_its_end() {
    check(
        "a init
         ids 1000 8
         a add 1000/0 t/0 t/1
         a add 1000/0 t/1
         a add 1000/0 u/0
         describe a
         a end 1000/0 commit
         a add 1000/1 t/0
         m1 failed t/1
         wait 20
         m2 done
         a add 1000/1 t/0
         a end 1000/1 abort
         m3 done
         describe a",
        &expect![[r#"
            a init
              producer ids?
            ids 1000 8
              + a Empty 1000/0
              #1 1000/0
            a add 1000/0 t/0 t/1
              + a Ongoing 1000/0 t/0 t/1
              #2 ok
            a add 1000/0 t/1
              #3 ok
            a add 1000/0 u/0
              + a Ongoing 1000/0 t/0 t/1 u/0
              #4 ok
            describe a
              #5 Ongoing 1000/0 timeout 60000 since 0 t/0 t/1 u/0
            a end 1000/0 commit
              + a PrepareCommit 1000/1 t/0 t/1 u/0
              m1 Commit 1000/1 V2 t/0 t/1 u/0
              #6 1000/1
            a add 1000/1 t/0
              #7 Concurrent
            m1 failed t/1
            wait 20
              m2 Commit 1000/1 V2 t/1
            m2 done
              + a CompleteCommit 1000/1
            a add 1000/1 t/0
              + a Ongoing 1000/1 t/0
              #8 ok
            a end 1000/1 abort
              + a PrepareAbort 1000/2 t/0
              m3 Abort 1000/2 V2 t/0
              #9 1000/2
            m3 done
              + a CompleteAbort 1000/2
            describe a
              #10 CompleteAbort 1000/2 timeout 60000 since 20
        "#]],
    );
}

#[test]
fn the_old_protocol_keeps_its_epoch() {
    check(
        "ids 1000 8
         a init
         a end 1000/0 commit v1
         a end 1000/0 abort v1
         a add 1000/0 t/0 v1
         a end 1000/1 commit v1
         a end 1001/0 commit v1
         a end 1000/0 commit v1
         a end 1000/0 commit v1
         a end 1000/0 abort v1
         m1 done
         a end 1000/0 commit v1
         a end 1000/0 abort v1
         a init",
        &expect![[r#"
            ids 1000 8
            a init
              + a Empty 1000/0
              #1 1000/0
            a end 1000/0 commit v1
              #2 InvalidState { state: Empty }
            a end 1000/0 abort v1
              #3 InvalidState { state: Empty }
            a add 1000/0 t/0 v1
              + a Ongoing 1000/0 t/0
              #4 ok
            a end 1000/1 commit v1
              #5 Fenced
            a end 1001/0 commit v1
              #6 UnknownProducer
            a end 1000/0 commit v1
              + a PrepareCommit 1000/0 t/0
              m1 Commit 1000/0 V1 t/0
              #7 1000/0
            a end 1000/0 commit v1
              #8 Concurrent
            a end 1000/0 abort v1
              #9 InvalidState { state: PrepareCommit }
            m1 done
              + a CompleteCommit 1000/0
            a end 1000/0 commit v1
              #10 1000/0
            a end 1000/0 abort v1
              #11 InvalidState { state: CompleteCommit }
            a init
              + a Empty 1000/1
              #12 1000/1
        "#]],
    );
}

/// I15, F36: the same request may come late, doubled, after the coordinator has moved.
#[test]
fn a_late_end_never_ends_the_next_transaction() {
    check(
        "ids 1000 8
         a init
         a add 1000/0 t/0
         a end 1000/0 commit
         a end 1000/0 commit
         a end 1000/0 abort
         a end 1000/1 commit
         m1 done
         a end 1000/0 commit
         a end 1000/0 abort
         a add 1000/0 t/0
         a add 1000/1 t/1
         a end 1000/0 commit
         a end 1000/0 abort
         restart
         a end 1000/0 commit
         a end 1000/1 commit
         restart
         m3 done
         a end 1000/1 commit",
        &expect![[r#"
            ids 1000 8
            a init
              + a Empty 1000/0
              #1 1000/0
            a add 1000/0 t/0
              + a Ongoing 1000/0 t/0
              #2 ok
            a end 1000/0 commit
              + a PrepareCommit 1000/1 t/0
              m1 Commit 1000/1 V2 t/0
              #3 1000/1
            a end 1000/0 commit
              #4 Concurrent
            a end 1000/0 abort
              #5 InvalidState { state: PrepareCommit }
            a end 1000/1 commit
              #6 Concurrent
            m1 done
              + a CompleteCommit 1000/1
            a end 1000/0 commit
              #7 1000/1
            a end 1000/0 abort
              #8 InvalidState { state: CompleteCommit }
            a add 1000/0 t/0
              #9 Fenced
            a add 1000/1 t/1
              + a Ongoing 1000/1 t/1
              #10 ok
            a end 1000/0 commit
              #11 Fenced
            a end 1000/0 abort
              #12 Fenced
            restart
            a end 1000/0 commit
              #13 Fenced
            a end 1000/1 commit
              + a PrepareCommit 1000/2 t/1
              m2 Commit 1000/2 V2 t/1
              #14 1000/2
            restart
              m3 Commit 1000/2 V2 t/1
            m3 done
              + a CompleteCommit 1000/2
            a end 1000/1 commit
              #15 1000/2
        "#]],
    );
}

/// I15: two that share a transactional id, of which the newer one speaks the old protocol. The epoch before is not that of an end that was asked for twice.
#[test]
fn a_fenced_producer_is_not_told_who_has_fenced_it() {
    check(
        "ids 1000 8
         a init
         a init
         a add 1000/1 t/0 v1
         a end 1000/1 abort v1
         a end 1000/0 abort
         m1 done
         a end 1000/0 abort
         a end 1000/0 commit
         a add 1000/1 t/0
         a end 1000/0 abort",
        &expect![[r#"
            ids 1000 8
            a init
              + a Empty 1000/0
              #1 1000/0
            a init
              + a Empty 1000/1
              #2 1000/1
            a add 1000/1 t/0 v1
              + a Ongoing 1000/1 t/0
              #3 ok
            a end 1000/1 abort v1
              + a PrepareAbort 1000/1 t/0
              m1 Abort 1000/1 V1 t/0
              #4 1000/1
            a end 1000/0 abort
              #5 Fenced
            m1 done
              + a CompleteAbort 1000/1
            a end 1000/0 abort
              #6 Fenced
            a end 1000/0 commit
              #7 Fenced
            a add 1000/1 t/0
              + a Ongoing 1000/1 t/0
              #8 ok
            a end 1000/0 abort
              #9 Fenced
        "#]],
    );
}

/// The table of KIP-890: what abort and commit do where nothing is open.
#[test]
fn ends_where_nothing_is_open() {
    check(
        "ids 1000 8
         a init
         a end 1000/0 commit
         a end 1000/1 abort
         a end 1000/0 abort
         a end 1000/0 abort
         a end 1000/0 commit
         a end 1000/1 commit
         a end 1000/1 abort
         a add 1000/2 t/0
         a end 1000/2 commit
         m1 done
         a end 1000/2 abort
         a end 1000/3 commit
         a end 1000/3 abort",
        &expect![[r#"
            ids 1000 8
            a init
              + a Empty 1000/0
              #1 1000/0
            a end 1000/0 commit
              #2 InvalidState { state: Empty }
            a end 1000/1 abort
              #3 Fenced
            a end 1000/0 abort
              + a PrepareAbort 1000/1
              + a CompleteAbort 1000/1
              #4 1000/1
            a end 1000/0 abort
              #5 1000/1
            a end 1000/0 commit
              #6 InvalidState { state: CompleteAbort }
            a end 1000/1 commit
              #7 InvalidState { state: CompleteAbort }
            a end 1000/1 abort
              + a PrepareAbort 1000/2
              + a CompleteAbort 1000/2
              #8 1000/2
            a add 1000/2 t/0
              + a Ongoing 1000/2 t/0
              #9 ok
            a end 1000/2 commit
              + a PrepareCommit 1000/3 t/0
              m1 Commit 1000/3 V2 t/0
              #10 1000/3
            m1 done
              + a CompleteCommit 1000/3
            a end 1000/2 abort
              #11 InvalidState { state: CompleteCommit }
            a end 1000/3 commit
              #12 InvalidState { state: CompleteCommit }
            a end 1000/3 abort
              + a PrepareAbort 1000/4
              + a CompleteAbort 1000/4
              #13 1000/4
        "#]],
    );
}

#[test]
fn a_new_producer_fences_the_old_one_and_aborts_what_it_left() {
    check(
        "ids 1000 8
         a init
         a add 1000/0 t/0
         a init
         a init
         a add 1000/0 t/1
         a end 1000/0 commit
         m1 done
         a end 1000/0 commit
         a init
         a end 1000/0 abort
         a add 1000/2 t/1
         a verify 1000/3 t/1",
        &expect![[r#"
            ids 1000 8
            a init
              + a Empty 1000/0
              #1 1000/0
            a add 1000/0 t/0
              + a Ongoing 1000/0 t/0
              #2 ok
            a init
              + a PrepareAbort 1000/2 t/0
              m1 Abort 1000/2 V2 t/0
              #3 Concurrent
            a init
              #4 Concurrent
            a add 1000/0 t/1
              #5 Fenced
            a end 1000/0 commit
              #6 Fenced
            m1 done
              + a CompleteAbort 1000/2
            a end 1000/0 commit
              #7 Fenced
            a init
              + a Empty 1000/3
              #8 1000/3
            a end 1000/0 abort
              #9 Fenced
            a add 1000/2 t/1
              #10 Fenced
            a verify 1000/3 t/1
              #11 missing t/1
        "#]],
    );
}

/// KIP-360.
#[test]
fn a_producer_goes_on_after_an_error() {
    check(
        "ids 1000 8
         a init as=7/7
         a init as=1000/0
         a init as=1000/0
         a init as=1000/1
         a init as=1000/0
         a init as=999/2
         a add 1000/2 t/0
         a init as=1000/0
         a init as=1000/2
         m1 done
         a init as=1000/2
         restart
         a init as=1000/2
         a init as=1000/3",
        &expect![[r#"
            ids 1000 8
            a init as=7/7
              + a Empty 1000/0
              #1 1000/0
            a init as=1000/0
              + a Empty 1000/1
              #2 1000/1
            a init as=1000/0
              + a Empty 1000/1
              #3 1000/1
            a init as=1000/1
              + a Empty 1000/2
              #4 1000/2
            a init as=1000/0
              #5 Fenced
            a init as=999/2
              #6 Fenced
            a add 1000/2 t/0
              + a Ongoing 1000/2 t/0
              #7 ok
            a init as=1000/0
              #8 Fenced
            a init as=1000/2
              + a PrepareAbort 1000/3 t/0
              m1 Abort 1000/3 V2 t/0
              #9 Concurrent
            m1 done
              + a CompleteAbort 1000/3
            a init as=1000/2
              + a Empty 1000/3
              #10 1000/3
            restart
            a init as=1000/2
              #11 Fenced
            a init as=1000/3
              + a Empty 1000/4
              #12 1000/4
        "#]],
    );
}

#[test]
fn when_the_epochs_are_used_up_another_producer_id_takes_over() {
    check(
        "put a Empty 8/32765
         ids 1000 8
         a init as=8/32765
         a add 8/32766 t/0
         a end 8/32766 commit
         a end 8/32766 commit
         a add 1000/0 t/0
         a init as=1000/0
         a end 1000/0 abort
         m1 done
         a end 8/32766 commit
         a end 8/32766 abort
         a init as=8/32766
         a add 1000/0 t/0
         a end 8/32766 commit
         put b Empty 9/32766
         b init
         ids 2000 8
         put c Empty 10/32766
         ids 3000 8
         c init as=10/32766
         c init as=10/32766",
        &expect![[r#"
            put a Empty 8/32765
            ids 1000 8
            a init as=8/32765
              + a Empty 8/32766
              #1 8/32766
            a add 8/32766 t/0
              + a Ongoing 8/32766 t/0
              #2 ok
            a end 8/32766 commit
              + a PrepareCommit 8/32767 then 1000 t/0
              m1 Commit 8/32767 V2 t/0
              #3 1000/0
            a end 8/32766 commit
              #4 Concurrent
            a add 1000/0 t/0
              #5 Concurrent
            a init as=1000/0
              #6 Concurrent
            a end 1000/0 abort
              #7 Concurrent
            m1 done
              + a CompleteCommit 1000/0
            a end 8/32766 commit
              #8 1000/0
            a end 8/32766 abort
              #9 InvalidState { state: CompleteCommit }
            a init as=8/32766
              + a Empty 1000/0
              #10 1000/0
            a add 1000/0 t/0
              + a Ongoing 1000/0 t/0
              #11 ok
            a end 8/32766 commit
              #12 UnknownProducer
            put b Empty 9/32766
            b init
              producer ids?
            ids 2000 8
              + b Empty 2000/0
              #13 2000/0
            put c Empty 10/32766
            ids 3000 8
            c init as=10/32766
              + c Empty 3000/0
              #14 3000/0
            c init as=10/32766
              + c Empty 3000/0
              #15 3000/0
        "#]],
    );
    // The transaction's producer hears of it later.
    check(
        "put a Ongoing 9/32766 t/0
         wait 60000
         ids 2000 5
         wait 1000
         m1 done
         a end 9/32766 commit
         a end 9/32766 abort
         a init as=9/32766",
        &expect![[r#"
            put a Ongoing 9/32766 t/0
            wait 60000
              producer ids?
            ids 2000 5
            wait 1000
              + a PrepareAbort 9/32767 then 2000 t/0
              m1 Abort 9/32767 V2 t/0
            m1 done
              + a CompleteAbort 2000/0
            a end 9/32766 commit
              #1 InvalidState { state: CompleteAbort }
            a end 9/32766 abort
              #2 2000/0
            a init as=9/32766
              + a Empty 2000/0
              #3 2000/0
        "#]],
    );
}

#[test]
fn what_is_refused() {
    check(
        "ids 1000 8
         - init
         a init timeout=0
         a init timeout=900001
         a init 2pc
         a init keep
         - add 1000/0 t/0
         a add 1000/0 t/0
         a verify 1000/0 t/0
         a end 1000/0 commit
         describe a
         describe -
         a init
         a add 1001/0 t/0
         a add 1000/1 t/0
         a verify 1000/0 t/0
         a add 1000/0
         a end 1000/0 commit
         a add 1000/0 t/0 u/1
         a verify 1000/0 t/0 t/1 u/1 v/0
         a verify 1000/1 t/0",
        &expect![[r#"
            ids 1000 8
            - init
              #1 EmptyId
            a init timeout=0
              #2 InvalidTimeout { max_ms: 900000 }
            a init timeout=900001
              #3 InvalidTimeout { max_ms: 900000 }
            a init 2pc
              #4 TwoPhaseCommit
            a init keep
              #5 KeepPrepared
            - add 1000/0 t/0
              #6 EmptyId
            a add 1000/0 t/0
              #7 UnknownProducer
            a verify 1000/0 t/0
              #8 UnknownProducer
            a end 1000/0 commit
              #9 UnknownProducer
            describe a
              #10 UnknownId { transactional_id: "a" }
            describe -
              #11 EmptyId
            a init
              + a Empty 1000/0
              #12 1000/0
            a add 1001/0 t/0
              #13 UnknownProducer
            a add 1000/1 t/0
              #14 Fenced
            a verify 1000/0 t/0
              #15 missing t/0
            a add 1000/0
              #16 ok
            a end 1000/0 commit
              #17 InvalidState { state: Empty }
            a add 1000/0 t/0 u/1
              + a Ongoing 1000/0 t/0 u/1
              #18 ok
            a verify 1000/0 t/0 t/1 u/1 v/0
              #19 missing t/1 v/0
            a verify 1000/1 t/0
              #20 Fenced
        "#]],
    );
    let config = TransactionConfig { batch_size_max: 370, ..TransactionConfig::default() };
    check_with(
        config,
        "ids 1000 8
         a init
         a add 1000/0 a-topic-with-a-rather-long-name/0
         a add 1000/0 another-topic-with-a-rather-long-name/0
         a end 1000/0 commit",
        &expect![[r#"
            ids 1000 8
            a init
              + a Empty 1000/0
              #1 1000/0
            a add 1000/0 a-topic-with-a-rather-long-name/0
              + a Ongoing 1000/0 a-topic-with-a-rather-long-name/0
              #2 ok
            a add 1000/0 another-topic-with-a-rather-long-name/0
              #3 TooLarge { size: 392, max: 370 }
            a end 1000/0 commit
              + a PrepareCommit 1000/1 a-topic-with-a-rather-long-name/0
              m1 Commit 1000/1 V2 a-topic-with-a-rather-long-name/0
              #4 1000/1
        "#]],
    );
}

#[test]
fn a_list_tells_of_those_that_are_asked_for() {
    check(
        "ids 1000 8
         a init
         b init
         b add 1001/0 t/0
         wait 100
         c init
         c add 1002/0 t/0
         list
         list state=Ongoing
         list state=Ongoing state=Empty producer=1000 producer=1002
         list longer=99
         list longer=100
         list like=a|c.?",
        &expect![[r#"
            ids 1000 8
            a init
              + a Empty 1000/0
              #1 1000/0
            b init
              + b Empty 1001/0
              #2 1001/0
            b add 1001/0 t/0
              + b Ongoing 1001/0 t/0
              #3 ok
            wait 100
            c init
              + c Empty 1002/0
              #4 1002/0
            c add 1002/0 t/0
              + c Ongoing 1002/0 t/0
              #5 ok
            list
              #6 a 1000 Empty, b 1001 Ongoing, c 1002 Ongoing
            list state=Ongoing
              #7 b 1001 Ongoing, c 1002 Ongoing
            list state=Ongoing state=Empty producer=1000 producer=1002
              #8 a 1000 Empty, c 1002 Ongoing
            list longer=99
              #9 a 1000 Empty, b 1001 Ongoing
            list longer=100
              #10 a 1000 Empty
            list like=a|c.?
              #11 a 1000 Empty, c 1002 Ongoing
        "#]],
    );
}
