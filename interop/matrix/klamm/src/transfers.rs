//! Transfers of our own client; the words are those of ../../../bank.py.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use klamm::{
    Client, Random, Record, Transaction, TransactionError, TransactionalConfig, TransactionalProducer,
    Uncommitted,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Outcome, connect};

/// How much goes from which account to which.
struct Transfer {
    name: String,
    from: u64,
    to: u64,
    amount: u64,
}

pub(crate) async fn run(
    address: &str,
    topic: &str,
    counts: [&str; 2],
    run: &str,
    config: TransactionalConfig,
) -> Outcome<()> {
    let [partitions, accounts] = counts.map(str::parse::<u64>);
    let (partitions, accounts) = (partitions?, accounts?);
    let (mut leave, leaving) = (signal(SignalKind::terminate())?, Arc::new(AtomicBool::new(false)));
    let seen = leaving.clone();
    tokio::spawn(async move {
        leave.recv().await;
        seen.store(true, Ordering::Relaxed);
    });
    let client = connect(address).await?;
    let told = go_on(&client, topic, partitions, accounts, run, config, &leaving).await;
    match told {
        Err(TransactionError::Fenced { .. }) => println!("fenced"),
        other => other?,
    }
    Ok(())
}

async fn go_on(
    client: &Client,
    topic: &str,
    partitions: u64,
    accounts: u64,
    run: &str,
    config: TransactionalConfig,
    leaving: &AtomicBool,
) -> Result<(), TransactionError> {
    let producer = loop {
        match TransactionalProducer::start(client, config.clone()).await {
            Err(TransactionError::Undecided { .. }) => {}
            started => break started?,
        }
    };
    println!("started");
    for number in (0_u64..).take_while(|_| !leaving.load(Ordering::Relaxed)) {
        let transfer = Transfer::drawn(format!("{run}-{number}"), partitions, accounts);
        let transaction = begun(&producer).await?;
        let is_committed = transfer.is_made(topic, partitions, transaction, number % 5 == 4).await?;
        println!("{} {}", if is_committed { "committed" } else { "aborted" }, transfer.name);
    }
    producer.close().await;
    Ok(())
}

/// The one before may still have to come to its end.
async fn begun(producer: &TransactionalProducer) -> Result<Transaction, TransactionError> {
    loop {
        match producer.begin().await {
            Err(TransactionError::Undecided { .. }) => {}
            begun => return begun,
        }
    }
}

impl Transfer {
    fn drawn(name: String, partitions: u64, accounts: u64) -> Self {
        let mut seed = DefaultHasher::new();
        name.hash(&mut seed);
        let mut dice = Random::new(seed.finish());
        let from = dice.below(accounts);
        let mut to = from;
        while to % partitions == from % partitions {
            to = dice.below(accounts);
        }
        Self { name, from, to, amount: 1 + dice.below(100) }
    }

    /// `false`: it was aborted.
    async fn is_made(
        &self,
        topic: &str,
        partitions: u64,
        transaction: Transaction,
        aborts: bool,
    ) -> Result<bool, TransactionError> {
        let mut is_sent = true;
        for (account, sign) in [(self.from, "-"), (self.to, "")] {
            let (key, value) = (account.to_string(), format!("{} {sign}{}", self.name, self.amount));
            let partition = i32::try_from(account % partitions).ok();
            let record = Record { partition, ..Record::new(topic, value.as_bytes()) };
            let sent = transaction.send(record.with_key(key.as_bytes())).await;
            if let Err(error) = sent {
                eprintln!("{} is aborted: {error}", self.name);
                is_sent = false;
                break;
            }
        }
        if aborts || !is_sent {
            return aborted(transaction).await;
        }
        let mut open = transaction;
        loop {
            match open.commit().await {
                Ok(()) => return Ok(true),
                Err(Uncommitted { cause: TransactionError::Undecided { .. }, transaction }) => {
                    open = transaction
                }
                Err(Uncommitted { cause, .. }) if cause.is_fatal() => return Err(cause),
                Err(Uncommitted { cause, transaction }) => {
                    eprintln!("{} is aborted: {cause}", self.name);
                    return aborted(transaction).await;
                }
            }
        }
    }
}

/// What is not decided in time comes to its end before the next begins.
async fn aborted(transaction: Transaction) -> Result<bool, TransactionError> {
    match transaction.abort().await {
        Ok(()) | Err(TransactionError::Undecided { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
