//! `klamm produce` and `klamm consume`.

use std::path::PathBuf;

use clap::Args;
use klamm_client::{Acks, GroupProtocol};
use klamm_model::Compression;

use super::{RemoteArgs, compression, key_value};
use crate::input::Shape;
use crate::pace::Pace;
use crate::range::Range;
use crate::template::{Template, unescaped};

/// What stands in a format string.
const FIELDS: &str = "\
  %t topic  %p partition  %o offset  %T %d timestamp (ms)  %k key  %K its size  %s %v value  %S %V its size (-1: none)
  %H number of headers  %h{…} a format for each header, where %k is its name and %s its value
  %% %{ %} % { }  \\n \\t \\r \\0 \\\\ \\xHH as usual; nothing is added between records
  %k{hex} %k{base64} %k{base64raw}, and so %s and %t
  %S{big32} and 64, 16, 8, little64 …, hex64 … hex4: numbers of that size    %T{iso} %T{s}: 2026-11-23T22:30:00.000Z, seconds";

/// Write records, one for each line of the standard input.
#[derive(Args, Debug)]
#[command(after_help = format!("\
Format (-f): the input as it looks, with
{FIELDS}
  A key or value ends where the text behind it begins, or has the size that a field before it says. %S{{4}}: it always has 4 bytes. %s{{json}}: one JSON value.
  What the format does not have, a record does not have; %o is left aside.

JSON (--json): a line for each record, as klamm consume --json prints it; only value is needed (null deletes a key).

Examples:
  echo hello | klamm produce greetings
  klamm produce orders -k : -z zstd:9 < orders.txt      lines are KEY:VALUE
  klamm produce orders -H source=shop -p 0 --acks 1 < orders.txt
  klamm produce orders -f '%k %p %H %h{{%k=%s,}}%s\\n' < orders.txt
  klamm produce images --whole --file *.png
  klamm consume orders --json -e | klamm produce copy --json -p any"))]
pub(crate) struct ProduceArgs {
    /// The topic of all records [default: what each of them names, with --json or %t in -f]
    pub(crate) topic: Option<String>,
    /// Read these files instead of the standard input
    #[arg(long = "file", value_name = "FILE", num_args = 1..)]
    pub(crate) files: Vec<PathBuf>,
    /// What separates key and value in a line; a line without it has no key
    #[arg(short, long, value_name = "SEPARATOR", value_parser = delimiter)]
    pub(crate) key_separator: Option<Delimiter>,
    /// What ends a record, \0 for example
    #[arg(short = 'D', long, value_name = "DELIMITER", default_value = "\\n", value_parser = delimiter)]
    pub(crate) delimiter: Delimiter,
    /// How a record looks
    #[arg(short = 'f', long = "template", value_name = "FORMAT", value_parser = Template::for_input, conflicts_with_all = ["key_separator", "delimiter"])]
    pub(crate) template: Option<Template>,
    /// A line is a record in JSON
    #[arg(long, conflicts_with_all = ["key_separator", "delimiter", "template"])]
    pub(crate) json: bool,
    /// All of the standard input, or of a file, is one value
    #[arg(long, conflicts_with_all = ["key_separator", "delimiter", "template", "json"])]
    pub(crate) whole: bool,
    /// The key of records that have none
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Partition of all records, or any: by key, else where it fits [default: what the record says, else any]
    #[arg(short, long, value_name = "N|any", allow_hyphen_values = true, value_parser = partition_choice)]
    pub(crate) partition: Option<PartitionChoice>,
    /// A header of every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = key_value)]
    pub(crate) headers: Vec<(String, String)>,
    /// An empty value is written as none, which deletes its key in a compacted topic
    #[arg(short = 'Z', long)]
    pub(crate) empty_as_null: bool,
    /// A key or value that is this text is written as none
    #[arg(long, value_name = "TEXT")]
    pub(crate) null: Option<String>,
    /// Exit after this many records
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Records a second at most
    #[arg(long, value_name = "N", value_parser = Pace::parse)]
    pub(crate) rate: Option<Pace>,
    /// All in one transaction of this transactional id: it counts when everything is written, and nothing of it does if anything is not
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) transactional_id: Option<String>,
    /// Print where each record was written, in the order of the input; --format json: in JSON
    #[arg(short, long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) writing: WritingArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

impl ProduceArgs {
    /// How a record looks.
    pub(crate) fn shape(&self) -> Shape {
        match &self.template {
            Some(template) => Shape::Template(template.clone()),
            None if self.json => Shape::Json,
            None if self.whole => Shape::Whole,
            None => Shape::Delimited {
                delimiter: self.delimiter.0.clone(),
                separator: self.key_separator.as_ref().map(|it| it.0.clone()),
            },
        }
    }
}

/// Bytes between others, never none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Delimiter(pub(crate) Vec<u8>);

fn delimiter(text: &str) -> Result<Delimiter, String> {
    match unescaped(text)? {
        bytes if bytes.is_empty() => Err("nothing separates nothing".to_owned()),
        bytes => Ok(Delimiter(bytes)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PartitionChoice {
    Number(i32),
    /// By key, else where it fits.
    Any,
}

fn partition_choice(text: &str) -> Result<PartitionChoice, String> {
    match text.parse() {
        Ok(number) if 0 <= number => Ok(PartitionChoice::Number(number)),
        // kcat and rpk call it so.
        Ok(-1) => Ok(PartitionChoice::Any),
        _ if text == "any" => Ok(PartitionChoice::Any),
        _ => Err("expected the number of a partition, or any".to_owned()),
    }
}

#[derive(Args, Debug)]
pub(crate) struct WritingArgs {
    /// How to pack batches, gzip and zstd with a level if need be: zstd:9 [default: none]
    #[arg(short = 'z', long, value_name = "CODEC[:LEVEL]", value_parser = compression)]
    pub(crate) compression: Option<Compression>,
    /// Who must have a record: all (in-sync replicas, on disk), 1 (the leader), 0 (nobody) [default: all]
    #[arg(long, value_name = "ACKS", allow_hyphen_values = true)]
    pub(crate) acks: Option<Acks>,
    /// How long a batch waits for more records, in milliseconds [default: 5]
    #[arg(long, value_name = "MS")]
    pub(crate) linger: Option<u64>,
    /// Bytes of a full batch [default: 16384]
    #[arg(long, value_name = "BYTES")]
    pub(crate) batch_size: Option<usize>,
}

/// Read records and print them.
#[derive(Args, Debug)]
#[command(after_help = format!("\
Which records (-o): FROM or FROM..TO, where TO is one past the last
  start       the oldest record (default)       end         what comes from now on
  42          offset 42                          -10         the last 10 of each partition
  +10         all but the first 10 of each partition
  @TIME       the first record since TIME: milliseconds since 1970, 2026-11-23T22:30:00Z, now, or a time ago such as @-90s, @-15m, @-2h, @-1d
  10..20, 10..+10, start..-10, @-2h..@-1h, @now..@+10s, -100..end; an end that is still to come is waited for, unless -e says not to
  With --group: start or end, for partitions of which the group has committed nothing

Group (-g): its members share the partitions, and each goes on where the group was. What was written to the standard output is committed, every
  auto.commit.interval.ms and at the end (-X enable.auto.commit=false: never); whatever ends it, it leaves the group.

Format (-f):
{FIELDS}
  %h headers as a=1,b=2  %e leader epoch  %x producer id  %y its epoch  %] high watermark  %i number of the record, from 1  %R %S{{big32}}
  %a{{compression}} %a{{timestamp-type}} %a{{transactional-bit}}    %o{{bool}}: whether it is not 0
  %k{{unpack[>iq]}}: numbers within, > big or < little end first; bB hH iI qQ have 1 2 4 8 bytes, c is a letter, s the rest, $ the end

Examples:
  klamm consume orders -e                            everything there is, then exit
  klamm consume orders -o end                        what comes from now on
  klamm consume orders -p 0 -o -10 -e -f '%o %k=%s\\n'
  klamm consume orders payments -n 100 --json
  klamm consume orders,payments -g billing           as a member of a group
  klamm consume '^logs-.*' -o @-15m --grep 'ERROR|WARN'"))]
pub(crate) struct ConsumeArgs {
    /// The topics, also separated by commas; what begins with ^ is a regular expression that a whole name matches
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Read as a member of this group
    #[arg(short, long, value_name = "GROUP", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) group: Option<String>,
    /// How the group shares its partitions: classic, by its members, or consumer, by the broker [default: classic]
    #[arg(long, value_name = "PROTOCOL", requires = "group")]
    pub(crate) group_protocol: Option<GroupProtocol>,
    /// Every TOPIC is a regular expression
    #[arg(short, long)]
    pub(crate) regex: bool,
    /// Which records: from start, end, N, +N, -N or @TIME on; FROM..TO [default: start]
    #[arg(short = 'o', long = "offset", value_name = "OFFSET", allow_hyphen_values = true, value_parser = Range::parse)]
    pub(crate) range: Option<Range>,
    /// Only these partitions; may be repeated
    #[arg(short, long = "partition", value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partitions: Vec<i32>,
    /// Exit when the end of every partition has been reached
    #[arg(short, long)]
    pub(crate) exit: bool,
    /// Exit after this many records
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Records a second at most
    #[arg(long, value_name = "N", value_parser = Pace::parse)]
    pub(crate) rate: Option<Pace>,
    /// Only records with this key
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Only records in whose value this regular expression is found
    #[arg(long, value_name = "PATTERN")]
    pub(crate) grep: Option<String>,
    /// Nothing of transactions that are open or were aborted
    #[arg(long)]
    pub(crate) read_committed: bool,
    /// How to print a record [default: %s\n]
    #[arg(short = 'f', long = "template", value_name = "FORMAT", value_parser = Template::for_output)]
    pub(crate) template: Option<Template>,
    /// What a format prints for a key or value that is not there [default: nothing]
    #[arg(long, value_name = "TEXT")]
    pub(crate) null: Option<String>,
    /// Print a JSON object a line
    #[arg(long, conflicts_with_all = ["template", "null"])]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

impl ConsumeArgs {
    /// Which records are meant of each partition.
    pub(crate) fn range(&self) -> Range {
        self.range.unwrap_or(Range::ALL)
    }

    /// The topics that are named, and those that are patterns: all of them or, as with kcat, what begins with ^.
    pub(crate) fn names_and_patterns(&self) -> (Vec<&str>, Vec<String>) {
        let (patterns, names): (Vec<_>, Vec<_>) =
            self.topics.iter().partition(|topic| self.regex || topic.starts_with('^'));
        let names = names.iter().flat_map(|topic| topic.split(',')).collect();
        (names, patterns.into_iter().cloned().collect())
    }
}
