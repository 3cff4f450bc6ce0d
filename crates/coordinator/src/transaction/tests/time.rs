//! What happens without a request: time-outs, markers on their way, the next shard.

use expect_test::expect;

use super::super::TransactionConfig;
use super::{check, check_with};

#[test]
fn a_transaction_that_is_open_for_too_long_is_aborted() {
    check(
        "ids 1000 8
         a init timeout=500
         a add 1000/0 t/0 v1
         wait 499
         a add 1000/0 t/1 v1
         wait 1
         a end 1000/0 commit v1
         a end 1000/0 commit
         m1 done
         a end 1000/0 abort
         a add 1000/0 t/0
         a add 1000/2 t/0
         wait 499
         restart
         wait 499
         wait 1",
        &expect![[r#"
            ids 1000 8
            a init timeout=500
              + a Empty 1000/0
              #1 1000/0
            a add 1000/0 t/0 v1
              + a Ongoing 1000/0 t/0
              #2 ok
            wait 499
            a add 1000/0 t/1 v1
              + a Ongoing 1000/0 t/0 t/1
              #3 ok
            wait 1
              + a PrepareAbort 1000/2 t/0 t/1
              m1 Abort 1000/2 V2 t/0 t/1
            a end 1000/0 commit v1
              #4 Fenced
            a end 1000/0 commit
              #5 Fenced
            m1 done
              + a CompleteAbort 1000/2
            a end 1000/0 abort
              #6 Fenced
            a add 1000/0 t/0
              #7 Fenced
            a add 1000/2 t/0
              + a Ongoing 1000/2 t/0
              #8 ok
            wait 499
            restart
            wait 499
            wait 1
              + a PrepareAbort 1000/4 t/0
              m2 Abort 1000/4 V2 t/0
        "#]],
    );
}

/// F38.
#[test]
fn a_decision_is_seen_through_by_the_next_shard() {
    check(
        "ids 1000 8
         a init
         a add 1000/0 t/0 t/1
         a end 1000/0 commit
         m1 failed t/1
         restart
         m1 done
         m2 done
         a add 1000/1 t/0
         a end 1000/1 abort
         restart
         m3 done
         m4 superseded t/0
         wait 29999
         wait 1
         restart
         m6 done",
        &expect![[r#"
            ids 1000 8
            a init
              + a Empty 1000/0
              #1 1000/0
            a add 1000/0 t/0 t/1
              + a Ongoing 1000/0 t/0 t/1
              #2 ok
            a end 1000/0 commit
              + a PrepareCommit 1000/1 t/0 t/1
              m1 Commit 1000/1 V2 t/0 t/1
              #3 1000/1
            m1 failed t/1
            restart
              m2 Commit 1000/1 V2 t/0 t/1
            m1 done
            m2 done
              + a CompleteCommit 1000/1
            a add 1000/1 t/0
              + a Ongoing 1000/1 t/0
              #4 ok
            a end 1000/1 abort
              + a PrepareAbort 1000/2 t/0
              m3 Abort 1000/2 V2 t/0
              #5 1000/2
            restart
              m4 Abort 1000/2 V2 t/0
            m3 done
            m4 superseded t/0
            wait 29999
            wait 1
              m5 Abort 1000/2 V2 t/0
            restart
              m6 Abort 1000/2 V2 t/0
            m6 done
              + a CompleteAbort 1000/2
        "#]],
    );
}

#[test]
fn markers_are_sent_until_all_are_written() {
    check(
        "ids 1000 8
         a init
         a add 1000/0 t/0 t/1 u/0
         a end 1000/0 abort
         m1 failed t/0 u/0
         m1 done
         wait 19
         wait 1
         m2 failed u/0
         wait 39
         wait 1
         wait 29999
         wait 1
         m3 done
         m4 done",
        &expect![[r#"
            ids 1000 8
            a init
              + a Empty 1000/0
              #1 1000/0
            a add 1000/0 t/0 t/1 u/0
              + a Ongoing 1000/0 t/0 t/1 u/0
              #2 ok
            a end 1000/0 abort
              + a PrepareAbort 1000/1 t/0 t/1 u/0
              m1 Abort 1000/1 V2 t/0 t/1 u/0
              #3 1000/1
            m1 failed t/0 u/0
            m1 done
            wait 19
            wait 1
              m2 Abort 1000/1 V2 t/0 u/0
            m2 failed u/0
            wait 39
            wait 1
              m3 Abort 1000/1 V2 u/0
            wait 29999
            wait 1
              m4 Abort 1000/1 V2 u/0
            m3 done
            m4 done
              + a CompleteAbort 1000/1
        "#]],
    );
}

#[test]
fn requests_wait_for_the_markers_of_the_transaction_before() {
    check_with(
        TransactionConfig::default(),
        "ids 1000 8
         a init
         a add 1000/0 t/0
         a end 1000/0 commit
         a end 1000/0 commit
         a add 1000/1 t/0
         a verify 1000/1 t/0 t/1
         a add 1000/0 t/0
         m1 done
         a init
         m2 done
         a add 1000/4 t/0
         a end 1000/4 abort
         a add 1000/5 t/0
         wait 60
         a add 1000/5 t/0
         wait 40
         wait 59
         wait 1
         m3 done",
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
            a add 1000/1 t/0
            a verify 1000/1 t/0 t/1
            a add 1000/0 t/0
              #7 Fenced
            m1 done
              + a CompleteCommit 1000/1
              + a Ongoing 1000/1 t/0
              #4 1000/1
              #5 ok
              #6 missing t/1
            a init
              + a PrepareAbort 1000/3 t/0
              m2 Abort 1000/3 V2 t/0
            m2 done
              + a CompleteAbort 1000/3
              + a Empty 1000/4
              #8 1000/4
            a add 1000/4 t/0
              + a Ongoing 1000/4 t/0
              #9 ok
            a end 1000/4 abort
              + a PrepareAbort 1000/5 t/0
              m3 Abort 1000/5 V2 t/0
              #10 1000/5
            a add 1000/5 t/0
            wait 60
            a add 1000/5 t/0
            wait 40
              #11 Concurrent
            wait 59
            wait 1
              #12 Concurrent
            m3 done
              + a CompleteAbort 1000/5
        "#]],
    );
}

#[test]
fn producer_ids_come_in_blocks() {
    check(
        "a init
         b init
         no-ids
         a init
         b init
         c init
         ids 1000 2
         ids 2000 1
         a init
         d init
         ids 3000 9",
        &expect![[r#"
            a init
              producer ids?
            b init
            no-ids
              #1 NoProducerIds
              #2 NoProducerIds
            a init
              producer ids?
            b init
            c init
            ids 1000 2
              + a Empty 1000/0
              + b Empty 1001/0
              #3 1000/0
              producer ids?
              #4 1001/0
            ids 2000 1
              + c Empty 2000/0
              producer ids?
              #5 2000/0
            a init
              + a Empty 1000/1
              #6 1000/1
            d init
            ids 3000 9
              + d Empty 3000/0
              #7 3000/0
        "#]],
    );
}

#[test]
fn transactional_ids_that_nobody_uses_are_forgotten() {
    let config = TransactionConfig {
        id_expiration_ms: 10_000,
        expiry_check_interval_ms: 4_000,
        wait_ms: 0,
        ..TransactionConfig::default()
    };
    check_with(
        config,
        "ids 1000 8
         a init
         b init
         b add 1001/0 t/0
         c init
         c add 1002/0 t/0
         c end 1002/0 commit
         wait 4000
         b end 1001/0 abort
         m2 done
         wait 4000
         wait 4000
         list
         restart
         list
         m3 done
         wait 4000
         a init
         wait 8000
         list",
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
            c init
              + c Empty 1002/0
              #4 1002/0
            c add 1002/0 t/0
              + c Ongoing 1002/0 t/0
              #5 ok
            c end 1002/0 commit
              + c PrepareCommit 1002/1 t/0
              m1 Commit 1002/1 V2 t/0
              #6 1002/1
            wait 4000
            b end 1001/0 abort
              + b PrepareAbort 1001/1 t/0
              m2 Abort 1001/1 V2 t/0
              #7 1001/1
            m2 done
              + b CompleteAbort 1001/1
            wait 4000
            wait 4000
              + a -
            list
              #8 b 1001 CompleteAbort, c 1002 PrepareCommit
            restart
              m3 Commit 1002/1 V2 t/0
            list
              #9 b 1001 CompleteAbort, c 1002 PrepareCommit
            m3 done
              + c CompleteCommit 1002/1
            wait 4000
              + b -
            a init
              producer ids?
            wait 8000
              + c -
            list
              #11 
        "#]],
    );
}
