//! Money that is moved between accounts, in transactions: whatever dies meanwhile, none is lost and none is made.
//!
//! ```text
//! bank HOST:PORT TOPIC open ACCOUNTS AMOUNT       makes the topic, and gives every account that much
//! bank HOST:PORT TOPIC transfer NAME COUNT        moves money so often, as the producer of that transactional id; prints a line for each transfer
//! bank HOST:PORT TOPIC check [FILE...]            adds up what readers of committed records see; FILEs have the lines of transfers
//! ```
//! A transfer is a transaction of two records in two partitions: `NAME-NUMBER -AMOUNT` for one account and `NAME-NUMBER +AMOUNT` for another. A tenth of
//! them are aborted once both are written.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a program has arguments and files")]

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use klamm_client::{
    Admin, Assignment, Change, Client, ClientConfig, Consumer, ConsumerConfig, Isolation, NewTopic, Random,
    Record, Start, Transaction, TransactionError, TransactionFilter, TransactionState, TransactionalConfig,
    TransactionalProducer,
};

const PARTITIONS: i32 = 6;
const AMOUNT_MAX: u64 = 100;
/// What a producer that dies leaves open holds up readers for so long.
const TIMEOUT_MS: u64 = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [address, topic, command @ ..] = arguments.as_slice() else {
        return Err("see the first lines of bank.rs".into());
    };
    let client = Client::connect(ClientConfig::new(*address)).await?;
    match command {
        ["open", accounts, amount] => open(&client, topic, accounts.parse()?, amount.parse()?).await?,
        ["transfer", name, count] => transfer(&client, topic, name, count.parse()?).await?,
        ["check", files @ ..] => return check(&client, topic, files).await,
        _ => return Err("see the first lines of bank.rs".into()),
    }
    Ok(ExitCode::SUCCESS)
}

async fn open(client: &Client, topic: &str, accounts: i32, amount: i64) -> Result<(), Box<dyn Error>> {
    let new = NewTopic { name: topic.to_owned(), partition_count: Some(PARTITIONS), ..NewTopic::default() };
    Admin::new(client).create_topic(&new, Change::Make).await?;
    let producer =
        TransactionalProducer::start(client, TransactionalConfig::new(format!("{topic}-opening"))).await?;
    let transaction = producer.begin().await?;
    for account in 0..accounts {
        book(&transaction, topic, account, &format!("opening-{account}"), amount).await?;
    }
    transaction.commit().await?;
    println!("{accounts} accounts with {} in all", i64::from(accounts) * amount);
    Ok(())
}

async fn transfer(client: &Client, topic: &str, name: &str, count: u64) -> Result<(), Box<dyn Error>> {
    let (_, totals) = read(client, topic).await?;
    let accounts = u64::try_from(totals.len())?;
    let mut random = Random::new(
        name.bytes().fold(u64::from(std::process::id()), |hash, byte| hash * 31 + u64::from(byte)),
    );
    let config =
        TransactionalConfig { timeout_ms: TIMEOUT_MS, ..TransactionalConfig::new(format!("{topic}-{name}")) };
    let producer = TransactionalProducer::start(client, config).await?;
    for number in 0..count {
        let from = random.below(accounts) as i32;
        // The next account, or one of those behind it: never in the same partition.
        let to = (from + 1 + random.below(PARTITIONS as u64 - 1) as i32) % accounts as i32;
        // The process's number tells one life of this producer from the next.
        let id = format!("{name}-{}-{number}", std::process::id());
        let amount = 1 + random.below(AMOUNT_MAX) as i64;
        let outcome = async {
            let transaction = producer.begin().await?;
            book(&transaction, topic, from, &id, -amount).await?;
            book(&transaction, topic, to, &id, amount).await?;
            if random.below(10) == 0 {
                transaction.abort().await.map(|()| false).map_err(Into::into)
            } else {
                transaction
                    .commit()
                    .await
                    .map(|()| true)
                    .map_err(|error| Box::<dyn Error>::from(TransactionError::from(error)))
            }
        };
        match outcome.await {
            Ok(true) => println!("committed {id}"),
            Ok(false) => println!("aborted {id}"),
            Err(error) => match error.downcast_ref::<TransactionError>() {
                Some(fatal) if fatal.is_fatal() => return Err(error),
                // Only the coordinator knows, and the next one begins when that has decided.
                Some(TransactionError::Undecided { .. }) => println!("undecided {id}: {error}"),
                _ => println!("failed {id}: {error}"),
            },
        }
    }
    producer.close().await;
    Ok(())
}

/// Of the two accounts that a transfer is about, each has its own partition.
async fn book(
    transaction: &Transaction,
    topic: &str,
    account: i32,
    id: &str,
    amount: i64,
) -> Result<(), Box<dyn Error>> {
    let (key, value) = (account.to_string(), format!("{id} {amount:+}"));
    let record = Record { partition: Some(account % PARTITIONS), ..Record::new(topic, value.as_bytes()) };
    Ok(transaction.post(record.with_key(key.as_bytes())).await?)
}

/// Waits until every transaction of this bank has come to its end: those of who died are aborted when their time is over.
async fn settle(client: &Client, topic: &str) -> Result<(), Box<dyn Error>> {
    let states =
        vec![TransactionState::Ongoing, TransactionState::PrepareCommit, TransactionState::PrepareAbort];
    let filter = TransactionFilter { states, ..TransactionFilter::default() };
    let prefix = format!("{topic}-");
    while Admin::new(client).list_transactions(&filter).await?.keys().any(|id| id.starts_with(&prefix)) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

type Amounts = BTreeMap<String, Vec<i64>>;

/// The amounts by transfer, and by account.
async fn read(client: &Client, topic: &str) -> Result<(Amounts, Amounts), Box<dyn Error>> {
    let config = ConsumerConfig { isolation: Isolation::ReadCommitted, ..ConsumerConfig::default() };
    let consumer = Consumer::new(client, config);
    consumer.assign((0..PARTITIONS).map(|partition| Assignment {
        topic: topic.into(),
        partition,
        start: Start::Earliest,
    }));
    let (mut transfers, mut accounts, mut scratch) = (Amounts::new(), Amounts::new(), Vec::new());
    while let Some(batch) = consumer.next_batch_or_end().await? {
        for record in batch.records(&mut scratch)? {
            let record = record?;
            let account = std::str::from_utf8(record.key.unwrap_or_default())?.to_owned();
            let value = std::str::from_utf8(record.value.unwrap_or_default())?;
            let (id, amount) = value.split_once(' ').ok_or("no amount")?;
            let amount: i64 = amount.parse()?;
            transfers.entry(id.to_owned()).or_default().push(amount);
            accounts.entry(account).or_default().push(amount);
        }
    }
    Ok((transfers, accounts))
}

async fn check(client: &Client, topic: &str, files: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    settle(client, topic).await?;
    let (transfers, accounts) = read(client, topic).await?;
    let total: i64 = accounts.values().flatten().sum();
    let opened: i64 =
        transfers.iter().filter(|(id, _)| id.starts_with("opening-")).flat_map(|(_, amounts)| amounts).sum();
    let mut faults = Vec::new();
    if total != opened {
        faults.push(format!("there are {total}, and there were {opened}"));
    }
    for (id, amounts) in transfers.iter().filter(|(id, _)| !id.starts_with("opening-")) {
        if amounts.len() != 2 || amounts.iter().sum::<i64>() != 0 {
            faults.push(format!("{id} is {amounts:?}"));
        }
    }
    let mut told = BTreeMap::<String, u64>::new();
    for file in files {
        for line in std::fs::read_to_string(file)?.lines() {
            let Some((outcome, rest)) = line.split_once(' ') else { continue };
            let id = rest.split(':').next().unwrap_or(rest);
            *told.entry(outcome.to_owned()).or_default() += 1;
            match (outcome, transfers.contains_key(id)) {
                ("committed", false) => faults.push(format!("{id} was committed and is lost")),
                ("aborted" | "failed", true) => faults.push(format!("{id} was {outcome} and is there")),
                _ => {}
            }
        }
    }
    println!(
        "total {total} of {} accounts after {} transfers; told: {told:?}",
        accounts.len(),
        transfers.len() - accounts.len()
    );
    faults.iter().for_each(|fault| println!("FAULT: {fault}"));
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
