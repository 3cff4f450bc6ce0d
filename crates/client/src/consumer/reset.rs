//! Places that were lost.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use klamm_model::Offset;

use super::error::Cause;

/// Whoever is not asked for them does not keep more.
const WAITING_MAX: usize = 1_024;

/// A partition is read on somewhere else than where it was to be read next, as the log does not have that and the settings say where to go then. Records
/// may be left out by that, or come again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reset {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Why it was not read on.
    pub cause: Cause,
    /// Where it is read next.
    pub to: Offset,
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, cause, to } = self;
        write!(f, "{topic}-{partition}: {cause}; going on at {to}")
    }
}

/// Those that the application was not told of, the last ones.
#[derive(Default, Debug)]
pub(crate) struct Resets(VecDeque<Reset>);

impl Resets {
    pub(crate) fn push(&mut self, reset: Reset) {
        if WAITING_MAX <= self.0.len() {
            self.0.pop_front();
        }
        self.0.push_back(reset);
    }

    pub(crate) fn take(&mut self) -> Vec<Reset> {
        std::mem::take(&mut self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_asks_keeps_the_last_ones() {
        let mut resets = Resets::default();
        for number in 0..WAITING_MAX as i64 + 2 {
            let (cause, to) = (Cause::MadeAnew { read_to: Offset::new(7) }, Offset::new(number));
            resets.push(Reset { topic: "t".into(), partition: 0, cause, to });
        }
        let kept = resets.take();
        assert_eq!((kept.len(), kept[0].to), (WAITING_MAX, Offset::new(2)));
        assert_eq!(
            kept[0].to_string(),
            "t-0: the topic was made anew, and was read up to 7 before; going on at 2"
        );
        assert!(resets.take().is_empty());
    }
}
